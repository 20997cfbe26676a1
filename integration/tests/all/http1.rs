//! HTTP/1.1 by hand: which host is meant, and what a 401 says.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::World;

/// The status and the whole answer to a request with these lines of its head.
async fn sent(world: &World, line: &str, head: &[&str]) -> (u16, String) {
    let mut stream = TcpStream::connect(world.server.address()).await.unwrap();
    let head: String = head.iter().flat_map(|line| [*line, "\r\n"]).collect();
    let body = if line.starts_with("POST") { "{}" } else { "" };
    stream.write_all(format!("{line}\r\n{head}Connection: close\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    (text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() {
    let world = World::start().await;
    for path in ["/healthz", "/", "/metrics", "/.well-known/jwks.json", "/none"] {
        let line = format!("GET {path} HTTP/1.1");
        let (good, _) = sent(&world, &line, &["Host: localhost:8080"]).await;
        assert!([200, 404, 415].contains(&good), "{path}: {good}");
        let two = ["Host: localhost", "Host: localhost"];
        for head in
            [&[][..], &two, &["Host:"], &["Host: a b"], &["Host: a,b"], &["Host: u@a"], &["Host: a:x"], &["Host: a/b"]]
        {
            let (status, answer) = sent(&world, &line, head).await;
            assert_eq!(status, 400, "{path} {head:?}: {answer}");
        }
    }
    let (status, answer) = sent(&world, "POST /issue HTTP/1.1", &["Content-Length: 0"]).await;
    assert!(status == 400 && answer.contains("host header") && answer.contains("connection: close"), "{answer}");
    // HTTP/1.0 knows no Host.
    assert_eq!(sent(&world, "GET /healthz HTTP/1.0", &[]).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_hold_is_challenged_as_such() {
    let world = World::start().await;
    let common = ["Host: example.com", "Content-Type: application/json", "Content-Length: 2"];
    for path in ["/countersign.v1.SponsorService/ListSponsors", "/issue", "/access/v1/evaluation"] {
        let line = format!("POST {path} HTTP/1.1");
        for (token, invalid) in [(None, false), (Some("Authorization: Bearer csk_wrong"), true)] {
            let head: Vec<_> = common.iter().copied().chain(token).collect();
            let (status, answer) = sent(&world, &line, &head).await;
            let said = answer.contains("www-authenticate: bearer realm=\"countersign\", error=\"invalid_token\"");
            assert_eq!((status, said), (401, invalid), "{path}: {answer}");
            assert!(answer.contains("www-authenticate: bearer realm"), "{path}: {answer}");
        }
    }
}
