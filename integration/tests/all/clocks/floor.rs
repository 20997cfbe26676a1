//! The floor of the revocations, at every door.

use std::time::Duration;

use countersign_client::v1;
use countersign_integration::Server;
use serde_json::json;
use tokio::time::timeout;
use tonic::{Code, Response, Streaming};
use v1::DecisionReason;

use super::{Clocks, allowed, at, launch};
use crate::{
    approval_waits::patient,
    approvals,
    authzen::{EVALUATION, EVALUATIONS, SEARCH, asks, by_id, by_token, post, said},
    envoy,
    ext_mcp::{self, Gateway},
    oauth, spiffe,
    support::{Run, decide, issue, refused},
};

const POLICY: &str = "
rules:
  - {id: refunds, role: support, tool: billing, allowed_actions: [refund]}
  - {id: asks, role: support, tool: billing, allowed_actions: [charge], require_approval: true}
";

#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_every_credential_has_expired_at_every_door() {
    let clocks = Clocks::start().await;
    clocks.activate(POLICY).await;
    clocks.sponsor("bob").await;
    let (old, other) = (clocks.run("alice").await, clocks.run("bob").await);
    let once = v1::DecideRequest { request_id: "once".to_owned(), ..decide("billing", "refund") };
    let first = old.connection.decisions().decide(once.clone()).await.unwrap().into_inner();
    assert_eq!(first.effect(), v1::Effect::Allow);
    let waits = old.decide("billing", "charge").await.unwrap().approval_id;
    let request =
        v1::RevokeInstanceRequest { agent_instance_id: other.id, reason: "drill".into(), ..Default::default() };
    clocks.oscar.instances().revoke_instance(request).await.unwrap();
    let young = clocks.run("alice").await;
    let follows = async |server: &Server| {
        let own = at(server, &old.token).await;
        let request = v1::WatchRevocationsRequest { since: 0 };
        own.credentials().watch_revocations(request).await.unwrap().into_inner()
    };
    let streams = [follows(&clocks.good).await, follows(&clocks.other).await];
    let waiting = tokio::spawn({
        let (own, id) = (patient(&clocks.good, &old.token).await, waits.clone());
        async move { approvals::wait(&own, &id, 60).await }
    });
    clocks.sql("UPDATE revocation SET create_time = create_time - interval '1 hour'").await;
    // A server moves the floor when it starts, and once a minute.
    let third = launch(&clocks.database).start().await.unwrap();

    for server in [&clocks.good, &clocks.other, &third] {
        let rita = at(server, &clocks.key("rita")).await;
        expired(&clocks, server, &old.on(&rita), &waits).await;
        assert!(allowed(&young.on(&rita)).await, "issued after what is forgotten");
    }
    let again = old.connection.decisions().decide(once).await.map(Response::into_inner);
    let info = refused(again, Code::FailedPrecondition, "ALREADY_DECIDED");
    assert_eq!(info.metadata["policy_decision_id"], first.policy_decision_id);
    // Nobody goes on who began before.
    refused(waiting.await.unwrap(), Code::Unauthenticated, "UNAUTHENTICATED");
    for stream in streams {
        refused(ends(stream).await, Code::Unauthenticated, "UNAUTHENTICATED");
    }
    // What was allowed before can be reported: that is evidence, and gives no authority.
    let report = v1::RecordToolCallRequest {
        policy_decision_id: first.policy_decision_id,
        outcome: v1::ToolCallOutcome::Success.into(),
        ..Default::default()
    };
    old.connection.custody().record_tool_call(report).await.unwrap();
    // The run renews, and goes on.
    let renewal = v1::IssueCredentialRequest { agent_instance_id: old.id.clone(), ..issue("alice") };
    let renewed = clocks.rita.credentials().issue_credential(renewal).await.unwrap().into_inner();
    let renewed = Run { connection: clocks.rita.with_token(&renewed.token).unwrap(), token: renewed.token, ..old };
    assert!(allowed(&renewed).await);

    for server in [&clocks.good, &third] {
        let rita = at(server, &clocks.key("rita")).await;
        let request = v1::WatchRevocationsRequest { since: 0 };
        let mut stream = rita.credentials().watch_revocations(request).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert_eq!((first.floor, first.seq, first.entries.len()), (Some(1), 1, 0));
    }
    let log = clocks.log().await;
    let moved: Vec<_> = log.iter().filter(|event| event.kind() == "revocation_floor_moved").collect();
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].text("revocation_seq"), "1");
    assert!(moved[0].leaf["authority_epoch"].is_string());
}

/// Reads a stream until it ends, which must be soon.
async fn ends<M>(mut stream: Streaming<M>) -> Result<(), tonic::Status> {
    let read = async {
        while stream.message().await?.is_some() {}
        Ok(())
    };
    timeout(Duration::from_secs(15), read).await.expect("a stream that outlasts its credential")
}

/// At this server the run's credential counts as expired, whatever is asked and in whose words.
async fn expired(clocks: &Clocks, server: &Server, run: &Run, approval: &str) {
    let (key, token) = (clocks.key("rita"), run.token.as_str());
    let rita = at(server, &key).await;

    // Decisions, which are on record.
    let answer = run.decide("billing", "refund").await.unwrap();
    assert_eq!((answer.effect(), answer.reason.unwrap().code()), (v1::Effect::Deny, DecisionReason::CredentialExpired));
    let http = server.http(Some(&key));
    let asked = json!({ "toolId": "billing", "action": "refund", "token": token });
    let answer = http.call("DecisionService/Decide", &asked).await.unwrap().json();
    assert_eq!((&answer["effect"], &answer["reason"]["code"]), (&json!("EFFECT_DENY"), &json!(EXPIRED)), "{answer}");
    for subject in [by_token(token), by_id(&run.id)] {
        let mut asked = asks(&subject, "billing", "refund");
        assert_eq!(said(&post(&http, EVALUATION, &asked).await), (false, "CREDENTIAL_EXPIRED"));
        asked["evaluations"] = json!([{}, {}]);
        let several = post(&http, EVALUATIONS, &asked).await;
        let several: Vec<_> = several["evaluations"].as_array().unwrap().iter().map(said).collect();
        assert_eq!(several, [(false, "CREDENTIAL_EXPIRED"); 2]);
        let actions = json!({"subject": subject, "resource": {"type": "tool", "id": "billing"}});
        assert_eq!(post(&http, SEARCH, &actions).await["results"], json!([]));
    }
    let (status, said) = envoy::refusal(server, &key, token).await;
    assert_eq!((status, &said["reason"]), (401, &json!("CREDENTIAL_EXPIRED")), "{said}");
    let mut gateway = Gateway::at(server, &key).await;
    let (_, said) = ext_mcp::denied(gateway.check_text("tools/call", r#"{"name":"refund"}"#, token).await.unwrap());
    assert_eq!(said["reason"], "CREDENTIAL_EXPIRED");

    // What it could get by it.
    let child = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
    let answer = run.connection.credentials().delegate_credential(child.clone()).await.map(Response::into_inner);
    refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
    let child = v1::DelegateCredentialRequest { parent_token: token.to_owned(), ..child };
    let answer = rita.credentials().delegate_credential(child).await.map(Response::into_inner);
    let info = refused(answer, Code::FailedPrecondition, "CREDENTIAL_REFUSED");
    assert_eq!(info.metadata["decision_reason"], "CREDENTIAL_EXPIRED");
    for bearer in [Some(token), None, Some(key.as_str())] {
        let answer = oauth::post(server, bearer, "token", &[], &oauth::exchange(token, &[])).await;
        assert!(answer.status.is_client_error(), "{}", answer.text());
        assert!(answer.json()["access_token"].is_null());
    }
    let minting =
        v1::MintJwtSvidRequest { token: token.to_owned(), audience: vec!["ledger".into()], ..Default::default() };
    let answer = rita.svids().mint_jwt_svid(minting.clone()).await.map(Response::into_inner);
    let info = refused(answer, Code::FailedPrecondition, "CREDENTIAL_REFUSED");
    assert_eq!(info.metadata["decision_reason"], "CREDENTIAL_EXPIRED");
    let minting = v1::MintJwtSvidRequest { token: String::new(), ..minting };
    let answer = run.connection.svids().mint_jwt_svid(minting).await.map(Response::into_inner);
    refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
    let answer = rita.svids().mint_x509_svid(spiffe::x509(token)).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "CREDENTIAL_REFUSED");

    // What is said of it.
    let introspect = v1::IntrospectCredentialRequest { token: token.to_owned() };
    let answer = rita.credentials().introspect_credential(introspect).await.unwrap().into_inner();
    assert!(!answer.active);
    assert_eq!(oauth::introspect(server, &key, token).await, json!({"active": false}));

    // What it could follow.
    let request = v1::WatchRevocationsRequest { since: 0 };
    let answer = match run.connection.credentials().watch_revocations(request).await {
        Ok(stream) => ends(stream.into_inner()).await,
        Err(status) => Err(status),
    };
    refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
    refused(approvals::wait(&run.connection, approval, 1).await, Code::Unauthenticated, "UNAUTHENTICATED");
}

/// As the contract writes it in JSON.
const EXPIRED: &str = "DECISION_REASON_CREDENTIAL_EXPIRED";
