//! The files of the project's first document as printed, TLS, and a server that has no policy yet.

use std::fs;

use countersign_client::v1;
use countersign_integration::{Cluster, Launch, Server};
use tempfile::TempDir;
use tonic::{
    Code, Response,
    transport::{Certificate, ClientTlsConfig, Endpoint},
};

use crate::support::{approve, decide, issue, refused, register, room};

const TOKEN_SERVICE: &str = "\
issuer: agent-token-svc
default_ttl_seconds: 300
max_ttl_seconds: 900   # do not allow > 15 minutes
require_sponsor: true
supported_tools: [billing, search, file-store]
";
pub(crate) const POLICY: &str = "\
rules:
  - id: allow-support-billing
    role: support
    tool: billing
    allowed_actions: [charge, refund]
rollout:
  percent: 10   # start at 10% canary
  increment: 2  # increase by 2% per day after checks
";

/// `serve` with the token service's file, and a folder for more.
pub(crate) fn plain() -> (Launch, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token-service-config.yml");
    fs::write(&file, TOKEN_SERVICE).unwrap();
    (Launch::plain().arg("--token-service-config").arg(file.to_str().unwrap()), folder)
}

/// The first admin registers bob; there is nobody else to approve him, so the database is told.
async fn sponsored(server: &Server, database: &countersign_integration::Database) -> countersign_client::Connection {
    let admin = server.connect(Some(&server.admin_key().unwrap())).await.unwrap();
    admin.sponsors().register_sponsor(register("bob")).await.unwrap();
    let answer = admin.sponsors().approve_sponsor(approve("bob")).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "FOUR_EYES");
    let mut connection = database.connect().await.unwrap();
    sqlx::query("UPDATE sponsor SET registered_by = 'bootstrap'").execute(&mut connection).await.unwrap();
    admin.sponsors().approve_sponsor(approve("bob")).await.unwrap();
    admin
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_documents_files_load_as_printed_and_start_a_canary_that_observes_the_rest() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, folder) = plain();
    let file = folder.path().join("policy-config.yaml");
    fs::write(&file, POLICY).unwrap();
    let server = launch.arg("--policy").arg(file.to_str().unwrap()).database(&database).start().await.unwrap();
    server.ready().await.unwrap();
    assert!(server.log().contains("baseline"), "the observing baseline is said loudly:\n{}", server.log());
    let admin = sponsored(&server, &database).await;
    let readiness = admin.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap().into_inner();
    assert!(readiness.warnings.iter().any(|warning| warning.contains("observes")), "{readiness:?}");
    let rollouts = admin.rollouts().list_rollouts(v1::ListRolloutsRequest::default()).await.unwrap().into_inner();
    let rollout = &rollouts.rollouts[0];
    assert_eq!((rollout.percent, rollout.baseline.as_str(), rollout.increment_per_day), (10, "observe", 2));
    assert_eq!(rollout.steps, [10, 30, 60, 100]);

    // `delete` is what no rule allows: inside it is denied, outside let through and marked.
    let local = countersign_client::Rollout::new(rollout).unwrap();
    for _ in 0..25 {
        let issued = admin.credentials().issue_credential(issue("bob")).await.unwrap().into_inner();
        let run = admin.with_token(&issued.token).unwrap();
        let answer = run.decisions().decide(decide("billing", "delete")).await.unwrap().into_inner();
        let expected = if local.is_enrolled(&issued.agent_instance_id) {
            (v1::Effect::Deny, v1::Enforcement::Enforced, v1::DecisionReason::NoMatchingRule)
        } else {
            (v1::Effect::Allow, v1::Enforcement::Shadow, v1::DecisionReason::Observed)
        };
        let reason = answer.reason.as_ref().unwrap().code();
        assert_eq!((answer.effect(), answer.enforcement(), reason), expected);
        let request = v1::GetDecisionRequest { policy_decision_id: answer.policy_decision_id };
        let kept = admin.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
        let shadow = if expected.0 == v1::Effect::Deny { v1::Effect::Allow } else { v1::Effect::Deny };
        assert_eq!(kept.shadow_effect(), shadow, "what the other side would have answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_nothing_is_allowed_nor_issued_and_readiness_says_so() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, _folder) = plain();
    let server = launch.database(&database).start().await.unwrap();
    server.becomes_ready(false).await.unwrap();
    let admin = sponsored(&server, &database).await;
    let readiness = admin.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap().into_inner();
    let failed: Vec<_> = readiness.checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
    assert_eq!((readiness.ready, failed), (false, vec!["policy"]));
    let answer = admin.credentials().issue_credential(issue("bob")).await.map(Response::into_inner);
    refused(answer, Code::Unavailable, "NOT_READY");

    let request = v1::CreatePolicyRequest { document: crate::support::document("refund"), ..Default::default() };
    let version = admin.policies().create_policy(request).await.unwrap().into_inner().policy.unwrap().version;
    let request = v1::ActivatePolicyRequest { version, reason: "the first".to_owned(), ..Default::default() };
    admin.policies().activate_policy(request).await.unwrap();
    server.ready().await.unwrap();
    admin.credentials().issue_credential(issue("bob")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_served_by_configuration_and_plaintext_stays_at_home() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, folder) = plain();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    countersign::secret_file::create(&key, &made.signing_key.serialize_pem()).unwrap();
    let config = folder.path().join("countersign.yaml");
    fs::write(&config, "tls:\n  certificate: cert.pem\n  private_key: key.pem\n").unwrap();
    let launch = launch.arg("--config").arg(config.to_str().unwrap()).database(&database);
    let server = launch.start().await.unwrap();
    let trust = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(made.cert.pem())).domain_name("localhost");
    let url = format!("https://localhost:{}", server.address().port());
    let channel = Endpoint::from_shared(url).unwrap().tls_config(trust).unwrap().connect().await.unwrap();
    let bearer = countersign_client::Bearer::new(&server.admin_key().unwrap()).unwrap();
    let admin = countersign_client::Connection::over(channel, bearer);
    let said = admin.operators().who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!(said.operator_id, "admin");
    let answer = server.http(None).get("/healthz").await.unwrap();
    assert!(
        answer.status == 400 && answer.text().contains("TLS"),
        "nothing but what the port speaks: {}",
        answer.text()
    );
    drop(server);

    let (launch, _folder) = plain();
    let launch = launch.database(&database).variable("COUNTERSIGN_LISTEN", "0.0.0.0:0");
    let failure = launch.start().await.unwrap_err().to_string();
    assert!(failure.contains("tls.certificate") && failure.contains("credentials must not travel"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_refused_with_every_key_by_name() {
    let (launch, folder) = plain();
    let config = folder.path().join("countersign.yaml");
    fs::write(&config, "limits:\n  recorder_queue: 0\n  max_conections: 5\n").unwrap();
    let failure = launch.arg("--config").arg(config.to_str().unwrap()).start().await.unwrap_err().to_string();
    for word in [
        "limits.recorder_queue",
        "limits.max_conections",
        "limits.max_connections",
        "database_url",
        "key_encryption_key_file",
        "countersign.yaml:3",
    ] {
        assert!(failure.contains(word), "{word} is not in\n{failure}");
    }
}
