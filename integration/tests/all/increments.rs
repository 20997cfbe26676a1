//! What holds a rollout where it is, and what makes it grow.

use std::time::Duration;

use countersign_client::v1;
use countersign_integration::Server;
use serde_json::Value;
use tokio::time::sleep;
use tonic::Code;

use crate::{
    support::{World, decide, document, eventually, refused},
    watched::{ANEW, Watched, figure, of_run, whatever_it_takes},
};

/// For a rollout's increment: its last one, or its start, is longer ago.
const A_DAY_PASSES: &str = "UPDATE rollout SET advance_time = advance_time - interval '25 hours'";

#[tokio::test(flavor = "multi_thread")]
async fn without_enough_figures_nothing_advances_unless_forced_and_the_event_says_what_was_passed_over() {
    let watched =
        Watched::start(&document("charge, refund, probe"), whatever_it_takes(), v1::StartRolloutRequest::default())
            .await;
    let status = watched.advance(false).await.unwrap_err();
    let message = status.message().to_owned();
    for word in
        ["MISSING_SPONSOR is INCONCLUSIVE", "0 decisions", "100 decisions needed", "can force the change with a reason"]
    {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
    let info = refused::<()>(Err(status), Code::FailedPrecondition, "GATE_NOT_PASSED");
    assert_eq!(info.metadata["gates"], "MISSING_SPONSOR,POLICY_ERROR,LATENCY_P95");
    assert_eq!(info.metadata["verdicts"], "INCONCLUSIVE,INCONCLUSIVE,INCONCLUSIVE");
    assert_eq!(watched.read().await.percent, 10);

    // A small team looks for itself.
    let forced = watched.advance(true).await.unwrap().rollout.unwrap();
    assert_eq!(forced.percent, 30);
    let log = watched.world.log().await;
    let event = log.iter().find(|event| event.kind() == "rollout_advanced").unwrap();
    assert_eq!(event.text("operator_id"), "rita");
    let changes: Vec<_> = event.leaf["changes"].as_array().unwrap().iter().map(change).collect();
    let inconclusive = |gate: &str| (format!("gate_{gate}"), "INCONCLUSIVE".to_owned());
    let expected = [
        ("forced".to_owned(), "true".to_owned()),
        inconclusive("latency_p95"),
        inconclusive("missing_sponsor"),
        inconclusive("policy_error"),
    ];
    assert_eq!(changes, expected);

    // With figures nobody has to force anything; what was seen before the step counts for nothing after it.
    let run = watched.world.run_of("alice").await;
    sleep(ANEW).await;
    watched.ask(of_run(&run.token, "refund"), 120).await;
    watched.gates_say(v1::GateVerdict::Pass).await;
    assert_eq!(watched.advance(false).await.unwrap().rollout.unwrap().percent, 60);
    refused(watched.advance(false).await, Code::FailedPrecondition, "GATE_NOT_PASSED");
}

fn change(change: &Value) -> (String, String) {
    let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
    (text("field"), text("after"))
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_from_before_a_rollout_started_count_for_none_of_its_gates() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let forged = v1::DecideRequest { token: "forged".to_owned(), ..decide("billing", "refund") };
    let request = v1::BatchDecideRequest { requests: vec![forged; 100], ..Default::default() };
    elsewhere.decisions().batch_decide(request).await.unwrap();
    // Not yet stored when the rollout starts.
    let request = v1::StartRolloutRequest {
        candidate: world.policy(&document("charge")).await,
        reason: "try it".to_owned(),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let watched = Watched { world, second, elsewhere, rollout };
    watched.gates_say(v1::GateVerdict::Inconclusive).await;
    sleep(Duration::from_secs(4)).await;
    let read = watched.read().await;
    assert_eq!((read.state(), read.gate_readings[0].sample_count), (v1::RolloutState::Running, 0), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_passing_gates_adds_one_increment_on_two_servers_and_none_past_the_next_step() {
    let more = v1::StartRolloutRequest { increment_per_day: 2, ..Default::default() };
    let watched = Watched::start(&document("charge, refund, probe"), whatever_it_takes(), more).await;
    watched.sql(A_DAY_PASSES).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(watched.read().await.percent, 10, "inconclusive gates hold it");

    let run = watched.world.run_of("alice").await;
    watched.ask(of_run(&run.token, "refund"), 120).await;
    eventually("the increment", async || watched.read().await.percent == 12).await;
    let event = watched.event("rollout_advanced").await;
    assert_eq!(event.text("reason"), "DAILY_INCREMENT");
    assert_eq!(figure(&event, "decisions"), 120);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(watched.read().await.percent, 12, "once a day");

    // One point below the next step. It is reached and not passed: a person says how it goes on.
    watched.sql("UPDATE rollout SET percent = 29, advance_time = advance_time - interval '25 hours'").await;
    watched.ask(of_run(&run.token, "refund"), 120).await;
    eventually("the next step", async || watched.read().await.percent == 30).await;
    watched.sql(A_DAY_PASSES).await;
    sleep(ANEW).await;
    watched.ask(of_run(&run.token, "refund"), 120).await;
    watched.gates_say(v1::GateVerdict::Pass).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(watched.read().await.percent, 30);
    assert_eq!(watched.advance(false).await.unwrap().rollout.unwrap().percent, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_figures_cannot_be_read_nothing_advances_and_nothing_is_undone() {
    let more = v1::StartRolloutRequest { increment_per_day: 2, ..Default::default() };
    let watched = Watched::start(&document("charge, refund, probe"), whatever_it_takes(), more).await;
    let run = watched.world.run_of("alice").await;
    watched.ask(of_run(&run.token, "refund"), 120).await;
    watched.gates_say(v1::GateVerdict::Pass).await;

    watched.sql("ALTER TABLE indicator_slot RENAME TO indicator_slot_away").await;
    watched.sql(A_DAY_PASSES).await;
    let failures = |server: &Server| server.log().matches("so nothing advances").count();
    eventually("both servers have failed to read them twice", async || {
        failures(&watched.world.server) >= 2 && failures(&watched.second) >= 2
    })
    .await;
    let held = watched.read().await;
    assert_eq!(
        (held.state(), held.percent),
        (v1::RolloutState::Running, 10),
        "the gates passed when they were last read"
    );
    watched.advance(false).await.unwrap_err();
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow, "decisions need no figures");

    watched.sql("ALTER TABLE indicator_slot_away RENAME TO indicator_slot").await;
    eventually("the increment", async || watched.read().await.percent == 12).await;
}
