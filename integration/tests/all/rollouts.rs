//! Rollout percentages: who is inside, who moves, what a step needs.

use std::collections::HashSet;

use countersign_client::{Rollout, v1};
use tonic::{Code, Response};

use crate::support::{Event, Run, World, document, refused};

const RUNS: usize = 40;

fn advance(rollout: &v1::Rollout, percent: i32, force: bool) -> v1::AdvanceRolloutRequest {
    v1::AdvanceRolloutRequest {
        rollout_id: rollout.rollout_id.clone(),
        percent,
        reason: "the figures are good".to_owned(),
        force,
        etag: rollout.etag.clone(),
        ..Default::default()
    }
}

/// The runs that the candidate answers: the only document that knows the action `probe`.
async fn inside(runs: &[Run], rollout: &v1::Rollout) -> HashSet<usize> {
    let local = Rollout::new(rollout).unwrap();
    let mut inside = HashSet::new();
    for (nth, run) in runs.iter().enumerate() {
        let answer = run.decide("billing", "probe").await.unwrap();
        assert_eq!(answer.rollout_id, rollout.rollout_id);
        assert_eq!(answer.bucket, i32::from(local.bucket(&run.id)));
        let enrolled = local.is_enrolled(&run.id);
        assert_eq!(answer.effect() == v1::Effect::Allow, enrolled);
        let side = if enrolled { v1::RolloutSide::Candidate } else { v1::RolloutSide::Baseline };
        assert_eq!(answer.rollout_side(), side);
        if enrolled {
            inside.insert(nth);
        }
    }
    inside
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_grows_to_completion_and_never_moves_anyone_out() {
    let world = World::start().await;
    let candidate = world.policy(&document("charge, refund, probe")).await;
    let request =
        v1::StartRolloutRequest { candidate: candidate.clone(), reason: "try it".to_owned(), ..Default::default() };
    let mut rollout = world.rita.rollouts().start_rollout(request.clone()).await.unwrap().into_inner().rollout.unwrap();
    assert_eq!((rollout.percent, rollout.baseline.as_str(), rollout.salt.len()), (10, "pv_1", 32));
    let again = world.rita.rollouts().start_rollout(request).await.map(Response::into_inner);
    let info = refused(again, Code::FailedPrecondition, "ROLLOUT_OPEN");
    assert_eq!(info.metadata["rollout_id"], rollout.rollout_id);

    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(world.run_of("alice").await);
    }
    let mut before = inside(&runs, &rollout).await;
    for percent in [30, 60] {
        let waits = world.rita.rollouts().advance_rollout(advance(&rollout, 0, false)).await.map(Response::into_inner);
        let info = refused(waits, Code::FailedPrecondition, "SOAK_NOT_OVER");
        assert!(info.metadata["left_seconds"].parse::<u64>().unwrap() > 86_000);
        let stale = v1::AdvanceRolloutRequest { etag: "stale".to_owned(), ..advance(&rollout, 0, true) };
        let answer = world.rita.rollouts().advance_rollout(stale).await.map(Response::into_inner);
        refused(answer, Code::Aborted, "ETAG_MISMATCH");
        let shrinks = world.rita.rollouts().advance_rollout(advance(&rollout, 5, true)).await.map(Response::into_inner);
        refused(shrinks, Code::InvalidArgument, "INVALID_REQUEST");

        let answer = world.rita.rollouts().advance_rollout(advance(&rollout, 0, true)).await.unwrap();
        rollout = answer.into_inner().rollout.unwrap();
        assert_eq!(rollout.percent, percent);
        let now = inside(&runs, &rollout).await;
        assert!(now.is_superset(&before), "growing moved somebody out");
        before = now;
    }
    assert!((8..=36).contains(&before.len()), "60 % of {RUNS} runs are {}", before.len());

    let done = world.oscar.rollouts().advance_rollout(advance(&rollout, 100, true)).await.unwrap().into_inner();
    let done = done.rollout.unwrap();
    assert_eq!((done.state(), done.percent), (v1::RolloutState::Completed, 100));
    let active = world.rita.policies().get_policy(v1::GetPolicyRequest::default()).await.unwrap().into_inner();
    assert_eq!(active.policy.unwrap().version, candidate);
    for run in &runs {
        let answer = run.decide("billing", "probe").await.unwrap();
        assert_eq!((answer.effect(), answer.rollout_id.as_str()), (v1::Effect::Allow, ""));
    }
    let log = world.log().await;
    let steps: Vec<_> = log.iter().map(Event::kind).filter(|kind| kind.starts_with("rollout")).collect();
    assert_eq!(steps, ["rollout_started", "rollout_advanced", "rollout_advanced", "rollout_completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_gives_everyone_the_baseline_back() {
    let world = World::start().await;
    let candidate = world.policy(&document("probe")).await;
    let request = v1::StartRolloutRequest {
        candidate,
        percent: Some(99),
        sticky_key: v1::StickyKey::Sponsor.into(),
        reason: "nearly all".to_owned(),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let run = world.run_of("alice").await;
    let enrolled = Rollout::new(&rollout).unwrap().is_enrolled("alice");
    let answer = run.decide("billing", "refund").await.unwrap();
    assert_eq!(answer.effect() == v1::Effect::Deny, enrolled);

    let request = v1::RollbackRolloutRequest {
        rollout_id: rollout.rollout_id.clone(),
        reason: "support cannot refund".to_owned(),
        ..Default::default()
    };
    let undone = world.oscar.rollouts().rollback_rollout(request.clone()).await.unwrap().into_inner().rollout.unwrap();
    assert_eq!(undone.state(), v1::RolloutState::RolledBack);
    assert_eq!(undone.rollback_reason, "support cannot refund");
    let answer = run.decide("billing", "refund").await.unwrap();
    assert_eq!((answer.effect(), answer.policy_version.as_str()), (v1::Effect::Allow, "pv_1"));
    let again = world.oscar.rollouts().rollback_rollout(request).await.map(Response::into_inner);
    refused(again, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    let late = world.oscar.rollouts().advance_rollout(advance(&undone, 0, true)).await.map(Response::into_inner);
    refused(late, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_salt_is_shown_to_who_may_bucket_and_to_no_agent() {
    let world = World::start().await;
    let candidate = world.policy(&document("probe")).await;
    let request = v1::StartRolloutRequest { candidate, reason: "try it".to_owned(), ..Default::default() };
    world.rita.rollouts().start_rollout(request).await.unwrap();
    let run = world.run_of("alice").await;
    let first = |mut stream: tonic::Streaming<v1::WatchRolloutsResponse>| async move {
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if !message.heartbeat {
                return message.rollouts;
            }
        }
    };
    let seen = run.connection.rollouts().watch_rollouts(v1::WatchRolloutsRequest {}).await.unwrap().into_inner();
    let seen = first(seen).await;
    assert_eq!((seen[0].percent, seen[0].salt.len()), (10, 0));
    let mut watched = world.rita.rollouts().watch_rollouts(v1::WatchRolloutsRequest {}).await.unwrap().into_inner();
    let message = watched.message().await.unwrap().unwrap();
    assert_eq!(message.rollouts[0].salt.len(), 32);
    // A change is told; the end too.
    let request = v1::RollbackRolloutRequest {
        rollout_id: message.rollouts[0].rollout_id.clone(),
        reason: "enough".to_owned(),
        ..Default::default()
    };
    world.oscar.rollouts().rollback_rollout(request).await.unwrap();
    let told = first(watched).await;
    assert!(told.is_empty(), "{told:?}");
}
