//! The port itself, over real sockets.

use std::io::Write;

use axum::{Router, routing::get};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Request, service::Routes, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

use super::*;
use crate::{
    middleware::testing::{BOUNDS, stack_until},
    tls::tests as tls_tests,
};

fn options() -> Options {
    Options {
        listen: ([127, 0, 0, 1], 0).into(),
        health: None,
        tls: None,
        tls_terminated_in_front: false,
        container: None,
        public_url: None,
        limits: Limits::default(),
        trusted_proxies: Vec::new(),
        shutdown_delay: Duration::ZERO,
        access_log: false,
        metrics: None,
    }
}

/// A running port with health, reflection and a few plain routes.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    database: watch::Sender<bool>,
}

async fn port(max_connections: usize) -> Running {
    port_with(max_connections, None).await
}

async fn port_with(max_connections: usize, tls: Option<Tls>) -> Running {
    let stop = CancellationToken::new();
    let stack = stack_until(BOUNDS, stop.clone());
    let (database, ready) = watch::channel(true);
    let (health, follow) = health::service(ready, stop.clone()).await;
    tokio::spawn(follow);
    let services = reflected(Routes::new(health)).unwrap();
    let slow = || async {
        sleep(Duration::from_secs(2)).await;
        "slow"
    };
    let json = get(|| async { axum::Json(serde_json::json!({ "a": 1 })) });
    let plain = Router::new().route("/json", json).route("/", get(|| async { "here" })).route("/slow", get(slow));
    let port = dispatch::Dispatcher::new(&stack, services, Router::new(), plain);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, shutdown) = oneshot::channel::<()>();
    let most = ConnectionLimits { all: max_connections, of_peer: max_connections, trusted: Vec::new() };
    let acceptor =
        accept::Acceptor { listener, tls, port, most, keep_alive: Duration::from_secs(75), host: None, stop };
    let served = tokio::spawn(acceptor.serve(async {
        let _ = shutdown.await;
    }));
    Running { address, stop: sender, served, database }
}

async fn channel(port: &Running) -> Channel {
    Channel::from_shared(format!("http://{}", port.address)).unwrap().connect().await.unwrap()
}

/// The bytes that come back on a connection that sent `bytes`, until it is closed.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is accepted as an end, like a close.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn http_1_and_http_2_are_served_on_the_same_port() {
    let port = port(16).await;
    let answer = exchange(port.address, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
    let mut health = HealthClient::new(channel(&port).await);
    assert!(health.check(HealthCheckRequest { service: String::new() }).await.is_ok());
}

#[tokio::test]
async fn both_are_served_over_tls_and_plaintext_is_not() {
    let folder = tempfile::TempDir::new().unwrap();
    let (files, trusted) = tls_tests::write(&folder);
    let port = port_with(16, Some(Tls::load(files).unwrap())).await;
    let connect = async |offer: &str| {
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(port.address).await.unwrap();
        tls_tests::connector(&trusted, &[offer]).connect(name, stream).await.unwrap()
    };

    let mut http_1 = connect("http/1.1").await;
    http_1.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    http_1.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let io = TokioIo::new(connect("h2").await);
    let (mut http_2, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://localhost/").body(axum::body::Body::empty()).unwrap();
    assert_eq!(http_2.send_request(request).await.unwrap().status(), 200);

    let plain = exchange(port.address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(plain.starts_with("HTTP/1.1 400 ") && plain.contains("this port speaks TLS"), "{plain}");
    let grpc = exchange(port.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(grpc.contains("this port speaks TLS"), "{grpc}");
}

#[tokio::test]
async fn tls_on_a_plain_port_is_told_so() {
    let folder = tempfile::TempDir::new().unwrap();
    let (_, trusted) = tls_tests::write(&folder);
    let port = port(16).await;
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(port.address).await.unwrap();
    assert!(tls_tests::connector(&trusted, &["h2"]).connect(name, stream).await.is_err());
    // The port does not wait for a hello that does not end.
    let hello = [&[0x16, 3, 1, 0x40, 0][..], &[1; 3000]].concat();
    let answer = exchange(port.address, &hello).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("this port speaks plain HTTP"), "{answer}");
}

#[tokio::test]
async fn json_ends_with_a_line_and_says_how_long_it_is() {
    let port = port(16).await;
    for asked in ["GET /json", "GET /nothing-here", "HEAD /json"] {
        let request = format!("{asked} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = exchange(port.address, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head.to_ascii_lowercase().split_once("content-length: ").unwrap().1.to_owned();
        let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
        if asked.starts_with("HEAD") {
            assert_eq!((length, body), ("{\"a\":1}\n".len(), ""));
        } else {
            assert!(body.ends_with("}\n") && body.len() == length, "{answer}");
        }
    }
    let plain = exchange(port.address, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(plain.ends_with("here"), "{plain}");
}

#[tokio::test]
async fn health_of_every_service_follows_the_database() {
    let port = port(16).await;
    let mut health = HealthClient::new(channel(&port).await);
    for (ready, expected) in
        [(true, ServingStatus::Serving), (false, ServingStatus::NotServing), (true, ServingStatus::Serving)]
    {
        port.database.send(ready).unwrap();
        sleep(Duration::from_millis(50)).await;
        for service in ["", "countersign.v1.DecisionService", "countersign.v1.StatusService"] {
            let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
            assert_eq!(answer.into_inner().status(), expected, "{service}");
        }
    }
    let unknown = health.check(HealthCheckRequest { service: "made.up".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_answers_in_both_versions_without_a_credential() {
    let port = port(16).await;
    let channel = channel(&port).await;

    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap().unwrap());
    assert!(answer.contains("countersign.v1.DecisionService") && answer.contains("grpc.health.v1.Health"), "{answer}");

    let symbol = "countersign.v1.SponsorService".to_owned();
    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol)),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap().unwrap());
    assert!(answer.contains("FileDescriptorResponse"), "{answer}");
}

#[tokio::test]
async fn what_was_accepted_is_finished_and_nothing_new_is_taken() {
    let port = port(16).await;
    let request = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let slow = tokio::spawn(exchange(port.address, request));
    let mut health = HealthClient::new(channel(&port).await);
    let mut watched =
        health.watch(Request::new(HealthCheckRequest { service: String::new() })).await.unwrap().into_inner();
    watched.message().await.unwrap();
    sleep(Duration::from_millis(200)).await;

    port.stop.send(()).unwrap();
    let stopped = Instant::now();
    timeout(Duration::from_secs(10), port.served).await.expect("stops by itself").unwrap();
    assert!(stopped.elapsed() > Duration::from_secs(1), "the slow request was cut off");
    assert!(slow.await.unwrap().ends_with("slow"));
    assert!(TcpStream::connect(port.address).await.is_err());
    let end = loop {
        match watched.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream that is cut off must not look complete"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_connection_above_the_limit_ends_an_idle_one() {
    let port = port(1).await;
    let mut held = TcpStream::connect(port.address).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(exchange(port.address, request).await.starts_with("HTTP/1.1 200"));
    assert_eq!(held.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is closed");
}

/// The answers on one connection to requests that are sent one after another, a second apart.
async fn in_turn(address: SocketAddr, requests: &[&[u8]]) -> Vec<String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answers = Vec::new();
    for request in requests {
        if stream.write_all(request).await.is_err() {
            break;
        }
        let mut answer = vec![0; 4096];
        let read = timeout(Duration::from_secs(30), stream.read(&mut answer)).await.unwrap().unwrap_or(0);
        answers.push(String::from_utf8_lossy(&answer[..read]).into_owned());
        sleep(Duration::from_secs(1)).await;
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_spares_the_next_request_of_its_connection() {
    let port = port(16).await;
    let posting = |kind: &str, body: &str, more: &str| {
        let path = "/countersign.v1.OperatorService/WhoAmI";
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: x.example\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}\r\n{body}"
        )
    };
    let good: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let short = "x".repeat(3000);
    for (refused, status) in [
        (posting("text/plain", &short, ""), "415"),
        (posting("application/json", &short, ""), "401"),
        (posting("application/json", &"x".repeat(30_000), ""), "413"),
    ] {
        let answers = in_turn(port.address, &[refused.as_bytes(), good, good]).await;
        assert_eq!(answers.len(), 3, "{status}: {answers:?}");
        assert!(!answers[0].to_ascii_lowercase().contains("connection: close"), "{answers:?}");
        assert!(answers[1].starts_with("HTTP/1.1 200") && answers[2].starts_with("HTTP/1.1 200"), "{answers:?}");
    }
    // The connection cannot wait for a body that does not come: the answer says that the connection ends.
    let head = "POST /issue HTTP/1.1\r\nHost: x.example\r\nContent-Type: text/plain\r\nContent-Length: 9000\r\n";
    for more in ["\r\n", "Expect: 100-continue\r\n\r\n"] {
        let answers = in_turn(port.address, &[format!("{head}{more}").as_bytes()]).await;
        assert!(answers[0].to_ascii_lowercase().contains("connection: close"), "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_the_next_request() {
    let port = port(16).await;
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    let mut answer = vec![0; 4096];
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
        sleep(Duration::from_secs(70)).await;
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(stream.read(&mut answer).await.unwrap_or(0), 0, "and not for ever");
    // The head of a later request may not take as long.
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_ne!(stream.read(&mut answer).await.unwrap(), 0);
    sleep(Duration::from_secs(30)).await;
    stream.write_all(b"GET / HT").await.unwrap();
    let begun = Instant::now();
    assert_eq!(stream.read(&mut answer).await.unwrap_or(0), 0);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Time advances by itself while every task waits, so a wait of minutes is over at once.
#[tokio::test(start_paused = true)]
async fn a_peer_that_stalls_is_cut_off_wherever_it_stalls() {
    let port = port(16).await;
    let stalls: [(&str, &[u8]); 4] = [
        ("says nothing", b""),
        ("begins HTTP/2's preface", b"PRI * HT"),
        ("begins a request line", b"GET / HTT"),
        ("begins a header", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "),
    ];
    for (what, bytes) in stalls {
        let started = Instant::now();
        let closed = timeout(Duration::from_mins(1), exchange(port.address, bytes)).await;
        assert!(closed.is_ok(), "{what}: still open after {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let port = port(16).await;
    let mut request = b"GET / HTTP/1.1\r\nHost: localhost\r\n".to_vec();
    write!(request, "X-Large: {}\r\n\r\n", "x".repeat(64 * 1024)).unwrap();
    let answer = exchange(port.address, &request).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn plaintext_stays_on_loopback_unless_tls_ends_in_front() {
    let anywhere = Options { listen: ([0, 0, 0, 0], 0).into(), ..options() };
    assert!(matches!(Server::bind(anywhere.clone()).await, Err(ServeError::Plaintext(_))));
    assert!(Server::bind(Options { tls_terminated_in_front: true, ..anywhere }).await.is_ok());
    let server = Server::bind(options()).await.unwrap();
    assert_ne!(server.local_addr().port(), 0);
    let taken = Options { listen: server.local_addr(), ..options() };
    assert!(matches!(Server::bind(taken).await, Err(ServeError::Bind { .. })));
}

#[tokio::test]
async fn a_limit_that_cannot_be_is_named() {
    let limits = Limits::default();
    for (limits, name) in [
        (Limits { max_message_bytes: 0, ..limits }, "max_message_bytes"),
        (Limits { max_message_bytes: MAX_MESSAGE_BYTES + 1, ..limits }, "max_message_bytes"),
        (Limits { max_concurrent_requests: 0, ..limits }, "max_concurrent_requests"),
        (Limits { max_concurrent_streams: 0, ..limits }, "max_concurrent_streams"),
        (Limits { max_connections: 0, ..limits }, "max_connections"),
        (Limits { max_connections_per_peer: 0, ..limits }, "max_connections_per_peer"),
        (Limits { request_timeout: Duration::ZERO, ..limits }, "request_timeout"),
    ] {
        let error = Server::bind(Options { limits, ..options() }).await.err().expect("refused");
        assert!(error.to_string().contains(name), "{error}");
    }
}
