//! Credentials whose signature holds and that nobody granted: made by who has a signing key and not the log. Another installation
//! with the same keys makes them here.

use std::time::Duration;

use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Database, Launch, Proxy, Server, Weather};
use serde_json::json;
use tokio::{sync::SemaphorePermit, time::timeout};
use tonic::Code;
use v1::{DecisionReason, Effect};

use crate::support::{Run, World, counted, decide, eventually, issue, refused, room};

/// Two installations with the same signing keys.
struct Twins {
    ours: Server,
    database: Database,
    rita: Connection,
    _theirs: Server,
    thief: Connection,
    _room: SemaphorePermit<'static>,
}

impl Twins {
    async fn start() -> Self {
        let room = room().await;
        let cluster = Cluster::shared().await.unwrap();
        let database = cluster.database().await.unwrap();
        let mut first = Launch::dev().database(&database).start().await.unwrap();
        first.ask_to_stop().unwrap();
        first.ended().await.unwrap();
        let stolen = cluster.copy(&database).await.unwrap();
        let ours = Launch::dev().database(&database).start().await.unwrap();
        let theirs = Launch::dev().database(&stolen).start().await.unwrap();
        let rita = ours.connect(None).await.unwrap();
        let thief = theirs.connect(None).await.unwrap();
        Self { ours, database, rita, _theirs: theirs, thief, _room: room }
    }
}

/// A credential by whom `by` speaks to.
async fn issued(by: &Connection, request: v1::IssueCredentialRequest) -> (String, String) {
    let issued = by.credentials().issue_credential(request).await.unwrap().into_inner();
    (issued.token, issued.agent_instance_id)
}

fn asks(token: &str) -> v1::DecideRequest {
    v1::DecideRequest { token: token.to_owned(), ..decide("billing", "refund") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_was_never_granted_is_good_for_nothing_at_any_door() {
    let twins = Twins::start().await;
    // However many revocations it says it has seen: here there are none.
    for _ in 0..3 {
        let request = v1::RevokeCredentialsRequest {
            scope: Some(v1::revoke_credentials_request::Scope::ToolId("file-store".to_owned())),
            reason: "to be ahead".to_owned(),
            ..Default::default()
        };
        twins.thief.credentials().revoke_credentials(request).await.unwrap();
    }
    let (forged, _) = issued(&twins.thief, issue("alice")).await;
    let (good, _) = issued(&twins.rita, issue("alice")).await;

    // Decisions, alone and among good ones.
    let answer = twins.rita.decisions().decide(asks(&forged)).await.unwrap().into_inner();
    assert_eq!((answer.effect(), answer.reason.unwrap().code()), (Effect::Deny, DecisionReason::CredentialInvalid));
    let requests = [&good, &forged, &good, &forged].map(|token| asks(token)).to_vec();
    let request = v1::BatchDecideRequest { requests, ..Default::default() };
    let answers = twins.rita.decisions().batch_decide(request).await.unwrap().into_inner().responses;
    let effects: Vec<_> = answers.iter().map(v1::DecideResponse::effect).collect();
    assert_eq!(effects, [Effect::Allow, Effect::Deny, Effect::Allow, Effect::Deny]);

    // As a bearer it is nobody: no decision, no child, no SVID, no outcome.
    let bearer = twins.rita.with_token(&forged).unwrap();
    let decision = bearer.decisions().decide(decide("billing", "refund")).await;
    refused(decision, Code::Unauthenticated, "UNAUTHENTICATED");
    let child = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
    refused(bearer.credentials().delegate_credential(child.clone()).await, Code::Unauthenticated, "UNAUTHENTICATED");
    let svid = v1::MintJwtSvidRequest { audience: vec!["reports".to_owned()], ..Default::default() };
    refused(bearer.svids().mint_jwt_svid(svid.clone()).await, Code::Unauthenticated, "UNAUTHENTICATED");

    // Brought along by somebody who may.
    let by_rita = v1::DelegateCredentialRequest { parent_token: forged.clone(), ..child };
    refused(
        twins.rita.credentials().delegate_credential(by_rita).await,
        Code::FailedPrecondition,
        "CREDENTIAL_REFUSED",
    );
    let by_rita = v1::MintJwtSvidRequest { token: forged.clone(), ..svid };
    refused(twins.rita.svids().mint_jwt_svid(by_rita).await, Code::FailedPrecondition, "CREDENTIAL_REFUSED");
    let request = v1::IntrospectCredentialRequest { token: forged.clone() };
    let answer = twins.rita.credentials().introspect_credential(request).await.unwrap().into_inner();
    assert_eq!((answer.active, answer.reason.as_str()), (false, "CREDENTIAL_INVALID"));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let (http, body) = (twins.ours.http(None), format!("token={forged}"));
    let introspect = http.send(http::Method::POST, "/oauth/introspect", &form, body.into());
    assert_eq!(introspect.await.unwrap().json()["active"], json!(false));

    assert!(counted(&twins.ours, "countersign_grant_lookups_total{found=\"no\"}").await >= 1.0);
    assert!(twins.ours.log().contains("was never granted as it states"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_says_more_than_its_grant_is_refused_by_who_did_not_grant_it() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    // What a second server reads of the run is not what the credential says.
    let mut connection = world.database.connect().await.unwrap();
    let change = "UPDATE instance SET inherited_roles = '{user}' WHERE instance_id = $1::uuid";
    let id = run.id.strip_prefix("inst_").unwrap();
    sqlx::query(change).bind(id).execute(&mut connection).await.unwrap();
    let second = world.second().await;
    let there = second.connect(None).await.unwrap();
    let answer = there.decisions().decide(asks(&run.token)).await.unwrap().into_inner();
    assert_eq!((answer.effect(), answer.reason.unwrap().code()), (Effect::Deny, DecisionReason::CredentialInvalid));
    // Not kept: once the two agree it is believed.
    sqlx::query("UPDATE instance SET inherited_roles = NULL").execute(&mut connection).await.unwrap();
    let third = world.second().await;
    let there = third.connect(None).await.unwrap();
    assert_eq!(there.decisions().decide(asks(&run.token)).await.unwrap().into_inner().effect(), Effect::Allow);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_granted_is_looked_up_once_and_what_this_one_did_never() {
    let world = World::start().await;
    let second = world.second().await;
    let there = second.connect(None).await.unwrap();
    let runs = [world.run_of("alice").await, world.run_of("alice").await, world.run_of("alice").await];
    let child = runs[0].child().await;
    let looked_up = "countersign_grant_lookups_total{found=\"yes\"}";
    for _ in 0..3 {
        let tokens = runs.iter().chain([&child]).map(|run| asks(&run.token)).collect();
        let request = v1::BatchDecideRequest { requests: tokens, ..Default::default() };
        for on in [&world.rita, &there] {
            let answers = on.decisions().batch_decide(request.clone()).await.unwrap().into_inner().responses;
            assert!(answers.iter().all(|answer| answer.effect() == Effect::Allow), "{answers:?}");
        }
    }
    assert!((counted(&second, looked_up).await - 4.0).abs() < 0.1);
    assert!(counted(&world.server, looked_up).await < 0.1);
    // A renewal is another grant.
    let again = v1::IssueCredentialRequest { agent_instance_id: runs[1].id.clone(), ..issue("alice") };
    let (token, _) = issued(&world.rita, again).await;
    assert_eq!(there.decisions().decide(asks(&token)).await.unwrap().into_inner().effect(), Effect::Allow);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_ask_the_log_allows_nothing_that_it_does_not_know() {
    let room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let server = Launch::dev().database(&database).start().await.unwrap();
    let rita = server.connect(None).await.unwrap();
    let (proxy, through) = Proxy::to_database(&database).await.unwrap();
    let cut_off = Launch::dev().database(&through).start().await.unwrap();
    let there = cut_off.connect(None).await.unwrap();
    let (token, _) = issued(&rita, issue("alice")).await;
    proxy.becomes(Weather::Cut);
    let wait = Duration::from_secs(20);
    let request = v1::IntrospectCredentialRequest { token: token.clone() };
    let said = timeout(wait, there.credentials().introspect_credential(request.clone())).await;
    assert!(!matches!(said, Ok(Ok(said)) if said.get_ref().active), "nobody knows whether it was granted");
    let answer = timeout(wait, there.decisions().decide(asks(&token))).await;
    assert!(!matches!(answer, Ok(Ok(answer)) if answer.get_ref().effect() == Effect::Allow));
    proxy.becomes(Weather::Fair);
    cut_off.becomes_ready(true).await.unwrap();
    // The first after that may find that its connection is gone.
    eventually("it is known again", async || {
        let answer = there.decisions().decide(asks(&token)).await;
        answer.is_ok_and(|answer| answer.get_ref().effect() == Effect::Allow)
    })
    .await;
    drop(room);
}

/// What a read-only database still says is read, and nothing is allowed that cannot be recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_writes_allows_nothing() {
    let twins = Twins::start().await;
    let (token, _) = issued(&twins.rita, issue("alice")).await;
    let mut admin = twins.database.connect().await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut admin).await.unwrap();
    let read_only = sqlx::AssertSqlSafe(format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    sqlx::query(read_only).execute(&mut admin).await.unwrap();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::raw_sql(others).execute(&mut admin).await.unwrap();
    for _ in 0..3 {
        let answer = timeout(Duration::from_secs(20), twins.rita.decisions().decide(asks(&token))).await;
        assert!(!matches!(answer, Ok(Ok(answer)) if answer.get_ref().effect() == Effect::Allow));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_grant_of_a_run_is_known_to_who_names_the_run() {
    let world = World::start().await;
    let second = world.second().await;
    let run: Run = world.run_of("alice").await;
    let there = run.on(&second.connect(None).await.unwrap());
    assert_eq!(there.decide("billing", "refund").await.unwrap().effect(), Effect::Allow);
    let child = there.child().await;
    assert_eq!(child.decide("billing", "refund").await.unwrap().effect(), Effect::Allow);
}
