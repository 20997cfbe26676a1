//! A request id that is repeated: it gives back what was given, and never more than would be given now.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_client::{Connection, v1};
use http::StatusCode;
use serde_json::{Value, json};
use tonic::{Code, Response, Status};

use crate::{
    approvals::{self, ALLOWS, EXPIRED, said, yes},
    operators::admin,
    support::{Run, World, decide, document, eventually, issue, refused},
};

/// A refund under a request id, with a receipt.
fn keyed(id: &str) -> v1::DecideRequest {
    v1::DecideRequest { request_id: id.to_owned(), want_receipt: true, ..decide("billing", "refund") }
}

async fn ask(by: &Connection, call: &v1::DecideRequest) -> Result<v1::DecideResponse, Status> {
    by.decisions().decide(call.clone()).await.map(Response::into_inner)
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn jti(token: &str) -> String {
    claims(token)["jti"].as_str().unwrap().to_owned()
}

#[track_caller]
fn already(answer: Result<v1::DecideResponse, Status>, first: &v1::DecideResponse) {
    let info = refused(answer, Code::FailedPrecondition, "ALREADY_DECIDED");
    assert_eq!(info.metadata["policy_decision_id"], first.policy_decision_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allow_is_given_again_with_its_first_receipt_on_any_server_that_saw_it_happen() {
    let world = World::start().await;
    let second = world.second().await;
    let run = world.run_of("alice").await;
    let elsewhere = run.on(&second.connect(None).await.unwrap());
    let first = ask(&run.connection, &keyed("r-1")).await.unwrap();
    assert!(!first.replayed && !first.receipt.is_empty());
    let size = world.log_size().await;
    for by in [&run.connection, &elsewhere.connection] {
        let again = ask(by, &keyed("r-1")).await.unwrap();
        assert!(again.replayed);
        assert_eq!((&again.policy_decision_id, again.log_index), (&first.policy_decision_id, first.log_index));
        assert_eq!(claims(&again.receipt), claims(&first.receipt), "one decision, one receipt");
        assert!(again.cache_ttl.unwrap().seconds < first.cache_ttl.unwrap().seconds);
    }
    assert_eq!(world.log_size().await, size, "nothing more is in the log");

    // A server that began later cannot tell how long ago that was, whatever any clock shows.
    let late = world.second().await;
    let late = run.on(&late.connect(None).await.unwrap());
    already(ask(&late.connection, &keyed("r-1")).await, &first);
    assert_eq!(ask(&late.connection, &keyed("r-2")).await.unwrap().effect(), v1::Effect::Allow);
}

/// What ends an ALLOW.
#[derive(Debug, Clone, Copy)]
enum Stop {
    KillSwitch,
    RevokeInstance,
    RevokeCredential,
    SuspendSponsor,
    RevokeKey,
    OtherPolicy,
    SamePolicyAgain,
    Renewed,
}

impl Stop {
    const ALL: [Self; 8] = [
        Self::KillSwitch,
        Self::RevokeInstance,
        Self::RevokeCredential,
        Self::SuspendSponsor,
        Self::RevokeKey,
        Self::OtherPolicy,
        Self::SamePolicyAgain,
        Self::Renewed,
    ];
}

fn reason() -> String {
    "an end".to_owned()
}

async fn stop(world: &World, run: &Run, stop: Stop) {
    match stop {
        Stop::KillSwitch => {
            let scope = v1::KillSwitchScope::Sponsor.into();
            let request =
                v1::EngageKillSwitchRequest { scope, id: "alice".to_owned(), reason: reason(), ..Default::default() };
            world.rita.policies().engage_kill_switch(request).await.unwrap();
        }
        Stop::RevokeInstance => {
            let request =
                v1::RevokeInstanceRequest { agent_instance_id: run.id.clone(), reason: reason(), ..Default::default() };
            world.oscar.instances().revoke_instance(request).await.unwrap();
        }
        Stop::RevokeCredential => {
            let request =
                v1::RevokeCredentialRequest { credential_id: jti(&run.token), reason: reason(), ..Default::default() };
            world.rita.credentials().revoke_credential(request).await.unwrap();
        }
        Stop::SuspendSponsor => {
            let request =
                v1::SuspendSponsorRequest { sponsor_id: "alice".to_owned(), reason: reason(), ..Default::default() };
            world.oscar.sponsors().suspend_sponsor(request).await.unwrap();
        }
        Stop::RevokeKey => {
            let admin = admin(&world.server).await;
            let keys = admin.signing_keys().list_signing_keys(v1::ListSigningKeysRequest::default()).await.unwrap();
            let active =
                keys.into_inner().keys.into_iter().find(|key| key.state() == v1::SigningKeyState::Active).unwrap();
            let request = v1::MarkKeyCompromisedRequest { kid: active.kid, reason: reason(), ..Default::default() };
            admin.signing_keys().mark_key_compromised(request).await.unwrap();
        }
        Stop::OtherPolicy => approvals::activate(world, &document("delete")).await,
        Stop::SamePolicyAgain => approvals::activate(world, &(document("refund, charge") + "# again\n")).await,
        Stop::Renewed => {
            let request = v1::IssueCredentialRequest { agent_instance_id: run.id.clone(), ..issue("alice") };
            world.rita.credentials().issue_credential(request).await.unwrap();
        }
    }
}

/// What was allowed is not given again after `end`, through any door.
async fn nothing_comes_back(end: Stop) {
    let world = World::start().await;
    approvals::activate(&world, &document("refund, charge")).await;
    let second = world.second().await;
    let run = world.run_of("alice").await;
    let elsewhere = run.on(&second.connect(None).await.unwrap());
    let by_gate = v1::DecideRequest { token: run.token.clone(), ..keyed("g") };
    let batch = |id: &str| v1::BatchDecideRequest {
        requests: vec![decide("billing", "delete"), decide("billing", "refund")],
        request_id: id.to_owned(),
    };
    let inner = v1::BatchDecideRequest { requests: vec![keyed("i")], ..Default::default() };
    // So that both servers know the run, and refuse the repetition, not who asks, where its key is compromised.
    ask(&elsewhere.connection, &decide("billing", "refund")).await.unwrap();
    let first = ask(&run.connection, &keyed("r")).await.unwrap();
    let gates = ask(&world.rita, &by_gate).await.unwrap();
    let of_batch = run.connection.decisions().batch_decide(batch("b")).await.unwrap().into_inner().responses;
    let of_inner = run.connection.decisions().batch_decide(inner.clone()).await.unwrap().into_inner().responses;
    stop(&world, &run, end).await;

    // The renewed run asks with its new credential; all others with what they had.
    let (own, there) = if matches!(end, Stop::Renewed) {
        let request = v1::IssueCredentialRequest { agent_instance_id: run.id.clone(), ..issue("alice") };
        let renewed = world.rita.credentials().issue_credential(request).await.unwrap().into_inner();
        (world.rita.with_token(&renewed.token).unwrap(), elsewhere.connection.with_token(&renewed.token).unwrap())
    } else {
        (run.connection.clone(), elsewhere.connection.clone())
    };
    for by in [&own, &there] {
        already(ask(by, &keyed("r")).await, &first);
        let answer = by.decisions().batch_decide(batch("b")).await.map(Response::into_inner);
        let info = refused(answer, Code::FailedPrecondition, "ALREADY_DECIDED");
        assert_eq!(info.metadata["policy_decision_id"], of_batch[1].policy_decision_id);
        let answer = by.decisions().batch_decide(inner.clone()).await.map(Response::into_inner);
        let info = refused(answer, Code::FailedPrecondition, "ALREADY_DECIDED");
        assert_eq!(info.metadata["policy_decision_id"], of_inner[0].policy_decision_id);
    }
    if !matches!(end, Stop::Renewed) {
        already(ask(&world.rita, &by_gate).await, &gates);
        let http = world.server.http(Some(&run.token));
        let body = json!({ "toolId": "billing", "action": "refund", "requestId": "r", "wantReceipt": true });
        let answer = http.call("DecisionService/Decide", &body).await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
        assert!(answer.text().contains("ALREADY_DECIDED"), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allow_is_not_given_again_once_it_would_not_be_given_now() {
    futures::future::join_all(Stop::ALL.map(nothing_comes_back)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_decision_used_up_counts_as_unused_for_its_own_repetition_and_for_no_other() {
    let world = approvals::world().await;
    let once = v1::IssueCredentialRequest { single_use: true, ..issue("alice") };
    let single = world.run_with(once, &["billing"]).await;
    let call = v1::DecideRequest { request_id: "s".to_owned(), ..decide("billing", "charge") };
    let first = ask(&single.connection, &call).await.unwrap();
    let again = ask(&single.connection, &call).await.unwrap();
    assert!(again.replayed && said(&again) == ALLOWS && again.policy_decision_id == first.policy_decision_id);
    let other = ask(&single.connection, &v1::DecideRequest { request_id: "t".to_owned(), ..call }).await.unwrap();
    assert_eq!(said(&other), (v1::Effect::Deny, v1::DecisionReason::CredentialAlreadyUsed));

    let run = world.run_of("alice").await;
    let id = approvals::ask(&run, approvals::refund(5)).await.approval_id;
    approvals::approve(&world.oscar, yes(&id)).await.unwrap();
    let call = v1::DecideRequest { approval_id: id, request_id: "a".to_owned(), ..approvals::refund(5) };
    let first = ask(&run.connection, &call).await.unwrap();
    assert_eq!(said(&first), ALLOWS);
    let again = ask(&run.connection, &call).await.unwrap();
    assert!(again.replayed && again.policy_decision_id == first.policy_decision_id);
    let other = ask(&run.connection, &v1::DecideRequest { request_id: "b".to_owned(), ..call }).await.unwrap();
    assert_eq!(said(&other), EXPIRED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_whose_time_is_over_is_not_stood_on_again_and_refusals_are_repeated_as_ever() {
    let world = approvals::world_with(&[("COUNTERSIGN_APPROVALS_LIFE_SECONDS", "5")]).await;
    let run = world.run_of("alice").await;
    let id = approvals::ask(&run, approvals::refund(5)).await.approval_id;
    approvals::approve(&world.oscar, yes(&id)).await.unwrap();
    let call = v1::DecideRequest { approval_id: id, request_id: "a".to_owned(), ..approvals::refund(5) };
    let first = ask(&run.connection, &call).await.unwrap();
    let denied = v1::DecideRequest { request_id: "d".to_owned(), ..decide("billing", "close") };
    let asks = v1::DecideRequest { request_id: "q".to_owned(), ..approvals::refund(6) };
    let (no, waits) = (ask(&run.connection, &denied).await.unwrap(), ask(&run.connection, &asks).await.unwrap());
    eventually("the yes is over", async || {
        ask(&run.connection, &call).await.is_err_and(|status| status.message().contains("fresh request_id"))
    })
    .await;
    already(ask(&run.connection, &call).await, &first);
    stop(&world, &run, Stop::KillSwitch).await;
    assert_eq!(ask(&run.connection, &denied).await.unwrap(), no);
    assert_eq!(ask(&run.connection, &asks).await.unwrap(), waits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_given_again_only_while_it_may_act() {
    let domain = |launch: countersign_integration::Launch| {
        launch.variable("COUNTERSIGN_SPIFFE_TRUST_DOMAIN", "agents.example.com")
    };
    let world = World::start_with(domain).await;
    let asked = v1::IssueCredentialRequest { request_id: "i".to_owned(), ..issue("alice") };
    let root = world.rita.credentials().issue_credential(asked.clone()).await.unwrap().into_inner();
    let own = world.rita.with_token(&root.token).unwrap();
    let child = v1::DelegateCredentialRequest {
        agent: "helper".to_owned(),
        parent_token: root.token.clone(),
        request_id: "c".to_owned(),
        ..Default::default()
    };
    let svid = v1::MintJwtSvidRequest {
        token: root.token.clone(),
        audience: vec!["partner".to_owned()],
        request_id: "s".to_owned(),
        ..Default::default()
    };
    world.rita.credentials().delegate_credential(child.clone()).await.unwrap();
    world.rita.svids().mint_jwt_svid(svid.clone()).await.unwrap();
    own.svids().mint_jwt_svid(svid.clone()).await.unwrap();
    let again = world.rita.credentials().issue_credential(asked.clone()).await.unwrap().into_inner();
    assert_eq!(claims(&again.token), claims(&root.token), "the same credential");

    let run = Run { token: root.token, id: root.agent_instance_id, connection: own, log_index: 0 };
    stop(&world, &run, Stop::RevokeInstance).await;
    let granted = async || {
        let kinds = ["credential_issued", "delegated", "svid_issued"];
        world.log().await.iter().filter(|event| kinds.contains(&event.kind())).count()
    };
    let before = granted().await;
    let answers = [
        world.rita.credentials().issue_credential(asked.clone()).await.map(|_| ()),
        world.rita.credentials().delegate_credential(child).await.map(|_| ()),
        world.rita.svids().mint_jwt_svid(svid.clone()).await.map(|_| ()),
    ];
    for answer in answers {
        let info = refused(answer, Code::FailedPrecondition, "CREDENTIAL_REFUSED");
        assert_eq!(info.metadata["decision_reason"], "INSTANCE_NOT_LIVE");
    }
    assert_eq!(granted().await, before);

    // A new signature does not bring back what a compromised key signed.
    let asked = v1::IssueCredentialRequest { request_id: "k".to_owned(), ..issue("alice") };
    world.rita.credentials().issue_credential(asked.clone()).await.unwrap();
    stop(&world, &run, Stop::RevokeKey).await;
    let answer = world.rita.credentials().issue_credential(asked).await.map(Response::into_inner);
    assert_eq!(
        refused(answer, Code::FailedPrecondition, "CREDENTIAL_REFUSED").metadata["decision_reason"],
        "CREDENTIAL_REVOKED"
    );
}
