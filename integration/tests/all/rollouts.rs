//! Rollout percentages: who is inside, who moves, what a step needs.

use std::collections::HashSet;

use countersign_client::{Rollout, v1};
use prost_types::Struct;
use tonic::{Code, Response};

use crate::support::{Event, Run, World, decide, document, eventually, refused};

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
async fn inside(world: &World, runs: &[Run], rollout: &v1::Rollout) -> HashSet<usize> {
    let local = Rollout::new(rollout).unwrap();
    let mut inside = HashSet::new();
    for (nth, run) in runs.iter().enumerate() {
        let answer = run.decide("billing", "probe").await.unwrap();
        assert_eq!(answer.rollout_id, rollout.rollout_id);
        assert_eq!((answer.bucket, answer.rollout_side()), (0, v1::RolloutSide::Unspecified), "no agent is told");
        let request = v1::GetDecisionRequest { policy_decision_id: answer.policy_decision_id.clone() };
        let recorded = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
        assert_eq!(recorded.bucket, i32::from(local.bucket(&run.id)));
        let enrolled = local.is_enrolled(&run.id);
        assert_eq!(answer.effect() == v1::Effect::Allow, enrolled);
        let side = if enrolled { v1::RolloutSide::Candidate } else { v1::RolloutSide::Baseline };
        assert_eq!(recorded.rollout_side(), side);
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
    let mut before = inside(&world, &runs, &rollout).await;
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
        let now = inside(&world, &runs, &rollout).await;
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

async fn next_set(stream: &mut tonic::Streaming<v1::WatchRolloutsResponse>) -> Vec<v1::Rollout> {
    loop {
        let message = stream.message().await.unwrap().unwrap();
        if !message.heartbeat {
            return message.rollouts;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rollout_serves_what_it_served_is_watched_and_goes_on_when_resumed() {
    let world = World::start().await;
    let candidate = world.policy(&document("charge, refund, probe")).await;
    let request = v1::StartRolloutRequest { candidate, reason: "try it".to_owned(), ..Default::default() };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let mut watched = elsewhere.rollouts().watch_rollouts(v1::WatchRolloutsRequest {}).await.unwrap().into_inner();
    assert_eq!(next_set(&mut watched).await[0].state(), v1::RolloutState::Running);

    let pause = v1::PauseRolloutRequest {
        rollout_id: rollout.rollout_id.clone(),
        reason: "holidays".to_owned(),
        etag: rollout.etag.clone(),
        request_id: "pause-1".to_owned(),
    };
    let resume = v1::ResumeRolloutRequest {
        rollout_id: rollout.rollout_id.clone(),
        reason: "back".to_owned(),
        ..Default::default()
    };
    let early = world.oscar.rollouts().resume_rollout(resume.clone()).await.map(Response::into_inner);
    refused(early, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    let stale = v1::PauseRolloutRequest { etag: "stale".to_owned(), request_id: String::new(), ..pause.clone() };
    let stale = world.oscar.rollouts().pause_rollout(stale).await.map(Response::into_inner);
    refused(stale, Code::Aborted, "ETAG_MISMATCH");
    let paused = world.oscar.rollouts().pause_rollout(pause.clone()).await.unwrap().into_inner();
    let again = world.oscar.rollouts().pause_rollout(pause).await.unwrap().into_inner();
    assert_eq!(paused.log_index, again.log_index, "once for its request id");
    let held = paused.rollout.unwrap();
    assert_eq!((held.state(), held.percent), (v1::RolloutState::Paused, 10));
    assert_ne!(held.etag, rollout.etag);
    loop {
        // A gate that says something for the first time is a change too.
        if next_set(&mut watched).await[0].state() == v1::RolloutState::Paused {
            break;
        }
    }

    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(world.run_of("alice").await);
    }
    inside(&world, &runs, &held).await;
    let grows = world.rita.rollouts().advance_rollout(advance(&held, 0, true)).await.map(Response::into_inner);
    refused(grows, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    let again = v1::PauseRolloutRequest {
        rollout_id: rollout.rollout_id.clone(),
        reason: "again".to_owned(),
        ..Default::default()
    };
    let again = world.rita.rollouts().pause_rollout(again).await.map(Response::into_inner);
    refused(again, Code::FailedPrecondition, "ILLEGAL_TRANSITION");

    let resumed = world.oscar.rollouts().resume_rollout(resume).await.unwrap().into_inner().rollout.unwrap();
    assert_eq!((resumed.state(), resumed.percent), (v1::RolloutState::Running, 10));
    loop {
        if next_set(&mut watched).await[0].state() == v1::RolloutState::Running {
            break;
        }
    }
    let log = world.log().await;
    let of_it = log.iter().filter(|event| event.kind().starts_with("rollout"));
    let of_it: Vec<_> =
        of_it.map(|event| (event.kind(), event.text("operator_id"), event.text("state_after"))).collect();
    let expected = [
        ("rollout_started", "rita", "RUNNING"),
        ("rollout_paused", "oscar", "PAUSED"),
        ("rollout_resumed", "oscar", "RUNNING"),
    ];
    assert_eq!(of_it, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_are_compared_by_rule_on_every_call_and_a_rollback_says_what_it_allows_again() {
    const CANDIDATE: &str = "rules:
  - {id: probing, role: support, tool: billing, allowed_actions: [charge, probe]}
  - {id: no-refunds, effect: deny, role: support, tool: billing, allowed_actions: [refund]}
";
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let candidate = world.policy(CANDIDATE).await;
    let request = v1::StartRolloutRequest {
        candidate,
        percent: Some(50),
        steps: vec![50, 100],
        reason: "try it".to_owned(),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let local = Rollout::new(&rollout).unwrap();
    let mut inside = 0;
    for nth in 0..8 {
        let run = world.run_of("alice").await;
        inside += i64::from(local.is_enrolled(&run.id));
        let run = run.on(if nth % 2 == 0 { &world.rita } else { &elsewhere });
        // Both sides allow a charge that states a small amount.
        let amount = Struct { fields: [("amount_cents".to_owned(), 1.0.into())].into() };
        for action in ["charge", "probe", "refund", "close"] {
            let call = v1::DecideRequest { context: Some(amount.clone()), ..decide("billing", action) };
            run.connection.decisions().decide(call).await.unwrap();
        }
    }
    let read = async || {
        let request = v1::GetRolloutRequest { rollout_id: rollout.rollout_id.clone() };
        let read = elsewhere.rollouts().get_rollout(request).await.unwrap().into_inner().rollout.unwrap();
        read.comparison.unwrap()
    };
    eventually("every call is counted", async || read().await.compared == 32).await;
    let rule = |rule_id: &str, new_allows, new_denies| v1::RuleComparison {
        rule_id: rule_id.to_owned(),
        new_allows,
        new_denies,
    };
    let expected = v1::RolloutComparison {
        compared: 32,
        new_allows: 8,
        new_denies: 8,
        rules: vec![rule("no-refunds", 0, 8), rule("probing", 8, 0)],
        other_rules: None,
    };
    assert_eq!(read().await, expected);
    let listed = world.rita.rollouts().list_rollouts(v1::ListRolloutsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.rollouts[0].comparison, Some(expected));

    // Those inside were refused their refund, and may have it again.
    let request = v1::RollbackRolloutRequest {
        rollout_id: rollout.rollout_id.clone(),
        reason: "support must refund".to_owned(),
        request_id: "undo".to_owned(),
        ..Default::default()
    };
    let undone = world.oscar.rollouts().rollback_rollout(request.clone()).await.unwrap().into_inner();
    assert_eq!(undone.new_allows, inside);
    let again = world.oscar.rollouts().rollback_rollout(request).await.unwrap().into_inner();
    assert_eq!((again.new_allows, again.log_index), (inside, undone.log_index));
    let log = world.log().await;
    let event = log.iter().find(|event| event.index == undone.log_index).unwrap();
    let figures = event.leaf["figures"].as_array().unwrap();
    let stated = figures.iter().find(|figure| figure["name"] == "new_allows").unwrap();
    assert_eq!(stated["value"].as_str().unwrap(), inside.to_string());
    assert_eq!(world.server.log().contains("allows calls again"), inside > 0);
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

#[tokio::test(flavor = "multi_thread")]
async fn bucket_and_side_are_told_to_a_gate_and_to_no_agent() {
    let world = World::start().await;
    let candidate = world.policy(&document("charge, refund, probe")).await;
    let request = v1::StartRolloutRequest { candidate, reason: "try it".to_owned(), ..Default::default() };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let run = world.run_of("alice").await;
    let expected = i32::from(Rollout::new(&rollout).unwrap().bucket(&run.id));
    let by_gate = v1::DecideRequest { token: run.token.clone(), ..decide("billing", "refund") };
    let told = world.rita.decisions().decide(by_gate.clone()).await.unwrap().into_inner();
    assert_eq!((told.bucket, &told.rollout_id), (expected, &rollout.rollout_id));
    assert_ne!(told.rollout_side(), v1::RolloutSide::Unspecified);
    let batch = v1::BatchDecideRequest { requests: vec![by_gate], ..Default::default() };
    let told = world.rita.decisions().batch_decide(batch).await.unwrap().into_inner().responses.remove(0);
    assert_eq!(told.bucket, expected);

    let once = v1::DecideRequest { request_id: "once".to_owned(), ..decide("billing", "refund") };
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(run.connection.decisions().decide(once.clone()).await.unwrap().into_inner());
    }
    let batch = v1::BatchDecideRequest { requests: vec![decide("billing", "refund")], ..Default::default() };
    answers.extend(run.connection.decisions().batch_decide(batch).await.unwrap().into_inner().responses);
    for answer in answers {
        assert_eq!((answer.bucket, answer.rollout_side), (0, 0), "{answer:?}");
        assert_eq!(answer.rollout_id, rollout.rollout_id);
    }
    let call = serde_json::json!({ "toolId": "billing", "action": "refund" });
    let answer = world.server.http(Some(&run.token)).call("DecisionService/Decide", &call).await.unwrap().json();
    assert!(answer.get("bucket").is_none() && answer.get("rolloutSide").is_none(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_on_the_side_of_its_roots_agent_whatever_it_delegates_to() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let candidate = world.policy(&document("charge, refund, probe")).await;
    let request = v1::StartRolloutRequest {
        candidate,
        sticky_key: v1::StickyKey::Agent.into(),
        reason: "try it".to_owned(),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let root = world.run_of("alice").await;
    let expected = i32::from(Rollout::new(&rollout).unwrap().bucket("support-assistant"));
    let mut run = root.on(&root.connection);
    // Down a chain, under other names and the root's own one.
    for agent in ["another-agent", "a-third", "support-assistant"] {
        let request = v1::DelegateCredentialRequest { agent: agent.to_owned(), ..Default::default() };
        let child = run.connection.credentials().delegate_credential(request).await.unwrap().into_inner();
        let connection = world.rita.with_token(&child.token).unwrap();
        run = Run { token: child.token, id: child.agent_instance_id, connection, log_index: child.log_index };
        let mut credentials = run.connection.credentials();
        let introspected = credentials.introspect_credential(v1::IntrospectCredentialRequest::default()).await.unwrap();
        let root_agent = introspected.into_inner().root_agent;
        assert_eq!(root_agent, if agent == "support-assistant" { "" } else { "support-assistant" });
        // Also at a server that looks its grant up.
        for gate in [&world.rita, &elsewhere] {
            let request = v1::DecideRequest { token: run.token.clone(), ..decide("billing", "refund") };
            let answer = gate.decisions().decide(request).await.unwrap().into_inner();
            assert_eq!(answer.bucket, expected, "{agent}: {answer:?}");
        }
    }
}
