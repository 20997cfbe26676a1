//! Operators whom an OpenID Connect provider names: a real one, that is not ours.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Http, Server};
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::OnceCell, task::spawn_blocking, time::sleep};
use tonic::{Code, Response, Status};

use crate::{
    configuration::plain,
    foreign,
    support::{approve, document, info, log, refused, register, room},
};

/// What our tokens are for.
const AUDIENCE: &str = "https://countersign.example";

/// A provider's process. It ends with its standard input, and so with the tests.
pub(crate) struct IdentityProvider {
    process: Child,
    address: SocketAddr,
}

impl IdentityProvider {
    async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self::start_on(free).await
    }

    /// Starts with fresh keys.
    async fn start_on(address: SocketAddr) -> Self {
        Self::run(address, &[]).await
    }

    /// Starts with TLS, under another name than that of its address. Returns its issuer too.
    pub(crate) async fn with_tls(host: &str, folder: &Path) -> (Self, String) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let issuer = format!("https://{host}:{}", free.port());
        (Self::run(free, &[&issuer, folder.to_str().unwrap()]).await, issuer)
    }

    async fn run(address: SocketAddr, tls: &[&str]) -> Self {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        INSTALLED.get_or_init(|| foreign::install("oidc")).await;
        let script = foreign::folder("oidc").join("provider.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .arg(address.port().to_string())
            .args(tls)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = spawn_blocking(move || said.any(|line| line.is_ok_and(|line| line == "listening")));
        assert!(listening.await.unwrap(), "the provider ended before it listened");
        Self { process, address }
    }

    fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A token of this service account, for this audience.
    async fn token(&self, account: &str, audience: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_secret=a-secret-of-the-tests&client_id={}&resource={audience}",
            account.replace(' ', "%20")
        );
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        let answer = Http::new(self.address, None).send(Method::POST, "/token", &kind, form.into()).await.unwrap();
        answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("no token: {}", answer.text())).to_owned()
    }

    async fn keys(&self) -> Value {
        Http::new(self.address, None).get("/jwks").await.unwrap().json()
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A server without dev whose operators come from this provider, and its folder.
async fn server(provider: &IdentityProvider) -> (Server, countersign_integration::Database, TempDir) {
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, folder) = plain();
    let config = format!(
        "policy: policy-config.yaml\n\
         operators:\n  oidc:\n    - name: corp\n      issuer: {}\n      audience: {AUDIENCE}\n      \
         role_claim: realm_access.roles\n      roles:\n        \
         - value: cs-admins\n          grants: [admin, registrar]\n        \
         - value: cs-approvers\n          grants: [approver]\n",
        provider.issuer()
    );
    fs::write(folder.path().join("policy-config.yaml"), document("refund")).unwrap();
    let file = folder.path().join("countersign.yaml");
    fs::write(&file, config).unwrap();
    let server = launch.arg("--config").arg(file.to_str().unwrap()).database(&database).start().await.unwrap();
    (server, database, folder)
}

async fn who(server: &Server, token: &str) -> Result<v1::WhoAmIResponse, Status> {
    let connection = server.connect(Some(token)).await.unwrap();
    connection.operators().who_am_i(v1::WhoAmIRequest {}).await.map(Response::into_inner)
}

#[track_caller]
fn unauthenticated(outcome: Result<v1::WhoAmIResponse, Status>, token: &str, says: &str) {
    let status = outcome.expect_err("was to be refused");
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
    assert!(status.message().contains(says), "{says}: {}", status.message());
    assert!(!status.message().contains(token), "the token is repeated");
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_real_provider_name_operators_who_have_four_eyes_without_a_row() {
    let _room = room().await;
    let provider = IdentityProvider::start().await;
    let (server, database, _folder) = server(&provider).await;
    let mut connections = Vec::new();
    for (account, id, roles) in [
        ("ada", "oidc.corp.ada", &["admin", "registrar"][..]),
        ("Bob Example", "oidc.corp@", &["approver"]),
        ("eddie", "oidc.corp.eddie", &["approver"]),
        ("pia", "oidc.corp.pia", &["approver"]),
    ] {
        let token = provider.token(account, AUDIENCE).await;
        let said = who(&server, &token).await.unwrap();
        assert!(said.operator_id.starts_with(id) && said.roles == roles, "{account}: {said:?}");
        connections.push((server.connect(Some(&token)).await.unwrap(), said.operator_id));
    }
    let [(ada, ada_id), (bob, bob_id), ..] = connections.as_slice() else { panic!("there are four") };
    // Whose logins they are, the first admin says, and then a second person.
    let admin = server.connect(Some(&server.admin_key().unwrap())).await.unwrap();
    for (login, person) in [(ada_id, "ada"), (bob_id, "bob")] {
        let (operator_id, person_id, reason) = (login.clone(), person.to_owned(), "from the staff list".to_owned());
        let bind = v1::BindPersonRequest { operator_id, person_id, reason, ..Default::default() };
        admin.operators().bind_person(bind).await.unwrap();
    }
    ada.sponsors().register_sponsor(register("carol")).await.unwrap();
    let answer = ada.sponsors().approve_sponsor(approve("carol")).await.map(Response::into_inner);
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    let answer = bob.sponsors().approve_sponsor(approve("carol")).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "FOUR_EYES");
    let (operator_id, person_id, reason) = (bob_id.clone(), "bob".to_owned(), "works next to me".to_owned());
    let confirm = v1::ConfirmPersonRequest { operator_id, person_id, reason, ..Default::default() };
    ada.operators().confirm_person(confirm).await.unwrap();
    bob.sponsors().approve_sponsor(approve("carol")).await.unwrap();
    let events = log(&database).await;
    let by = |kind| events.iter().rev().find(|event| event.kind() == kind).unwrap().text("operator_id");
    assert_eq!([by("sponsor_approved"), by("sponsor_registered")], [bob_id, ada_id]);

    // Whoever is disabled here is let in by no provider.
    let (operator_id, reason) = (bob_id.clone(), "has left".to_owned());
    let disable = v1::DisableOperatorRequest { operator_id, reason, ..Default::default() };
    admin.operators().disable_operator(disable).await.unwrap();
    let gone = bob.operators().who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    assert!(gone.code() == Code::Unauthenticated && gone.message().contains("disabled"), "{gone}");

    // Known, and may do nothing: a refusal that says who can change that, and no outage.
    let guest = who(&server, &provider.token("guest", AUDIENCE).await).await;
    assert_eq!(refused(guest, Code::PermissionDenied, "ROLE_REQUIRED").metadata["roles"], "admin,registrar,approver");

    // Admins come in by the provider, so the last key may go.
    let first = v1::ListApiKeysRequest { operator_id: "admin".to_owned(), ..Default::default() };
    let key = ada.operators().list_api_keys(first).await.unwrap().into_inner().api_keys.remove(0);
    let request = v1::RevokeApiKeyRequest { key_id: key.key_id, ..Default::default() };
    ada.operators().revoke_api_key(request).await.unwrap();
    assert!(who(&server, &server.admin_key().unwrap()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_do_not_hold_name_nobody() {
    let _room = room().await;
    let (provider, stranger) = tokio::join!(IdentityProvider::start(), IdentityProvider::start());
    let (server, _database, _folder) = server(&provider).await;
    let good = provider.token("ada", AUDIENCE).await;
    who(&server, &good).await.unwrap();
    let brief = provider.token("brief", AUDIENCE).await;

    let wrong_aud = provider.token("ada", "https://somewhere.else").await;
    unauthenticated(who(&server, &wrong_aud).await, &wrong_aud, "aud");
    let wrong_iss = stranger.token("ada", AUDIENCE).await;
    unauthenticated(who(&server, &wrong_iss).await, &wrong_iss, "is not valid");

    let parts: Vec<_> = good.split('.').collect();
    let mut claims = claims(&good);
    claims["realm_access"]["roles"] = serde_json::json!(["cs-approvers"]);
    let tampered = format!("{}.{}.{}", parts[0], part(&claims), parts[2]);
    unauthenticated(who(&server, &tampered).await, &tampered, "signature");
    let header = jsonwebtoken::decode_header(&good).unwrap();
    let none = serde_json::json!({"alg": "none", "typ": header.typ, "kid": header.kid});
    let unsigned = format!("{}.{}.", part(&none), parts[1]);
    unauthenticated(who(&server, &unsigned).await, &unsigned, "asymmetric");
    // The public key as a shared secret, in the two ways it could be spelled.
    let keys = provider.keys().await;
    let public = keys["keys"].as_array().unwrap().iter().find(|key| key["kty"] == "RSA").unwrap();
    for secret in [public.to_string(), public["n"].as_str().unwrap().to_owned()] {
        let header = Header { kid: header.kid.clone(), typ: header.typ.clone(), ..Header::new(Algorithm::HS256) };
        let shared = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap();
        unauthenticated(who(&server, &shared).await, &shared, "algorithm");
    }
    // Good for a second, and for five more where clocks differ.
    sleep(Duration::from_secs(7)).await;
    unauthenticated(who(&server, &brief).await, &brief, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_may_start_late_change_its_keys_and_be_down() {
    let _room = room().await;
    let mut provider = IdentityProvider::start().await;
    let early = provider.token("ada", AUDIENCE).await;
    provider.stop();
    let (server, _database, _folder) = server(&provider).await;
    let status = who(&server, &early).await.unwrap_err();
    assert_eq!(
        (status.code(), info(&status).reason.as_str()),
        (Code::Unavailable, "NOT_READY"),
        "no refusal: it is down"
    );
    who(&server, &server.admin_key().unwrap()).await.expect("API keys go their own way");

    // Another start, other keys: each token is taken within the five seconds between two fetches, and a little.
    let mut tokens = Vec::new();
    for _ in 0..2 {
        provider.stop();
        provider = IdentityProvider::start_on(provider.address).await;
        let token = provider.token("ada", AUDIENCE).await;
        let began = Instant::now();
        while let Err(status) = who(&server, &token).await {
            assert!(began.elapsed() < Duration::from_secs(30), "{status:?}");
            sleep(Duration::from_millis(200)).await;
        }
        tokens.push(token);
    }
    let [replaced, current] = tokens.as_slice() else { panic!("there are two") };
    // Past the few seconds for which a bearer is known.
    sleep(Duration::from_secs(6)).await;
    unauthenticated(who(&server, replaced).await, replaced, "does not publish");

    provider.stop();
    sleep(Duration::from_secs(6)).await;
    let connection: Connection = server.connect(Some(current)).await.unwrap();
    connection.operators().who_am_i(v1::WhoAmIRequest {}).await.expect("known keys count while it is down");
    unauthenticated(who(&server, &early).await, &early, "does not publish");
}
