//! How calls ended: who may say so, who has the last word, and what is said where nobody does.

use std::time::Duration;

use countersign_client::{Connection, v1};
use http::StatusCode;
use serde_json::json;
use tokio::time::sleep;
use tonic::{Code, Response, Status};

use crate::{
    operators::{add, admin},
    support::{World, decide, eventually, issue, refused, seconds},
};

use v1::ToolCallOutcome::{Failure, NotExecuted, Success, Unknown};

async fn report(
    by: &Connection,
    decision: &v1::DecideResponse,
    outcome: v1::ToolCallOutcome,
) -> Result<v1::RecordToolCallResponse, Status> {
    let request = v1::RecordToolCallRequest {
        policy_decision_id: decision.policy_decision_id.clone(),
        outcome: outcome.into(),
        ..Default::default()
    };
    by.custody().record_tool_call(request).await.map(Response::into_inner)
}

async fn shown(world: &World, decision: &v1::DecideResponse) -> (v1::ToolCallOutcome, String) {
    let request = v1::GetDecisionRequest { policy_decision_id: decision.policy_decision_id.clone() };
    let decision = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
    (decision.outcome(), decision.outcome_operator_id)
}

#[track_caller]
fn not_taken(answer: Result<v1::RecordToolCallResponse, Status>) {
    refused(answer, Code::FailedPrecondition, "OUTCOME_REFUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_reports_and_a_gate_has_the_last_word_of_what_a_run_asked() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    let (gate, _) = add(&world.server, &root, "gate-1", &["gate"]).await;
    let (other, _) = add(&world.server, &root, "gate-2", &["gate"]).await;
    let run = world.run_of("alice").await;

    // Asked for by a gate: nobody else knows.
    let question = v1::DecideRequest { token: run.token.clone(), ..decide("billing", "refund") };
    let gates = gate.decisions().decide(question).await.unwrap().into_inner();
    not_taken(report(&run.connection, &gates, NotExecuted).await);
    not_taken(report(&other, &gates, NotExecuted).await);
    not_taken(report(&world.rita, &gates, NotExecuted).await);
    refused(report(&root, &gates, NotExecuted).await, Code::FailedPrecondition, "OUTCOME_REFUSED");
    let first = report(&gate, &gates, Success).await.unwrap();
    assert_eq!(report(&gate, &gates, Success).await.unwrap(), first);
    not_taken(report(&gate, &gates, Failure).await);
    assert_eq!(shown(&world, &gates).await, (Success, "gate-1".to_owned()));

    // Asked for by the run: it says, and a gate says more.
    let own = run.decide("billing", "refund").await.unwrap();
    let said = report(&run.connection, &own, NotExecuted).await.unwrap();
    assert_eq!(shown(&world, &own).await, (NotExecuted, String::new()));
    not_taken(report(&run.connection, &own, Success).await);
    let more = report(&gate, &own, Success).await.unwrap();
    assert!(more.log_index > said.log_index);
    assert_eq!(report(&run.connection, &own, NotExecuted).await.unwrap(), said, "what was said is answered alike");
    not_taken(report(&other, &own, Failure).await);
    assert_eq!(shown(&world, &own).await, (Success, "gate-1".to_owned()));
    let request = v1::GetCustodyChainRequest {
        subject: Some(v1::get_custody_chain_request::Subject::PolicyDecisionId(own.policy_decision_id.clone())),
    };
    let chain = world.rita.custody().get_custody_chain(request).await.unwrap().into_inner().chain.unwrap();
    let outcomes = chain
        .events
        .iter()
        .filter(|event| event.kind() == v1::EventKind::ToolCall && event.policy_decision_id == own.policy_decision_id);
    assert_eq!(outcomes.count(), 2, "both are in the log");
    let in_chain = chain.decisions.iter().find(|one| one.policy_decision_id == own.policy_decision_id).unwrap();
    assert_eq!((in_chain.outcome(), in_chain.outcome_operator_id.as_str()), (Success, "gate-1"));

    // And where the gate was first, the run's is too late.
    let own = run.decide("billing", "refund").await.unwrap();
    report(&gate, &own, Success).await.unwrap();
    not_taken(report(&run.connection, &own, NotExecuted).await);

    // One report that may not be made ends a batch.
    let request = |decision: &v1::DecideResponse| v1::RecordToolCallRequest {
        policy_decision_id: decision.policy_decision_id.clone(),
        outcome: Success.into(),
        ..Default::default()
    };
    let (mine, theirs) = (run.decide("billing", "refund").await.unwrap(), gates);
    let batch =
        v1::BatchRecordToolCallsRequest { requests: vec![request(&mine), request(&theirs)], ..Default::default() };
    let answer = run.connection.custody().batch_record_tool_calls(batch).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "OUTCOME_REFUSED");
    assert_eq!(shown(&world, &mine).await.0, v1::ToolCallOutcome::Unspecified);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_ends_runs_whose_calls_it_asked_for() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    let (gate, _) = add(&world.server, &root, "gate-1", &["gate"]).await;
    let (other, _) = add(&world.server, &root, "gate-2", &["gate"]).await;
    let run = world.run_of("alice").await;
    let question = v1::DecideRequest { token: run.token.clone(), ..decide("billing", "refund") };
    gate.decisions().decide(question).await.unwrap();
    let end = v1::EndInstanceRequest { agent_instance_id: run.id.clone(), ..Default::default() };
    let answer = other.instances().end_instance(end.clone()).await.map(Response::into_inner);
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    let nobody = v1::EndInstanceRequest { agent_instance_id: gone(), ..Default::default() };
    let answer = other.instances().end_instance(nobody).await.map(Response::into_inner);
    refused(answer, Code::NotFound, "NOT_FOUND");
    gate.instances().end_instance(end).await.unwrap();
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Deny);
    let another = world.run_of("alice").await;
    let end = v1::EndInstanceRequest { agent_instance_id: another.id, ..Default::default() };
    world.rita.instances().end_instance(end).await.unwrap();
}

fn gone() -> String {
    "inst_01890a5d-ac96-774b-bcce-000000000999".to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reports_is_unknown_once_on_two_servers_and_a_report_may_follow() {
    let short = ("COUNTERSIGN_OUTCOMES_DEADLINE_SECONDS", "5");
    let world = World::start_with(|launch| launch.variable(short.0, short.1)).await;
    let _second = countersign_integration::Launch::dev()
        .database(&world.database)
        .variable(short.0, short.1)
        .start()
        .await
        .unwrap();
    let run = world.run_of("alice").await;
    let told = run.decide("billing", "refund").await.unwrap();
    report(&run.connection, &told, Success).await.unwrap();
    let denied = run.decide("billing", "delete").await.unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(run.decide("billing", "refund").await.unwrap());
    }
    let unknown = async || {
        let log = world.log().await;
        log.into_iter().filter(|event| event.text("reason") == "OUTCOME_DEADLINE").collect::<Vec<_>>()
    };
    assert!(unknown().await.is_empty(), "not before its time");
    eventually("all end", async || unknown().await.len() >= 3).await;
    sleep(Duration::from_secs(3)).await;
    let events = unknown().await;
    assert_eq!(events.len(), 3, "each once");
    for (event, decision) in events.iter().zip(&open) {
        assert_eq!((event.kind(), event.text("outcome"), event.text("operator_id")), ("tool_call", "UNKNOWN", ""));
        assert_eq!(event.text("policy_decision_id"), decision.policy_decision_id);
        assert!(!event.text("decision_ref").is_empty());
        assert_eq!(shown(&world, decision).await, (Unknown, String::new()));
    }
    assert_eq!(shown(&world, &denied).await.0, v1::ToolCallOutcome::Unspecified);
    report(&run.connection, &open[0], Failure).await.unwrap();
    not_taken(report(&run.connection, &open[0], Success).await);
    report(&world.rita, &open[1], Success).await.unwrap();
    assert_eq!(shown(&world, &open[0]).await, (Failure, String::new()));
    assert_eq!(shown(&world, &open[1]).await, (Success, "rita".to_owned()));
    let request = v1::GetIndicatorsRequest { window: Some(seconds(60)) };
    let open = world.rita.status().get_indicators(request).await.unwrap().into_inner().open_decisions;
    assert_eq!(open, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_report_and_can_do_nothing_else() {
    let world = World::start().await;
    let short = v1::IssueCredentialRequest { ttl: Some(seconds(8)), ..issue("alice") };
    let brief = world.run_with(short.clone(), &["billing"]).await;
    let stopped = world.run_with(short.clone(), &["billing"]).await;
    let once = v1::IssueCredentialRequest { single_use: true, ..short };
    let single = world.run_with(once, &["billing"]).await;
    let mut calls = Vec::new();
    for run in [&brief, &stopped, &single] {
        calls.push(run.decide("billing", "refund").await.unwrap());
    }
    assert!(calls.iter().all(|call| call.effect() == v1::Effect::Allow));

    // Used up: it is good for nothing but to say how that call ended.
    let own = single.connection.credentials();
    let said =
        own.clone().introspect_credential(v1::IntrospectCredentialRequest::default()).await.unwrap().into_inner();
    assert!(!said.active);
    let http = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    let form = format!("token={}", single.token);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let answer = http.send(http::Method::POST, "/oauth/introspect", &headers, form.into()).await.unwrap();
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "active": false })));

    // The key that signed them has long ceased to sign, as far as everybody knows.
    let root = admin(&world.server).await;
    let rotate = v1::RotateSigningKeyRequest { reason: "a drill".to_owned(), ..Default::default() };
    root.signing_keys().rotate_signing_key(rotate).await.unwrap();
    let mut connection = world.database.connect().await.unwrap();
    let long_ago = "UPDATE signing_key SET retire_time = now() - interval '2 hours' WHERE state = 'retired'";
    assert_eq!(sqlx::query(long_ago).execute(&mut connection).await.unwrap().rows_affected(), 1);
    let reason = "an end".to_owned();
    let request = v1::RevokeInstanceRequest { agent_instance_id: stopped.id.clone(), reason, ..Default::default() };
    world.oscar.instances().revoke_instance(request).await.unwrap();
    // This server has seen none of the tokens.
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    sleep(Duration::from_secs(12)).await;
    for (run, call) in [&brief, &stopped, &single].into_iter().zip(&calls) {
        let run = run.on(&elsewhere);
        let recorded = report(&run.connection, call, Success).await.unwrap();
        assert_eq!(shown(&world, call).await.0, Success);
        assert!(recorded.log_index > call.log_index);
        assert!(run.decide("billing", "refund").await.is_err(), "a key that is forgotten lets nobody in");
    }
    for run in [&brief, &stopped] {
        let answer =
            run.connection.credentials().introspect_credential(v1::IntrospectCredentialRequest::default()).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated);
        let request = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
        assert!(run.connection.credentials().delegate_credential(request).await.is_err());
    }
    // Through the JSON door too, and of nobody else's calls.
    let body = json!({ "policyDecisionId": calls[0].policy_decision_id, "outcome": "TOOL_CALL_OUTCOME_SUCCESS" });
    let answer = world.server.http(Some(&brief.token)).call("CustodyService/RecordToolCall", &body).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = world.server.http(Some(&stopped.token)).call("CustodyService/RecordToolCall", &body).await.unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
}
