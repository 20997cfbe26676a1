//! Batches, renewals, lists, and what the log lets nobody do.

use countersign_client::v1;
use sqlx::Executor as _;
use tonic::{Code, Response};

use crate::support::{World, decide, fields, issue, refused, sha256};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_in_order_and_recorded_together() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let questions = [("billing", "refund"), ("billing", "delete"), ("search", "query"), ("file-store", "read")];
    let request = v1::BatchDecideRequest {
        requests: questions.iter().map(|(tool, action)| decide(tool, action)).collect(),
        request_id: "batch".to_owned(),
    };
    let answers = run.connection.decisions().batch_decide(request.clone()).await.unwrap().into_inner().responses;
    let effects: Vec<_> = answers.iter().map(v1::DecideResponse::effect).collect();
    assert_eq!(effects, [v1::Effect::Allow, v1::Effect::Deny, v1::Effect::Allow, v1::Effect::Deny]);
    let first = answers[0].log_index;
    assert!(answers.iter().zip(first..).all(|(answer, index)| answer.log_index == index), "{answers:?}");
    let again = run.connection.decisions().batch_decide(request).await.unwrap().into_inner().responses;
    for (again, first) in again.iter().zip(&answers) {
        assert_eq!(again.policy_decision_id, first.policy_decision_id);
        assert_eq!(again.replayed, first.effect() == v1::Effect::Allow);
    }

    let outcome = |answer: &v1::DecideResponse| v1::RecordToolCallRequest {
        policy_decision_id: answer.policy_decision_id.clone(),
        outcome: v1::ToolCallOutcome::Success.into(),
        ..Default::default()
    };
    let size = world.log_size().await;
    // One of them is no ALLOW: none is recorded.
    let request = v1::BatchRecordToolCallsRequest {
        requests: vec![outcome(&answers[0]), outcome(&answers[1])],
        ..Default::default()
    };
    let answer = run.connection.custody().batch_record_tool_calls(request).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "OUTCOME_REFUSED");
    assert_eq!(world.log_size().await, size);
    let request = v1::BatchRecordToolCallsRequest {
        requests: vec![outcome(&answers[0]), outcome(&answers[2])],
        ..Default::default()
    };
    let recorded = run.connection.custody().batch_record_tool_calls(request).await.unwrap().into_inner().responses;
    assert_eq!(recorded.iter().map(|one| one.log_index).collect::<Vec<_>>(), [size, size + 1]);

    let wrong =
        v1::BatchDecideRequest { requests: vec![decide("billing", "refund"), decide("", "")], ..Default::default() };
    let status = run.connection.decisions().batch_decide(wrong).await.unwrap_err();
    assert_eq!(fields(&status), ["requests[1].tool_id", "requests[1].action"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_listed_newest_first_by_page_and_filter() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let other = world.run_of("alice").await;
    let mut denied = Vec::new();
    for nth in 0..7 {
        let answer = run.decide("billing", if nth % 2 == 0 { "refund" } else { "delete" }).await.unwrap();
        other.decide("billing", "delete").await.unwrap();
        if answer.effect() == v1::Effect::Deny {
            denied.insert(0, answer.policy_decision_id);
        }
    }
    let mut request = v1::ListDecisionsRequest {
        page_size: 2,
        agent_instance_id: run.id.clone(),
        effect: v1::Effect::Deny.into(),
        reason: v1::DecisionReason::NoMatchingRule.into(),
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = world.oscar.decisions().list_decisions(request.clone()).await.unwrap().into_inner();
        seen.extend(page.decisions.into_iter().map(|decision| decision.policy_decision_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_renewed_for_the_same_run_and_no_other_purpose() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let again = v1::IssueCredentialRequest { agent_instance_id: run.id.clone(), ..issue("alice") };
    let renewed = world.rita.credentials().issue_credential(again.clone()).await.unwrap().into_inner();
    assert_eq!(renewed.agent_instance_id, run.id);
    let said = world.rita.with_token(&renewed.token).unwrap();
    let request = v1::IntrospectCredentialRequest::default();
    let said = said.credentials().introspect_credential(request).await.unwrap().into_inner();
    assert!(said.active && said.credential_id == renewed.credential_id && said.purpose == "triage ticket 4711");

    let other = v1::IssueCredentialRequest { purpose: "something else".to_owned(), ..again.clone() };
    let status = world.rita.credentials().issue_credential(other).await.unwrap_err();
    assert_eq!(fields(&status), ["purpose"]);
    world.sponsor("bob").await;
    let theirs = v1::IssueCredentialRequest { sponsor_id: "bob".to_owned(), ..again };
    let answer = world.rita.credentials().issue_credential(theirs).await.map(Response::into_inner);
    refused(answer, Code::NotFound, "NOT_FOUND");
    let request = v1::ListInstancesRequest { sponsor_id: "alice".to_owned(), ..Default::default() };
    let listed = world.rita.instances().list_instances(request).await.unwrap().into_inner().instances;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state(), v1::InstanceState::Live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_acts_for_its_own_chain_only() {
    let world = World::start().await;
    let (own, other) = (world.run_of("alice").await, world.run_of("alice").await);
    let question = v1::DecideRequest { token: other.token.clone(), ..decide("billing", "refund") };
    let answer = own.connection.decisions().decide(question).await.map(Response::into_inner);
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    let request = v1::IntrospectCredentialRequest { token: other.token.clone() };
    let said = own.connection.credentials().introspect_credential(request).await.unwrap().into_inner();
    assert!(!said.active && said.sponsor_id.is_empty());
    let request = v1::DelegateCredentialRequest {
        parent_token: other.token.clone(),
        agent: "child".to_owned(),
        ..Default::default()
    };
    assert!(own.connection.credentials().delegate_credential(request).await.is_err());
    let decided = other.decide("billing", "refund").await.unwrap();
    let request = v1::RecordToolCallRequest {
        policy_decision_id: decided.policy_decision_id,
        outcome: v1::ToolCallOutcome::Success.into(),
        response_hash: sha256("x"),
        ..Default::default()
    };
    let answer = own.connection.custody().record_tool_call(request).await.map(Response::into_inner);
    refused(answer, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_cannot_be_rewritten_through_sql_either() {
    let world = World::start().await;
    let before = world.log().await.len();
    let mut connection = world.database.connect().await.unwrap();
    for statement in [
        "DELETE FROM custody_event",
        "TRUNCATE custody_event",
        "UPDATE custody_event SET leaf_bytes = ''",
        "UPDATE custody_event SET log_index = log_index + 1",
        "UPDATE custody_event SET reason = 'another'",
    ] {
        let refused = connection.execute(statement).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }
    // Texts can be erased; the leaf, and with it every hash, stays.
    let erased = "UPDATE custody_event SET purpose = NULL, purpose_salt = NULL, reason = NULL, reason_salt = NULL, \
                  identity = NULL, identity_salt = NULL";
    connection.execute(erased).await.unwrap();
    assert_eq!(world.log().await.len(), before);
}
