//! GetIndicators: what all servers together counted.

use std::time::Duration;

use countersign_client::v1;
use countersign_core::{ids::RolloutId, rollout::Comparison};
use countersign_store::{
    commit, database_time,
    indicator::{self, Counts, RolloutSlot, Slot},
};
use sqlx::types::Uuid;
use tonic::{Code, Response};

use crate::support::{World, decide, document, eventually, issue, refused, seconds};

fn window(length: prost_types::Duration) -> v1::GetIndicatorsRequest {
    v1::GetIndicatorsRequest { window: Some(length) }
}

async fn read(world: &World) -> v1::GetIndicatorsResponse {
    world.rita.status().get_indicators(window(seconds(60))).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_shows_what_all_counted() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let run = world.run_of("alice").await;
    let there = run.on(&elsewhere);
    let mut allowed = Vec::new();
    for _ in 0..10 {
        allowed.push(run.decide("billing", "refund").await.unwrap());
        allowed.push(there.decide("billing", "refund").await.unwrap());
    }
    for nobody in [&world.rita, &elsewhere] {
        let forged = v1::DecideRequest { token: "forged".to_owned(), ..decide("billing", "refund") };
        nobody.decisions().decide(forged).await.unwrap();
    }
    let outcome = v1::RecordToolCallRequest {
        policy_decision_id: allowed[0].policy_decision_id.clone(),
        outcome: v1::ToolCallOutcome::Success.into(),
        ..Default::default()
    };
    run.connection.custody().record_tool_call(outcome).await.unwrap();
    eventually("both servers have stored it", async || read(&world).await.decisions == 22).await;

    let here = read(&world).await;
    let there = elsewhere.status().get_indicators(window(seconds(60))).await.unwrap().into_inner();
    assert_eq!(there.decisions, 22);
    // 2 of 22, rounded up as gates do it.
    assert_eq!((here.missing_sponsor_bp, here.policy_error_bp, here.observed_decisions), (910, 0, 0));
    assert_eq!((here.issuances, here.issuance_failure_bp, here.shed_requests), (1, 0, 0));
    assert_eq!(here.open_decisions, 19, "20 allowed, one has its outcome");
    let micros = |span: Option<prost_types::Duration>| {
        let span = span.unwrap();
        span.seconds * 1_000_000 + i64::from(span.nanos / 1_000)
    };
    let (p50, p95, p99) = (micros(here.latency_p50), micros(here.latency_p95), micros(here.latency_p99));
    assert!(0 < p50 && p50 <= p95 && p95 <= p99 && p99 < 60_000_000, "{p50} {p95} {p99}");
    let length = here.end_time.unwrap().seconds - here.start_time.unwrap().seconds;
    assert_eq!(length, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_let_through_by_an_observing_baseline_and_policy_errors_are_told_apart() {
    let world = World::start().await;
    let reads = document("refund").replace("allowed_actions", "when: context.amount_cents <= 1\n    allowed_actions");
    let candidate = world.policy(&reads).await;
    let request = v1::StartRolloutRequest {
        candidate,
        baseline: "observe".to_owned(),
        percent: Some(0),
        reason: "look first".to_owned(),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let run = world.run_of("alice").await;
    for _ in 0..5 {
        assert_eq!(run.decide("billing", "refund").await.unwrap().enforcement(), v1::Enforcement::Shadow);
    }
    eventually("it is stored", async || read(&world).await.decisions == 5).await;
    let seen = read(&world).await;
    // The candidate erred, and answered nobody.
    assert_eq!((seen.observed_decisions, seen.policy_error_bp), (5, 0));

    let request = v1::AdvanceRolloutRequest {
        rollout_id: rollout.rollout_id,
        percent: 100,
        reason: "go".to_owned(),
        force: true,
        ..Default::default()
    };
    world.rita.rollouts().advance_rollout(request).await.unwrap();
    for _ in 0..5 {
        run.decide("billing", "refund").await.unwrap();
    }
    eventually("it is stored", async || read(&world).await.decisions == 10).await;
    assert_eq!(read(&world).await.policy_error_bp, 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_ten_seconds_to_an_hour_and_a_gate_may_not_look() {
    let world = World::start().await;
    world.rita.status().get_indicators(v1::GetIndicatorsRequest::default()).await.unwrap();
    world.rita.status().get_indicators(window(seconds(3_600))).await.unwrap();
    for wrong in [seconds(9), seconds(3_601), prost_types::Duration { seconds: 60, nanos: 1 }] {
        let answer = world.rita.status().get_indicators(window(wrong)).await.map(Response::into_inner);
        refused(answer, Code::InvalidArgument, "INVALID_REQUEST");
    }
    let run = world.run_of("alice").await;
    let answer = run.connection.status().get_indicators(window(seconds(60))).await.map(Response::into_inner);
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_in_good_order_stores_what_it_counted_last() {
    let world = World::start().await;
    let mut second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let run = world.run_of("alice").await.on(&elsewhere);
    for _ in 0..3 {
        run.decide("billing", "refund").await.unwrap();
    }
    second.ask_to_stop().unwrap();
    assert!(second.ended().await.unwrap().success());
    assert_eq!(read(&world).await.decisions, 3);
    world.rita.credentials().issue_credential(issue("alice")).await.unwrap();
}

/// A slot of a server that is not there.
fn slot(number: i64, rollout: RolloutId) -> Slot {
    let comparison = Comparison { compared: 7, new_denies: 7, ..Comparison::default() };
    Slot {
        server_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001),
        number,
        span: Duration::from_secs(1),
        age: Duration::ZERO,
        counts: Counts { decisions: 7, ..Counts::default() },
        latency: [(900, 7)].into(),
        without_sponsor: [("gate-1".to_owned(), 2)].into(),
        rollouts: vec![RolloutSlot { rollout_id: rollout, candidate_errors: 1, held_back: 0, comparison }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_sent_again_counts_once_and_what_no_window_reaches_is_forgotten() {
    let world = World::start().await;
    let request = v1::StartRolloutRequest {
        candidate: world.policy(&document("charge")).await,
        reason: "try it".to_owned(),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let rollout_id: RolloutId = rollout.rollout_id.parse().unwrap();
    let store = async |number| {
        let mut tx = world.database.store().unwrap().begin().await.unwrap();
        let now = database_time(&mut tx).await.unwrap();
        indicator::insert(&mut tx, &slot(number, rollout_id), now).await.unwrap();
        commit(tx).await.unwrap();
    };
    let compared = async || {
        let request = v1::GetRolloutRequest { rollout_id: rollout.rollout_id.clone() };
        let read = world.rita.rollouts().get_rollout(request).await.unwrap().into_inner().rollout.unwrap();
        read.comparison.unwrap().compared
    };
    // The answer to the first was lost.
    store(0).await;
    store(0).await;
    assert_eq!((read(&world).await.decisions, compared().await), (7, 7));
    store(1).await;
    assert_eq!((read(&world).await.decisions, compared().await), (14, 14));

    let mut connection = world.database.connect().await.unwrap();
    let older = "UPDATE indicator_slot SET begin_time = begin_time - interval '3 hours', end_time = end_time - interval '3 hours' \
                 WHERE slot = 0";
    sqlx::query(older).execute(&mut connection).await.unwrap();
    let store = world.database.store().unwrap();
    let now = database_time(&mut store.writing().await.unwrap()).await.unwrap();
    indicator::purge(&mut store.writing().await.unwrap(), now).await.unwrap();
    for table in ["indicator_slot", "rollout_slot"] {
        let statement = sqlx::AssertSqlSafe(format!("SELECT slot FROM {table}"));
        let left: Vec<i64> = sqlx::query_scalar(statement).fetch_all(&mut connection).await.unwrap();
        assert_eq!(left, [1], "{table}");
    }
    assert_eq!((read(&world).await.decisions, compared().await), (7, 14), "what a rollout was compared by stays");
}
