//! What another policy would have answered over what was recorded.

use countersign_client::v1;
use sqlx::Executor as _;
use tonic::{Code, Response, Status};

use crate::support::{World, decide, document, eventually, fields, refused};

fn of_version(version: &str) -> v1::SimulatePolicyRequest {
    v1::SimulatePolicyRequest { version: version.to_owned(), ..Default::default() }
}

fn of_document(document: &str) -> v1::SimulatePolicyRequest {
    v1::SimulatePolicyRequest { document: document.to_owned(), ..Default::default() }
}

/// The last piece, and the differences of all.
async fn simulated(
    world: &World,
    request: v1::SimulatePolicyRequest,
) -> Result<(v1::SimulatePolicyResponse, Vec<v1::PolicyDifference>), Status> {
    let mut pieces = world.oscar.policies().simulate_policy(request).await?.into_inner();
    let mut differences = Vec::new();
    while let Some(mut piece) = pieces.message().await? {
        differences.append(&mut piece.differences);
        if piece.done {
            assert!(pieces.message().await?.is_none(), "a piece after the last");
            return Ok((piece, differences));
        }
    }
    panic!("the stream ended without its last piece");
}

/// evaluated, different, new allows, new denies, inconclusive, not asked
const fn counts(piece: &v1::SimulatePolicyResponse) -> [i64; 6] {
    [piece.evaluated, piece.different, piece.new_allows, piece.new_denies, piece.inconclusive, piece.not_asked]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_is_counted_and_named_and_nothing_is_changed() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let (run, bobs) = (world.run_of("alice").await, world.run_of("bob").await);
    let child = run.child().await;
    run.decide("billing", "refund").await.unwrap();
    run.decide("billing", "refund").await.unwrap();
    child.decide("billing", "refund").await.unwrap();
    bobs.decide("search", "query").await.unwrap();
    let denied = bobs.decide("billing", "delete").await.unwrap();
    // Refused before any policy is asked: a tool that was not granted, and a token that is none.
    run.decide("file-store", "read").await.unwrap();
    let forged = v1::DecideRequest { token: "forged".to_owned(), ..decide("billing", "refund") };
    world.rita.decisions().decide(forged).await.unwrap();

    let size = world.log_size().await;
    let (same, none) = simulated(&world, of_version("pv_1")).await.unwrap();
    assert_eq!((counts(&same), none.len()), ([5, 0, 0, 0, 0, 2], 0));

    let candidate = world.policy(&document("refund, delete")).await;
    let (last, differences) = simulated(&world, of_version(&candidate)).await.unwrap();
    assert_eq!(counts(&last), [5, 2, 1, 1, 0, 2]);
    let [search, delete] = &differences[..] else { panic!("{differences:?}") };
    assert_eq!(
        (search.tool_id.as_str(), search.action.as_str(), search.sponsor_id.as_str()),
        ("search", "query", "bob")
    );
    assert_eq!((search.recorded_effect(), search.simulated_effect()), (v1::Effect::Allow, v1::Effect::Deny));
    assert_eq!(search.simulated_reason(), v1::DecisionReason::NoMatchingRule);
    assert_eq!(
        (search.recorded_rule_ids.join(" "), search.simulated_rule_ids.len()),
        ("allow-support-search".into(), 0)
    );
    assert_eq!(delete.policy_decision_id, denied.policy_decision_id);
    assert_eq!((delete.recorded_effect(), delete.simulated_effect()), (v1::Effect::Deny, v1::Effect::Allow));
    assert_eq!((delete.recorded_reason(), &delete.agent_instance_id), (v1::DecisionReason::NoMatchingRule, &bobs.id));
    assert_eq!(delete.simulated_rule_ids, ["support-billing"]);

    // The same document, not stored.
    let (again, _) = simulated(&world, of_document(&document("refund, delete"))).await.unwrap();
    assert_eq!(counts(&again), counts(&last));

    for (request, expected) in [
        (v1::SimulatePolicyRequest { sponsor_id: "bob".into(), ..of_version(&candidate) }, [2, 2, 1, 1, 0, 0]),
        (
            v1::SimulatePolicyRequest { agent_instance_id: child.id.clone(), ..of_version(&candidate) },
            [1, 0, 0, 0, 0, 0],
        ),
        (v1::SimulatePolicyRequest { tool_id: "billing".into(), ..of_version(&candidate) }, [4, 1, 1, 0, 0, 1]),
    ] {
        assert_eq!(counts(&simulated(&world, request).await.unwrap().0), expected);
    }
    assert_eq!(world.log_size().await, size + 1, "only the candidate's creation");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_time_range_is_looked_at() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let mut times = Vec::new();
    for _ in 0..3 {
        let answer = run.decide("billing", "refund").await.unwrap();
        let request = v1::GetDecisionRequest { policy_decision_id: answer.policy_decision_id };
        let decision = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
        times.push(decision.decide_time.unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let between = |start, end| v1::SimulatePolicyRequest { start_time: start, end_time: end, ..of_version("pv_1") };
    let (first, second, third) = (Some(times[0]), Some(times[1]), Some(times[2]));
    for (start, end, evaluated) in [(first, third, 2), (second, None, 2), (None, second, 1), (second, third, 1)] {
        let (last, _) = simulated(&world, between(start, end)).await.unwrap();
        assert_eq!(last.evaluated, evaluated, "{start:?} to {end:?}");
    }
    let status = simulated(&world, between(third, first)).await.unwrap_err();
    assert_eq!(fields(&status), ["start_time"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_context_is_inconclusive_unless_the_version_answered_itself() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let reads = |limit: u32| {
        format!(
            "rules:\n  - {{id: small, role: support, tool: billing, allowed_actions: [charge], when: context.amount_cents <= {limit}}}\n"
        )
    };
    let active = world.policy(&reads(500)).await;
    let request = v1::ActivatePolicyRequest { version: active.clone(), reason: "try".into(), ..Default::default() };
    world.rita.policies().activate_policy(request).await.unwrap();
    for cents in [100.0, 900.0] {
        let mut question = decide("billing", "charge");
        let amount = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(cents)) };
        question.context = Some(prost_types::Struct { fields: [("amount_cents".to_owned(), amount)].into() });
        run.connection.decisions().decide(question).await.unwrap();
    }
    let (own, _) = simulated(&world, of_version(&active)).await.unwrap();
    assert_eq!(counts(&own), [2, 0, 0, 0, 0, 0], "its own word");
    let (other, _) = simulated(&world, of_document(&reads(1_000))).await.unwrap();
    assert_eq!(counts(&other), [0, 0, 0, 0, 2, 0]);

    // A purpose can be read again, until it is erased.
    let for_tickets = "rules:\n  - {id: tickets, role: support, tool: billing, allowed_actions: [charge], when: 'context.purpose like \"triage*\"'}\n";
    let (kept, _) = simulated(&world, of_document(for_tickets)).await.unwrap();
    assert_eq!(counts(&kept), [2, 1, 1, 0, 0, 0]);
    let mut connection = world.database.connect().await.unwrap();
    let erase = "UPDATE custody_event SET purpose = NULL, purpose_salt = NULL, reason = NULL, reason_salt = NULL WHERE kind = 'decision'";
    connection.execute(erase).await.unwrap();
    let (erased, _) = simulated(&world, of_document(for_tickets)).await.unwrap();
    assert_eq!(counts(&erased), [0, 0, 0, 0, 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_that_were_only_observed_count_what_the_version_would_have_done() {
    let world = World::start().await;
    let candidate = world.policy(&document("refund")).await;
    let request = v1::StartRolloutRequest {
        candidate: candidate.clone(),
        baseline: "observe".into(),
        percent: Some(0),
        reason: "look first".into(),
        ..Default::default()
    };
    world.rita.rollouts().start_rollout(request).await.unwrap();
    let run = world.run_of("alice").await;
    for action in ["refund", "delete"] {
        let answer = run.decide("billing", action).await.unwrap();
        assert_eq!((answer.effect(), answer.enforcement()), (v1::Effect::Allow, v1::Enforcement::Shadow));
    }
    let (last, differences) = simulated(&world, of_version(&candidate)).await.unwrap();
    assert_eq!(counts(&last), [2, 1, 0, 1, 0, 0]);
    assert_eq!(differences[0].recorded_reason(), v1::DecisionReason::Observed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_simulated_is_refused_with_all_that_is_wrong() {
    let world = World::start().await;
    let ask = async |request| world.oscar.policies().simulate_policy(request).await.map(Response::into_inner);
    refused(ask(of_version("pv_77")).await.map(drop), Code::NotFound, "NOT_FOUND");
    let bad = of_document("rules:\n  - id: a\n    role: b\nrollout: 7\n");
    let status = ask(bad.clone()).await.unwrap_err();
    assert!(fields(&status).len() > 1, "{status:?}");
    refused(ask(bad).await.map(drop), Code::InvalidArgument, "POLICY_INVALID");
    let both = v1::SimulatePolicyRequest { version: "pv_1".into(), ..of_document("rules: []") };
    assert_eq!(fields(&ask(both).await.unwrap_err()), ["version"]);
    assert_eq!(fields(&ask(v1::SimulatePolicyRequest::default()).await.unwrap_err()), ["version"]);
    let agent = world.run_of("alice").await;
    let theirs = agent.connection.policies().simulate_policy(of_version("pv_1")).await.map(drop);
    refused(theirs, Code::PermissionDenied, "ROLE_REQUIRED");
}

/// Repeats the newest event as `count` decisions of this day so far.
async fn grow(world: &World, count: i32) {
    let mut connection = world.database.connect().await.unwrap();
    let statement = format!(
        "INSERT INTO custody_event (log_id, log_index, event_id, kind, sponsor_id, instance_id, root_instance_id, tool_id, effect,
                                    leaf_bytes)
         SELECT 0, log_index + n, (left(event_id::text, 14) || '7' || right(gen_random_uuid()::text, 21))::uuid, kind, sponsor_id,
                instance_id, root_instance_id, tool_id, effect, leaf_bytes
         FROM (SELECT * FROM custody_event ORDER BY log_index DESC LIMIT 1) AS newest, generate_series(1, {count}) AS n"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_runs_two_at_a_time_holds_nothing_while_they_wait_and_ends_with_the_caller() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    run.decide("billing", "refund").await.unwrap();
    grow(&world, 60_000).await;
    // Everything comes out otherwise: far more than fits on the way to a caller who does not read.
    let nothing = of_document("rules: [{id: never, role: admin, tool: billing, allowed_actions: [refund]}]");
    let begin = async || world.oscar.policies().simulate_policy(nothing.clone()).await.map(Response::into_inner);
    let (first, mut second) = (begin().await.unwrap(), begin().await.unwrap());
    refused(begin().await.map(drop), Code::ResourceExhausted, "OVERLOADED");

    eventually("no transaction is open", async || {
        let mut connection = world.database.connect().await.unwrap();
        let statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start < now() - interval '200 ms'";
        let open: i64 = sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap();
        open == 0
    })
    .await;
    run.decide("billing", "refund").await.unwrap();

    drop(first);
    eventually("the place of the one who left is free", async || begin().await.is_ok()).await;
    let (mut different, mut pieces) = (0, 0);
    while let Some(piece) = second.message().await.unwrap() {
        assert!(piece.different >= different);
        (different, pieces) = (piece.different, pieces + 1);
        if piece.done {
            break;
        }
    }
    assert!(different > 60_000 && pieces > 10, "{different} in {pieces}");
}
