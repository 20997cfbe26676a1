//! Identity providers and webhooks are called through the proxy that the environment names.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use countersign_integration::{Launch, record};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    oidc::IdentityProvider,
    support::{World, eventually},
    webhooks::{Receiver, configured, roll_back, with},
};

const PASSWORD: &str = "a-password-of-the-proxy";
/// A host that only the proxy finds, and one to which no proxy leads.
const INSIDE: &str = "inside.example.test";
const AROUND: &str = "around.example.test";

/// A proxy that takes CONNECT from those who know its password, and finds every host on this machine.
struct ForwardProxy {
    address: SocketAddr,
    asked: Arc<Mutex<BTreeSet<String>>>,
    accepting: JoinHandle<()>,
}

impl ForwardProxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<BTreeSet<String>>>::default();
        let noted = asked.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, noted.clone()));
            }
        });
        Self { address, asked, accepting }
    }

    fn url(&self) -> String {
        format!("http://agent:{PASSWORD}@{}", self.address)
    }

    /// Which hosts it was asked for, with their ports.
    fn asked(&self) -> BTreeSet<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn tunnel(client: TcpStream, asked: Arc<Mutex<BTreeSet<String>>>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let known = format!("basic {}", STANDARD.encode(format!("agent:{PASSWORD}")));
    let said = head
        .iter()
        .find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization")));
    let target = head.first().and_then(|line| line.strip_prefix("CONNECT ")?.split(' ').next());
    let (Some(target), true) = (target, said.is_some_and(|(_, value)| value.eq_ignore_ascii_case(&known))) else {
        return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    };
    asked.lock().unwrap().insert(target.to_owned());
    let port = target.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
    let mut server = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Writes a certificate for the hosts of these tests.
fn certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed([INSIDE.to_owned(), AROUND.to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_through_the_proxy() {
    record::secret(PASSWORD);
    let proxy = ForwardProxy::start().await;
    let tls = tempfile::tempdir().unwrap();
    certificate(tls.path());
    let (_provider, issuer) = IdentityProvider::with_tls(INSIDE, tls.path()).await;
    let (through, local) = (Receiver::with_tls(tls.path()).await, Receiver::start(0).await);
    let url = |host: &str| format!("https://{host}:{}/hooks/a-token-in-a-path", through.port());
    let events = "rollout.rolled_back";
    let folder = configured(&[
        ("through", &url(INSIDE), events),
        ("around", &url(AROUND), events),
        ("here", &local.url(), events),
    ]);
    let ca = tls.path().join("cert.pem");
    let file = folder.path().join("countersign.yaml");
    let config =
        fs::read_to_string(&file).unwrap().replace("    events:", &format!("    ca: {}\n    events:", ca.display()));
    let operators = format!(
        "operators:\n  oidc:\n    - name: corp\n      issuer: {issuer}\n      audience: https://countersign.example\n      \
         ca: {}\n      role_claim: roles\n      roles:\n        - value: cs-admins\n          grants: [admin]\n",
        ca.display()
    );
    fs::write(&file, config + &operators).unwrap();
    let proxied = |launch: Launch| {
        let launch = launch.variable("HTTPS_PROXY", &proxy.url()).variable("http_proxy", &proxy.url());
        with(launch.variable("no_proxy", AROUND), &folder)
    };
    let world = World::start_with(proxied).await;

    let fetched = "countersign_oidc_key_fetches_total{issuer=\"corp\",outcome=\"ok\"}";
    eventually("the provider's keys are read", async || world.counted(fetched).await >= 1.0).await;
    roll_back(&world).await;
    assert_eq!(through.next()["verified"], serde_json::json!([true, true, false]));
    assert_eq!(local.next()["status"], 204, "nothing leads this machine's own traffic elsewhere");
    let failed = "countersign_webhook_tries_total{webhook=\"around\",outcome=\"failed\"}";
    eventually("the host that the proxy is not for is looked up", async || world.counted(failed).await >= 1.0).await;
    let provider = issuer.trim_start_matches("https://").to_owned();
    assert_eq!(proxy.asked(), BTreeSet::from([provider, format!("{INSIDE}:{}", through.port())]));

    let log = world.server.log();
    assert!(log.contains(&format!("http://{}", proxy.address)) && log.contains("through the proxy"), "{log}");
    assert!(!log.contains(PASSWORD) && !log.contains("a-token-in-a-path"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_named() {
    record::secret(PASSWORD);
    let proxy = ForwardProxy::start().await;
    let folder = configured(&[("on-call", &format!("https://{INSIDE}/a-token-in-a-path"), "rollout.rolled_back")]);
    let wrong = format!("http://agent:a-wrong-password@{}", proxy.address);
    let world = World::start_with(|launch| with(launch.variable("ALL_PROXY", &wrong), &folder)).await;
    roll_back(&world).await;
    eventually("it is logged", async || world.server.log().contains("proxy authorization required")).await;
    let log = world.server.log();
    assert!(!log.contains("a-wrong-password") && !log.contains("a-token-in-a-path"), "{log}");
    assert_eq!(proxy.asked(), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_another_kind_is_refused() {
    let folder = configured(&[("on-call", "https://hooks.example.test/", "rollout.rolled_back")]);
    let launch = Launch::dev().variable("HTTPS_PROXY", "socks5://u:a-password-of-the-proxy@proxy:1");
    let failure = with(launch, &folder).start().await.map(drop).unwrap_err().to_string();
    assert!(
        failure.contains("HTTPS_PROXY must be the URL of an HTTP proxy") && !failure.contains(PASSWORD),
        "{failure}"
    );
}
