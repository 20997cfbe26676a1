//! A person's yes to one call: who may give it, what it is good for, how long, and that it counts once.

use std::time::Duration;

use countersign_client::{Connection, v1};
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::{
    foreign::documented,
    operators::{add, admin},
    support::{Event, Run, World, decide, fields, refused, seconds, sha256},
};

/// Support may charge, and refund where a person says yes. Closing an account is forbidden, whoever says what.
pub(crate) const POLICY: &str = "
rules:
  - {id: charge, role: support, tool: billing, allowed_actions: [charge]}
  - {id: refund-with-a-yes, role: support, tool: billing, allowed_actions: [refund, close], require_approval: true}
  - {id: never-close, effect: deny, role: support, tool: billing, allowed_actions: [close]}
";

/// A world in which [`POLICY`] answers.
pub(crate) async fn world() -> World {
    world_with(&[]).await
}

pub(crate) async fn world_with(variables: &[(&str, &str)]) -> World {
    let set = |launch, (name, value): &(&str, &str)| countersign_integration::Launch::variable(launch, name, value);
    let world = World::start_with(|launch| variables.iter().fold(launch, set)).await;
    activate(&world, POLICY).await;
    world
}

pub(crate) async fn activate(world: &World, document: &str) {
    let version = world.policy(document).await;
    let request = v1::ActivatePolicyRequest { version, reason: "people decide".to_owned(), ..Default::default() };
    world.oscar.policies().activate_policy(request).await.unwrap();
}

/// The refund of this many cents.
pub(crate) fn refund(cents: u32) -> v1::DecideRequest {
    v1::DecideRequest { request_hash: sha256(&format!("{{\"cents\":{cents}}}")), ..decide("billing", "refund") }
}

pub(crate) async fn ask(run: &Run, call: v1::DecideRequest) -> v1::DecideResponse {
    run.connection.decisions().decide(call).await.unwrap().into_inner()
}

/// Repeats `call` with an approval.
pub(crate) async fn with(run: &Run, call: v1::DecideRequest, approval_id: &str) -> v1::DecideResponse {
    ask(run, v1::DecideRequest { approval_id: approval_id.to_owned(), ..call }).await
}

#[track_caller]
pub(crate) fn said(answer: &v1::DecideResponse) -> (v1::Effect, v1::DecisionReason) {
    (answer.effect(), answer.reason.as_ref().unwrap().code())
}

pub(crate) const ASKS: (v1::Effect, v1::DecisionReason) =
    (v1::Effect::RequireApproval, v1::DecisionReason::ApprovalRequired);
pub(crate) const ALLOWS: (v1::Effect, v1::DecisionReason) = (v1::Effect::Allow, v1::DecisionReason::AllowedByRule);
pub(crate) const MISMATCH: (v1::Effect, v1::DecisionReason) = (v1::Effect::Deny, v1::DecisionReason::ApprovalMismatch);
pub(crate) const EXPIRED: (v1::Effect, v1::DecisionReason) = (v1::Effect::Deny, v1::DecisionReason::ApprovalExpired);

pub(crate) fn yes(approval_id: &str) -> v1::ApproveRequest {
    v1::ApproveRequest {
        approval_id: approval_id.to_owned(),
        reason: "I know the customer".to_owned(),
        ..Default::default()
    }
}

pub(crate) fn no(approval_id: &str) -> v1::RejectRequest {
    v1::RejectRequest { approval_id: approval_id.to_owned(), reason: "too much".to_owned(), ..Default::default() }
}

pub(crate) async fn approve(by: &Connection, request: v1::ApproveRequest) -> Result<v1::Approval, Status> {
    Ok(by.approvals().approve(request).await?.into_inner().approval.unwrap())
}

pub(crate) async fn reject(by: &Connection, request: v1::RejectRequest) -> Result<v1::Approval, Status> {
    Ok(by.approvals().reject(request).await?.into_inner().approval.unwrap())
}

pub(crate) async fn get(by: &Connection, approval_id: &str) -> Result<v1::Approval, Status> {
    let request = v1::GetApprovalRequest { approval_id: approval_id.to_owned() };
    Ok(by.approvals().get_approval(request).await?.into_inner().approval.unwrap())
}

pub(crate) async fn wait(by: &Connection, approval_id: &str, wait: i64) -> Result<v1::Approval, Status> {
    let request = v1::WaitApprovalRequest { approval_id: approval_id.to_owned(), wait: Some(seconds(wait)) };
    Ok(by.approvals().wait_approval(request).await?.into_inner().approval.unwrap())
}

/// The events of an approval.
pub(crate) async fn events(world: &World, approval_id: &str) -> Vec<Event> {
    world.log().await.into_iter().filter(|event| event.text("approval_id") == approval_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_a_person_happens_once_and_the_log_shows_by_whom() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let asked = ask(&run, refund(500)).await;
    assert_eq!(said(&asked), ASKS);
    assert_eq!(
        (asked.cache_ttl, asked.rule_ids.as_slice()),
        (Some(seconds(0)), ["refund-with-a-yes".to_owned()].as_slice())
    );
    let id = asked.approval_id.as_str();

    // The same call again waits for the same answer, with or without the id; another one for its own.
    assert_eq!(ask(&run, refund(500)).await.approval_id, id);
    let again = with(&run, refund(500), id).await;
    assert_eq!((said(&again), again.approval_id.as_str()), (ASKS, id));
    assert_ne!(ask(&run, refund(501)).await.approval_id, id);

    let pending = get(&world.oscar, id).await.unwrap();
    assert_eq!((pending.state(), pending.sponsor_id.as_str()), (v1::ApprovalState::Pending, "alice"));
    assert_eq!(
        (pending.agent_instance_id.as_str(), pending.root_instance_id.as_str()),
        (run.id.as_str(), run.id.as_str())
    );
    assert_eq!((pending.tool_id.as_str(), pending.action.as_str()), ("billing", "refund"));
    assert_eq!(
        (pending.purpose.as_str(), pending.policy_decision_id.as_str()),
        ("triage ticket 4711", asked.policy_decision_id.as_str())
    );
    assert_eq!(pending.request_hash, refund(500).request_hash);
    let life = pending.expire_time.unwrap().seconds - pending.create_time.unwrap().seconds;
    assert_eq!(life, 15 * 60);

    let approved = approve(&world.oscar, yes(id)).await.unwrap();
    assert_eq!((approved.state(), approved.answered_by.as_str()), (v1::ApprovalState::Approved, "oscar"));
    assert_eq!(get(&world.oscar, id).await.unwrap(), approved, "the reason is read back from the log");
    let allowed = ask(&run, v1::DecideRequest { approval_id: id.to_owned(), want_receipt: true, ..refund(500) }).await;
    assert_eq!((said(&allowed), allowed.rule_ids.as_slice()), (ALLOWS, ["refund-with-a-yes".to_owned()].as_slice()));
    assert_eq!(allowed.cache_ttl, Some(seconds(0)), "one yes, one call");
    assert!(!allowed.receipt.is_empty());
    assert!(allowed.reason.unwrap().message.contains("a person said yes"));
    assert_eq!(get(&world.oscar, id).await.unwrap().state(), v1::ApprovalState::Used);
    assert_eq!(said(&with(&run, refund(500), id).await), EXPIRED);
    let fresh = ask(&run, refund(500)).await;
    assert!(said(&fresh) == ASKS && fresh.approval_id != id, "a used yes is no reason not to ask again");

    let of_it = events(&world, id).await;
    let kinds: Vec<_> = of_it.iter().map(|event| (event.kind(), event.text("effect"))).collect();
    let asks = ("decision", "REQUIRE_APPROVAL");
    let story = [
        asks,
        ("approval_requested", ""),
        asks,
        asks,
        ("approval_approved", ""),
        ("decision", "ALLOW"),
        ("decision", "DENY"),
    ];
    assert_eq!(kinds, story);
    assert_eq!(of_it[1].index, of_it[0].index + 1, "the request follows the decision that asks");
    let (answer, stands_on_it) = (&of_it[4], &of_it[5]);
    assert_eq!((answer.text("operator_id"), answer.text("state_before")), ("oscar", "PENDING"));
    let hash = |event: &Event| hex::encode(countersign_ledger::merkle::leaf_hash(&event.bytes));
    assert_eq!(answer.text("decision_ref"), hash(&of_it[0]));
    assert_eq!(stands_on_it.text("approval_ref"), hash(answer));
    let record = v1::GetDecisionRequest { policy_decision_id: allowed.policy_decision_id };
    let record = world.rita.decisions().get_decision(record).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(record.approval_id, id);
    assert!(record.reason.unwrap().message.contains("a person said yes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_is_for_exactly_one_call_of_one_run_and_beats_no_rule() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let id = ask(&run, refund(500)).await.approval_id;
    approve(&world.oscar, yes(&id)).await.unwrap();
    let (other, child) = (world.run_of("alice").await, run.child().await);
    let hashless = v1::DecideRequest { request_hash: Vec::new(), ..refund(500) };
    let narrower = v1::DecideRequest { purpose: "triage ticket 4711: and more".to_owned(), ..refund(500) };
    for (run, call) in
        [(&run, refund(501)), (&run, hashless), (&run, narrower), (&other, refund(500)), (&child, refund(500))]
    {
        assert_eq!(said(&with(run, call.clone(), &id).await), MISMATCH, "{call:?}");
    }
    let unknown = "appr_0190a5d0-ac96-774b-bcce-b302099a8057";
    assert_eq!(said(&with(&run, refund(500), unknown).await), MISMATCH);
    // A deny rule wins, and what the policy allows by itself does not use the yes up.
    let closed = with(&run, decide("billing", "close"), &id).await;
    assert_eq!(said(&closed), (v1::Effect::Deny, v1::DecisionReason::DeniedByRule));
    let charged = with(&run, decide("billing", "charge"), &id).await;
    assert_eq!((said(&charged), charged.approval_id.as_str()), (ALLOWS, ""));
    assert_eq!(get(&world.oscar, &id).await.unwrap().state(), v1::ApprovalState::Approved);

    // A policy that forbids the call by now.
    activate(&world, "rules: [{id: other, role: support, tool: billing, allowed_actions: [charge]}]").await;
    let forbidden = with(&run, refund(500), &id).await;
    assert_eq!(said(&forbidden), (v1::Effect::Deny, v1::DecisionReason::NoMatchingRule));
    activate(&world, POLICY).await;
    assert_eq!(said(&with(&run, refund(500), &id).await), ALLOWS, "none of this used it");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_hash_the_yes_is_for_a_call_without_one() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let id = ask(&run, decide("billing", "refund")).await.approval_id;
    assert!(get(&world.oscar, &id).await.unwrap().request_hash.is_empty());
    approve(&world.oscar, yes(&id)).await.unwrap();
    assert_eq!(said(&with(&run, refund(500), &id).await), MISMATCH);
    assert_eq!(said(&with(&run, decide("billing", "refund"), &id).await), ALLOWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_final_and_says_why() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let id = ask(&run, refund(500)).await.approval_id;
    let blank = v1::RejectRequest { reason: String::new(), ..no(&id) };
    assert_eq!(fields(&reject(&world.oscar, blank).await.unwrap_err()), ["reason"]);
    let rejected = reject(&world.oscar, no(&id)).await.unwrap();
    assert_eq!((rejected.state(), rejected.reason.as_str()), (v1::ApprovalState::Rejected, "too much"));
    let denied = with(&run, refund(500), &id).await;
    assert_eq!(said(&denied), (v1::Effect::Deny, v1::DecisionReason::ApprovalRejected));
    assert!(denied.reason.unwrap().message.ends_with(": too much"));
    refused(approve(&world.oscar, yes(&id)).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    refused(reject(&world.oscar, no(&id)).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    let log = String::from_utf8(world.log().await.into_iter().flat_map(|event| event.bytes).collect()).unwrap();
    assert!(!log.contains("too much"), "no free text in a leaf");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sponsor_or_an_approver_answers_and_neither_the_agent_nor_who_asked_for_it() {
    let world = world().await;
    let root = admin(&world.server).await;
    let (alice, _) = add(&world.server, &root, "alice", &["auditor"]).await;
    let (bob, _) = add(&world.server, &root, "bob", &["gate"]).await;
    let (gate, _) = add(&world.server, &root, "gate-1", &["gate", "approver"]).await;
    let run = world.run_of("alice").await;
    let id = ask(&run, refund(500)).await.approval_id;

    for stranger in [&run.connection, &bob, &world.rita] {
        refused(approve(stranger, yes(&id)).await, Code::PermissionDenied, "ROLE_REQUIRED");
        refused(reject(stranger, no(&id)).await, Code::PermissionDenied, "ROLE_REQUIRED");
    }
    refused(get(&bob, &id).await, Code::PermissionDenied, "ROLE_REQUIRED");
    refused(get(&run.connection, &id).await, Code::PermissionDenied, "ROLE_REQUIRED");
    let unknown = "appr_0190a5d0-ac96-774b-bcce-b302099a8057";
    refused(approve(&bob, yes(unknown)).await, Code::PermissionDenied, "ROLE_REQUIRED");
    refused(approve(&world.oscar, yes(unknown)).await, Code::NotFound, "NOT_FOUND");
    assert_eq!(approve(&alice, yes(&id)).await.unwrap().answered_by, "alice", "the sponsor may, without a role");

    // Whoever asked on the run's behalf may say no, and not yes.
    let asked = v1::DecideRequest { token: run.token.clone(), ..refund(501) };
    let asked = gate.decisions().decide(asked).await.unwrap().into_inner();
    refused(approve(&gate, yes(&asked.approval_id)).await, Code::FailedPrecondition, "FOUR_EYES");
    assert_eq!(reject(&gate, no(&asked.approval_id)).await.unwrap().state(), v1::ApprovalState::Rejected);

    // A sponsor without a role sees their own.
    world.sponsor("bob").await;
    let of_bob = world.run_of("bob").await;
    ask(&of_bob, refund(1)).await;
    let listed = async |by: &Connection, sponsor: &str| {
        let request = v1::ListApprovalsRequest { sponsor_id: sponsor.to_owned(), ..Default::default() };
        let page = by.approvals().list_approvals(request).await?.into_inner();
        Ok::<_, Status>(page.approvals.into_iter().map(|approval| approval.sponsor_id).collect::<Vec<_>>())
    };
    assert_eq!(listed(&bob, "").await.unwrap(), ["bob"]);
    refused(listed(&bob, "alice").await, Code::PermissionDenied, "ROLE_REQUIRED");
    assert_eq!(listed(&alice, "").await.unwrap(), ["bob", "alice", "alice"], "alice is an auditor");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_take_the_etag_and_count_once_for_their_request_id() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let question = v1::DecideRequest { request_id: "q-1".to_owned(), ..refund(500) };
    let asked = ask(&run, question.clone()).await;
    assert_eq!(ask(&run, question).await, asked);
    let id = asked.approval_id.as_str();
    let stale = v1::ApproveRequest { etag: "0".to_owned(), ..yes(id) };
    refused(approve(&world.oscar, stale).await, Code::Aborted, "ETAG_MISMATCH");
    let etag = get(&world.oscar, id).await.unwrap().etag;
    let request = v1::ApproveRequest { etag, request_id: "a-1".to_owned(), ..yes(id) };
    let first = approve(&world.oscar, request.clone()).await.unwrap();
    assert_eq!(approve(&world.oscar, request.clone()).await.unwrap(), first);
    let other = v1::ApproveRequest { reason: "another".to_owned(), ..request };
    refused(approve(&world.oscar, other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");

    // The ALLOW that stands on it is answered again too, and used once.
    let call = v1::DecideRequest { request_id: "q-2".to_owned(), approval_id: id.to_owned(), ..refund(500) };
    let allowed = ask(&run, call.clone()).await;
    let again = ask(&run, call).await;
    assert_eq!((said(&allowed), &again.policy_decision_id), (ALLOWS, &allowed.policy_decision_id));
    assert!(again.replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_batch_each_call_sees_the_ones_before_it_and_a_batch_that_fails_asks_for_nothing() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let batch = async |requests: Vec<v1::DecideRequest>| {
        let request = v1::BatchDecideRequest { requests, ..Default::default() };
        run.connection.decisions().batch_decide(request).await.map(|answer| answer.into_inner().responses)
    };
    let asked = batch(vec![refund(1), refund(2), refund(1), decide("billing", "charge")]).await.unwrap();
    let ids: Vec<_> = asked.iter().map(|answer| answer.approval_id.as_str()).collect();
    assert!(ids[0] == ids[2] && ids[0] != ids[1] && ids[3].is_empty(), "{ids:?}");
    approve(&world.oscar, yes(ids[0])).await.unwrap();
    let call = v1::DecideRequest { approval_id: ids[0].to_owned(), ..refund(1) };
    let answers = batch(vec![call.clone(), call]).await.unwrap();
    assert_eq!(answers.iter().map(said).collect::<Vec<_>>(), [ALLOWS, EXPIRED]);

    // The second call's request id stands for another request, so the whole batch is refused.
    let keyed = |cents| v1::DecideRequest { request_id: "k".to_owned(), ..refund(cents) };
    ask(&run, keyed(7)).await;
    let before = world.log_size().await;
    refused(batch(vec![refund(8), keyed(9)]).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(world.log_size().await, before);
    let request = v1::ListApprovalsRequest { agent_instance_id: run.id.clone(), ..Default::default() };
    let all = world.oscar.approvals().list_approvals(request).await.unwrap().into_inner().approvals;
    assert_eq!(all.len(), 3, "refunds of 1, 2 and 7: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_so_many_questions_waiting_and_no_more() {
    let world = world_with(&[("COUNTERSIGN_APPROVALS_PENDING_PER_INSTANCE", "2")]).await;
    let run = world.run_of("alice").await;
    let first = ask(&run, refund(1)).await.approval_id;
    ask(&run, refund(2)).await;
    let over = ask(&run, refund(3)).await;
    assert_eq!((said(&over), over.approval_id.as_str()), (ASKS, ""));
    assert!(over.reason.unwrap().message.contains("too many of this run wait"));
    assert_eq!(ask(&run, refund(1)).await.approval_id, first, "what waits can be asked about");
    assert!(!ask(&world.run_of("alice").await, refund(3)).await.approval_id.is_empty(), "other runs may");
    reject(&world.oscar, no(&first)).await.unwrap();
    assert!(!ask(&run, refund(3)).await.approval_id.is_empty(), "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn approvals_are_listed_newest_first_by_page_and_filter() {
    let world = world().await;
    world.sponsor("bob").await;
    let (of_alice, of_bob) = (world.run_of("alice").await, world.run_of("bob").await);
    let mut ids = Vec::new();
    for cents in 0..5 {
        ids.push(ask(if cents == 2 { &of_bob } else { &of_alice }, refund(cents)).await.approval_id);
        sleep(Duration::from_millis(2)).await;
    }
    ids.reverse();
    let list = async |request: v1::ListApprovalsRequest| {
        let page = world.oscar.approvals().list_approvals(request).await?.into_inner();
        let ids: Vec<_> = page.approvals.into_iter().map(|approval| approval.approval_id).collect();
        Ok::<_, Status>((ids, page.next_page_token))
    };
    let mut request = v1::ListApprovalsRequest { page_size: 2, ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let (page, next) = list(request.clone()).await.unwrap();
        seen.extend(page);
        if next.is_empty() {
            break;
        }
        request.page_token = next;
    }
    assert_eq!(seen, ids);
    approve(&world.oscar, yes(&ids[0])).await.unwrap();
    let any = v1::ListApprovalsRequest::default;
    for (filter, expected) in [
        (v1::ListApprovalsRequest { state: v1::ApprovalState::Approved.into(), ..any() }, vec![0]),
        (v1::ListApprovalsRequest { state: v1::ApprovalState::Pending.into(), ..any() }, vec![1, 2, 3, 4]),
        (v1::ListApprovalsRequest { sponsor_id: "bob".to_owned(), ..any() }, vec![2]),
        (v1::ListApprovalsRequest { agent_instance_id: of_alice.id.clone(), ..any() }, vec![0, 1, 3, 4]),
        (v1::ListApprovalsRequest { tool_id: "search".to_owned(), ..any() }, vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|nth: usize| ids[nth].clone()).collect();
        assert_eq!(list(filter.clone()).await.unwrap().0, expected, "{filter:?}");
    }
    let stale = v1::ListApprovalsRequest { page_token: request.page_token, sponsor_id: "bob".to_owned(), ..any() };
    assert_eq!(fields(&list(stale).await.unwrap_err()), ["page_token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_commands_work() {
    let world = World::start().await;
    documented(&world, include_str!("../../../docs/approvals.md")).await;
}
