//! GetIndicators: what all servers together counted.

use countersign_client::v1;
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
