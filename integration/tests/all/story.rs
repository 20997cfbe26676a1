//! The main job, from end to end: identity, decision, custody.

use countersign_client::{
    v1::{self, DecisionReason as Reason, get_custody_chain_request::Subject},
    verify::{Clock as _, KeySet, SystemClock, verify_receipt},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::Value;
use tonic::{Code, Response};

use crate::support::{Run, World, decide, issue, refused, seconds, sha256};

const ISSUER: &str = "agent-token-svc";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_sponsored_allowed_receipted_recorded_and_read_back() {
    play(&World::start().await, "bob").await;
}

/// The story, with this sponsor, who is not there yet.
pub(crate) async fn play(world: &World, sponsor: &str) {
    world.sponsor(sponsor).await;
    let triage = world.run_of(sponsor).await;
    let billing = delegate(&triage).await;

    let arguments = sha256(r#"{"amount_cents":1250,"order":"4711"}"#);
    let question =
        v1::DecideRequest { request_hash: arguments.clone(), want_receipt: true, ..decide("billing", "refund") };
    let decision = billing.connection.decisions().decide(question).await.unwrap().into_inner();
    assert_eq!((decision.effect(), decision.enforcement()), (v1::Effect::Allow, v1::Enforcement::Enforced));
    assert_eq!(decision.rule_ids, ["allow-support-billing"]);
    assert_eq!(decision.reason.as_ref().unwrap().code(), v1::DecisionReason::AllowedByRule);
    receipt_holds(world, sponsor, &decision, &arguments, &billing).await;

    let outcome = v1::RecordToolCallRequest {
        policy_decision_id: decision.policy_decision_id.clone(),
        outcome: v1::ToolCallOutcome::Success.into(),
        response_hash: sha256("refunded"),
        duration: Some(prost_types::Duration { seconds: 0, nanos: 12_345_000 }),
        ..Default::default()
    };
    let recorded = billing.connection.custody().record_tool_call(outcome.clone()).await.unwrap().into_inner();
    let again = billing.connection.custody().record_tool_call(outcome.clone()).await.unwrap().into_inner();
    assert_eq!(recorded, again);
    let other = v1::RecordToolCallRequest { outcome: v1::ToolCallOutcome::Failure.into(), ..outcome.clone() };
    let answer = billing.connection.custody().record_tool_call(other).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "OUTCOME_REFUSED");
    // Another run of the chain did not make this call.
    let answer = triage.connection.custody().record_tool_call(outcome).await.map(Response::into_inner);
    refused(answer, Code::NotFound, "NOT_FOUND");

    chain_is_whole(world, sponsor, &decision, &triage, &billing).await;
}

/// The tool's side: with the public keys and nothing else, by our verifier and by somebody else's library.
async fn receipt_holds(world: &World, sponsor: &str, decision: &v1::DecideResponse, arguments: &[u8], run: &Run) {
    let jwks = world.server.http(None).get("/.well-known/jwks.json").await.unwrap();
    let keys = KeySet::from_jwks(&jwks.text()).unwrap();
    let tool = "billing".parse().unwrap();
    let receipt = verify_receipt(&decision.receipt, &keys, ISSUER, &tool, SystemClock.now()).unwrap();
    assert_eq!(receipt.policy_decision_id.to_string(), decision.policy_decision_id);
    assert_eq!(receipt.agent_instance_id.to_string(), run.id);
    assert!(receipt.covers(&"refund".parse().unwrap(), arguments.try_into().unwrap()));
    assert!(!receipt.covers(&"charge".parse().unwrap(), arguments.try_into().unwrap()));
    assert!((receipt.expire_time - receipt.issue_time).whole_seconds() <= 32);

    let header = jsonwebtoken::decode_header(&decision.receipt).unwrap();
    assert_eq!(header.typ.as_deref(), Some("countersign-receipt+jwt"));
    let set: JwkSet = serde_json::from_slice(&jwks.body).unwrap();
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&["billing"]);
    let claims: Value = jsonwebtoken::decode(&decision.receipt, &key, &validation).unwrap().claims;
    assert_eq!(claims["policy_decision_id"], decision.policy_decision_id.as_str());
    assert_eq!(claims["sponsor_id"], sponsor);
}

async fn delegate(parent: &Run) -> Run {
    let request = v1::DelegateCredentialRequest {
        agent: "billing-agent".to_owned(),
        tools: vec!["billing".to_owned()],
        purpose: "triage ticket 4711: refund".to_owned(),
        ..Default::default()
    };
    let child = parent.connection.credentials().delegate_credential(request).await.unwrap().into_inner();
    assert_eq!(child.parent_agent_id, parent.id);
    let connection = parent.connection.with_token(&child.token).unwrap();
    Run { token: child.token, id: child.agent_instance_id, connection, log_index: child.log_index }
}

async fn chain_is_whole(world: &World, sponsor: &str, decision: &v1::DecideResponse, triage: &Run, billing: &Run) {
    let subject = Subject::PolicyDecisionId(decision.policy_decision_id.clone());
    let request = v1::GetCustodyChainRequest { subject: Some(subject) };
    let chain = world.rita.custody().get_custody_chain(request).await.unwrap().into_inner().chain.unwrap();
    assert_eq!(chain.sponsor.unwrap().sponsor_id, sponsor);
    let runs: Vec<_> = chain.instances.iter().map(|run| (run.agent_instance_id.as_str(), run.depth)).collect();
    assert_eq!(runs, [(triage.id.as_str(), 0), (billing.id.as_str(), 1)]);
    assert_eq!(chain.decisions[0].outcome(), v1::ToolCallOutcome::Success);
    let kinds: Vec<_> = chain.events.iter().map(v1::CustodyEvent::kind).collect();
    let expected = [
        v1::EventKind::SponsorRegistered,
        v1::EventKind::SponsorApproved,
        v1::EventKind::CredentialIssued,
        v1::EventKind::Delegated,
        v1::EventKind::Decision,
        v1::EventKind::ToolCall,
    ];
    assert_eq!(kinds, expected);
    // The tree is in the hashes: each leaf names the one it stands on.
    let hash = |nth: usize| countersign_ledger::merkle::leaf_hash(&chain.events[nth].leaf_bytes).to_vec();
    assert_eq!(chain.events[2].custody_ref, hash(1));
    assert_eq!(chain.events[3].custody_ref, hash(2));
    assert_eq!(chain.events[4].custody_ref, hash(3));
    assert_eq!(chain.events[5].decision_ref, hash(4));
    assert_eq!(chain.events[4].purpose, "triage ticket 4711: refund");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why_are_recorded_and_come_in_their_order() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let question = |tool: &str, action: &str, purpose: &str| v1::DecideRequest {
        purpose: purpose.to_owned(),
        ..decide(tool, action)
    };
    let amount = |cents: f64| {
        let value = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(cents)) };
        Some(prost_types::Struct { fields: [("amount_cents".to_owned(), value)].into() })
    };
    let large = v1::DecideRequest { context: amount(50_001.0), ..decide("billing", "charge") };
    let small = v1::DecideRequest { context: amount(50_000.0), ..decide("billing", "charge") };
    for (question, reason) in [
        (question("file-store", "read", "something else"), Reason::ToolNotGranted),
        (question("billing", "charge", "something else"), Reason::PurposeWidened),
        (question("billing", "delete", ""), Reason::NoMatchingRule),
        (question("search", "query", "triage ticket 4711, for the refund"), Reason::AllowedByRule),
        (large, Reason::DeniedByRule),
        (small, Reason::AllowedByRule),
    ] {
        let answer = run.connection.decisions().decide(question).await.unwrap().into_inner();
        let told = answer.reason.clone().unwrap();
        assert_eq!(told.code(), reason, "{answer:?}");
        let allowed = reason == Reason::AllowedByRule;
        assert_eq!(answer.effect(), if allowed { v1::Effect::Allow } else { v1::Effect::Deny });
        assert_eq!(told.remedy.is_empty(), allowed);
        assert!(!told.message.is_empty() && !told.retryable);
        let request = v1::GetDecisionRequest { policy_decision_id: answer.policy_decision_id.clone() };
        let kept = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
        assert_eq!((kept.log_index, kept.effect), (answer.log_index, answer.effect));
        assert_eq!(kept.reason.unwrap().code(), reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_sponsor_takes_everything_below_down() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let triage = world.run_of("bob").await;
    let billing = delegate(&triage).await;
    for run in [&triage, &billing] {
        assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    }
    let request = v1::RevokeSponsorRequest {
        sponsor_id: "bob".to_owned(),
        reason: "left in anger".to_owned(),
        ..Default::default()
    };
    let revoked = world.oscar.sponsors().revoke_sponsor(request).await.unwrap().into_inner();
    assert_eq!((revoked.sponsor.unwrap().state(), revoked.revoked_instance_count), (v1::SponsorState::Revoked, 2));

    for run in [&triage, &billing] {
        let answer = run.decide("billing", "refund").await.unwrap();
        assert_eq!(answer.effect(), v1::Effect::Deny);
        assert_eq!(answer.reason.unwrap().code(), v1::DecisionReason::SponsorNotActive);
        let log = world.log().await;
        let event = &log[usize::try_from(answer.log_index).unwrap()];
        assert_eq!((event.kind(), event.text("sponsor_state")), ("decision", "revoked"));
    }
    // With its own dead credential a run is nobody; through an issuer the refusal says what is wrong.
    let request = v1::DelegateCredentialRequest { agent: "child".to_owned(), ..Default::default() };
    let answer = triage.connection.credentials().delegate_credential(request.clone()).await;
    refused(answer.map(Response::into_inner), Code::Unauthenticated, "UNAUTHENTICATED");
    let request = v1::DelegateCredentialRequest { parent_token: triage.token.clone(), ..request };
    let answer = world.rita.credentials().delegate_credential(request).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "SPONSOR_NOT_ACTIVE");
    let answer = world.rita.credentials().issue_credential(issue("bob")).await.map(Response::into_inner);
    let info = refused(answer, Code::FailedPrecondition, "SPONSOR_NOT_ACTIVE");
    assert_eq!(info.metadata["state"], "REVOKED");
    let request = v1::IntrospectCredentialRequest { token: billing.token };
    let said = world.rita.credentials().introspect_credential(request).await.unwrap().into_inner();
    assert_eq!((said.active, said.reason.as_str(), said.sponsor_id.as_str()), (false, "SPONSOR_NOT_ACTIVE", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_never_wider_than_its_parent_and_every_excess_is_named() {
    let world = World::start().await;
    let parent = world.run_of("alice").await;
    let request = v1::DelegateCredentialRequest {
        agent: "greedy".to_owned(),
        tools: vec!["billing".to_owned(), "file-store".to_owned()],
        purpose: "world domination".to_owned(),
        ttl: Some(seconds(900)),
        ..Default::default()
    };
    let before = world.log_size().await;
    let status = parent.connection.credentials().delegate_credential(request).await.unwrap_err();
    let named = crate::support::fields(&status);
    for field in ["tools[1]", "purpose", "ttl"] {
        assert!(named.iter().any(|name| name == field), "{field} is not among {named:?}");
    }
    refused(Err::<(), _>(status), Code::InvalidArgument, "GRANT_TOO_WIDE");
    assert_eq!(world.log_size().await, before);

    let mut run = parent;
    for _ in 0..3 {
        let request = v1::DelegateCredentialRequest { agent: "child".to_owned(), ..Default::default() };
        let child = run.connection.credentials().delegate_credential(request).await.unwrap().into_inner();
        let connection = run.connection.with_token(&child.token).unwrap();
        run = Run { token: child.token, id: child.agent_instance_id, connection, log_index: child.log_index };
    }
    let request = v1::DelegateCredentialRequest { agent: "too-deep".to_owned(), ..Default::default() };
    let answer = run.connection.credentials().delegate_credential(request).await.map(Response::into_inner);
    refused(answer, Code::InvalidArgument, "GRANT_TOO_WIDE");
}
