//! A rollout that goes wrong while a server's clock does: it is undone in time, and only then.

use std::time::Instant;

use countersign_client::v1;
use tokio::time::sleep;

use super::{Clocks, at, says};
use crate::{
    support::{document, seconds},
    watched::{ANEW, WITHIN, of_run, whatever_it_takes},
};

/// Reads an attribute that callers do not send.
fn reads_context() -> String {
    document("charge, refund").replace("allowed_actions", "when: context.amount_cents <= 50000\n    allowed_actions")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_undoes_a_rollout_in_time_and_a_clock_that_is_wrong_none() {
    let clocks = Clocks::start().await;
    clocks.activate(&document("charge, refund")).await;
    let candidate = clocks.policy(&reads_context()).await;
    let state = async |id: &str| {
        let request = v1::GetRolloutRequest { rollout_id: id.to_owned() };
        clocks.rita.rollouts().get_rollout(request).await.unwrap().into_inner().rollout.unwrap().state()
    };
    for off in [Some(-1200.0), Some(1200.0), Some(91.0 * 86_400.0), None] {
        let run = clocks.run("alice").await;
        let request = v1::StartRolloutRequest {
            candidate: candidate.clone(),
            percent: Some(10),
            gates: Some(whatever_it_takes()),
            min_soak: Some(seconds(0)),
            reason: "try it".to_owned(),
            ..Default::default()
        };
        let started = clocks.rita.rollouts().start_rollout(request).await.unwrap().into_inner();
        let id = started.rollout.unwrap().rollout_id;
        match off {
            Some(off) => clocks.clock.is_off_by(off).unwrap(),
            None => clocks.clock.is_frozen().unwrap(),
        }
        says(&clocks.other, false, "clock").await;
        let asks = async |action: &str| {
            let requests = vec![of_run(&run.token, action); 100];
            let request = v1::BatchDecideRequest { requests, ..Default::default() };
            clocks.rita.decisions().batch_decide(request).await.unwrap().into_inner().responses
        };
        // Nothing is wrong with it: 20 minutes or three months that never were are no reason.
        sleep(ANEW).await;
        asks("probe").await;
        sleep(WITHIN / 2).await;
        assert_eq!(state(&id).await, v1::RolloutState::Running, "{off:?}");

        let begun = Instant::now();
        asks("refund").await;
        while state(&id).await != v1::RolloutState::RolledBack {
            assert!(begun.elapsed() < WITHIN, "not undone within {WITHIN:?} at {off:?}");
            sleep(std::time::Duration::from_millis(100)).await;
        }
        let log = clocks.log().await;
        let undone = log.iter().rfind(|event| event.kind() == "rollout_rolled_back").unwrap();
        assert_eq!((undone.text("reason"), undone.leaf["rollout"]["id"].as_str()), ("GATE_POLICY_ERROR", Some(&*id)));
        for answer in asks("refund").await {
            assert_eq!(answer.effect(), v1::Effect::Allow);
            assert!(answer.policy_version != candidate && answer.log_index > undone.index);
        }
        // And at the other one, once its clock is right.
        clocks.clock.is_off_by(0.0).unwrap();
        says(&clocks.other, true, "agrees").await;
        let there = run.on(&at(&clocks.other, &run.token).await);
        let answer = there.decide("billing", "refund").await.unwrap();
        assert!(answer.effect() == v1::Effect::Allow && answer.policy_version != candidate, "{answer:?}");
        let log = clocks.log().await;
        let by_candidate = |index: i64| {
            let answered = |event: &&crate::support::Event| event.index > index && event.kind() == "decision";
            log.iter().filter(answered).filter(|event| event.text("policy_version") == candidate).count()
        };
        assert_eq!(by_candidate(undone.index), 0, "{off:?}");
    }
}
