//! Changes of what may be allowed, raced against callers on two servers. What counts is the log: after a change's index
//! there stands no ALLOW that the change forbids, whoever was in the middle of what.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use countersign_client::{
    Connection,
    v1::{self, revoke_credentials_request::Scope},
};
use futures::future::join_all;
use tonic::Code;

use crate::{
    support::{Event, Run, World, decide, document, eventually, refused},
    watched::whatever_it_takes,
};

/// Callers at a time, half of them on each server.
const CALLERS: usize = 50;

/// Callers at work.
#[derive(Default)]
struct AtWork {
    answers: AtomicUsize,
    stop: AtomicBool,
}

impl AtWork {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until so many more were answered.
    async fn until_answered(&self, times: usize) {
        let so_far = self.answers.load(Ordering::Relaxed);
        eventually("callers are answered", async || self.answers.load(Ordering::Relaxed) >= so_far + times).await;
    }
}

/// Lets 50 callers of `run` decide on both servers until `change` has been made and a little longer. Returns the log.
async fn raced(world: &World, run: &Run, second: &Connection, change: impl AsyncFnOnce()) -> Vec<Event> {
    let first = world.log_size().await;
    let work = Arc::<AtWork>::default();
    let mut callers = Vec::new();
    for number in 0..CALLERS {
        let run = run.on(if number % 2 == 0 { &world.rita } else { second });
        let work = work.clone();
        callers.push(tokio::spawn(async move {
            let mut allowed = Vec::new();
            while work.goes_on() {
                match run.decide("billing", "refund").await {
                    Ok(answer) if answer.effect() == v1::Effect::Allow => allowed.push(answer.log_index),
                    Ok(_) => {}
                    // What is dead is answered so often a minute.
                    answer => drop(refused(answer, Code::ResourceExhausted, "RATE_LIMITED")),
                }
                work.answered();
            }
            allowed
        }));
    }
    work.until_answered(2 * CALLERS).await;
    change().await;
    work.until_answered(3 * CALLERS).await;
    work.stop.store(true, Ordering::Relaxed);
    let mut allowed: Vec<i64> = join_all(callers).await.into_iter().flat_map(Result::unwrap).collect();
    allowed.sort_unstable();

    let log = world.log().await;
    let recorded: Vec<i64> = log
        .iter()
        .filter(|event| event.index >= first && event.text("effect") == "ALLOW")
        .map(|event| event.index)
        .collect();
    assert_eq!(allowed, recorded, "what was answered ALLOW is what the log says, each once");
    log
}

/// The decisions of `run` before and after `index`.
fn around<'a>(log: &'a [Event], run: &Run, index: i64) -> (Vec<&'a Event>, Vec<&'a Event>) {
    let decisions = log.iter().filter(|event| event.kind() == "decision" && event.text("agent_instance_id") == run.id);
    decisions.partition(|event| event.index < index)
}

/// Where the last change of this kind stands. Events that follow it in the background name no operator.
fn index_of(log: &[Event], kind: &str) -> i64 {
    log.iter().rfind(|event| event.kind() == kind && !event.text("operator_id").is_empty()).unwrap().index
}

#[track_caller]
fn allowed_before_and_never_after(log: &[Event], run: &Run, kind: &str) {
    let (before, after) = around(log, run, index_of(log, kind));
    assert!(before.iter().any(|event| event.text("effect") == "ALLOW"), "nobody was allowed before {kind}");
    assert!(!after.is_empty(), "nobody decided after {kind}");
    let late: Vec<_> = after.iter().filter(|event| event.text("effect") == "ALLOW").collect();
    assert!(late.is_empty(), "allowed after {kind}: {late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_stands_after_a_sponsor_was_stopped() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    for round in 0..3 {
        let sponsor = format!("person-{round}");
        world.sponsor(&sponsor).await;
        let run = world.run_of(&sponsor).await;
        let (sponsor_id, reason) = (sponsor.clone(), "stop".to_owned());
        let kind = if round % 2 == 0 { "sponsor_revoked" } else { "sponsor_suspended" };
        let log = raced(&world, &run, &elsewhere, async || {
            let mut sponsors = world.oscar.sponsors();
            if round % 2 == 0 {
                let request = v1::RevokeSponsorRequest { sponsor_id, reason, ..Default::default() };
                sponsors.revoke_sponsor(request).await.unwrap();
            } else {
                let request = v1::SuspendSponsorRequest { sponsor_id, reason, ..Default::default() };
                sponsors.suspend_sponsor(request).await.unwrap();
            }
        })
        .await;
        allowed_before_and_never_after(&log, &run, kind);
    }
}

/// Races `revoke` against a run, three times anew. What it enters is stated by an event of `kind`.
async fn no_allow_stands_after(kind: &str, revoke: impl AsyncFn(&World, &Run)) {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    for _ in 0..3 {
        // The child of a run: what ends its parent must end it too.
        let run = world.run_of("alice").await.child().await;
        let log = raced(&world, &run, &elsewhere, async || revoke(&world, &run).await).await;
        allowed_before_and_never_after(&log, &run, kind);
    }
}

async fn revoke_many(world: &World, scope: Scope) {
    let (scope, reason) = (Some(scope), "stop".to_owned());
    let request = v1::RevokeCredentialsRequest { scope, reason, ..Default::default() };
    world.oscar.credentials().revoke_credentials(request).await.unwrap();
}

async fn introspected(run: &Run) -> v1::IntrospectCredentialResponse {
    let request = v1::IntrospectCredentialRequest::default();
    run.connection.credentials().introspect_credential(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_stands_after_the_run_that_started_it_was_revoked() {
    no_allow_stands_after("instance_revoked", async |world, run| {
        let agent_instance_id = introspected(run).await.parent_agent_id;
        let request = v1::RevokeInstanceRequest { agent_instance_id, reason: "stop".to_owned(), ..Default::default() };
        world.rita.instances().revoke_instance(request).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_stands_after_a_credential_was_revoked() {
    no_allow_stands_after("revocation", async |world, run| {
        let credential_id = introspected(run).await.credential_id;
        let request = v1::RevokeCredentialRequest { credential_id, reason: "stop".to_owned(), ..Default::default() };
        world.rita.credentials().revoke_credential(request).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_stands_after_a_tools_credentials_were_revoked() {
    no_allow_stands_after("revocation", async |world, _| revoke_many(world, Scope::ToolId("billing".to_owned())).await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_stands_after_all_credentials_were_revoked() {
    no_allow_stands_after("revocation", async |world, _| revoke_many(world, Scope::All(true)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_stands_after_a_policy_that_denies_it() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let denies = world.policy(&document("charge")).await;
    let run = world.run_of("alice").await;
    let request = v1::ActivatePolicyRequest { version: denies, reason: "no refunds".to_owned(), ..Default::default() };
    let log = raced(&world, &run, &elsewhere, async || {
        world.oscar.policies().activate_policy(request).await.unwrap();
    })
    .await;
    allowed_before_and_never_after(&log, &run, "policy_activated");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_stands_after_a_kill_switch_that_stops_it() {
    use v1::KillSwitchScope as Scope;
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    for (scope, id) in [(Scope::Tool, "billing"), (Scope::Sponsor, "alice"), (Scope::All, "")] {
        let run = world.run_of("alice").await;
        let request = v1::EngageKillSwitchRequest {
            scope: scope.into(),
            id: id.to_owned(),
            reason: "stop".to_owned(),
            ..Default::default()
        };
        let mut engaged = None;
        let log = raced(&world, &run, &elsewhere, async || {
            engaged = Some(world.oscar.policies().engage_kill_switch(request).await.unwrap().into_inner());
        })
        .await;
        let engaged = engaged.unwrap();
        assert_eq!(index_of(&log, "kill_switch_engaged"), engaged.log_index);
        allowed_before_and_never_after(&log, &run, "kill_switch_engaged");
        let request = v1::ReleaseKillSwitchRequest {
            kill_switch_id: engaged.kill_switch.unwrap().kill_switch_id,
            reason: "next".to_owned(),
            ..Default::default()
        };
        world.oscar.policies().release_kill_switch(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_stands_on_the_wrong_side_of_a_rollouts_step() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let denies = world.policy(&document("charge")).await;
    let run = world.run_of("alice").await;

    // Nobody is inside, then everybody who matters; then nobody again.
    let request = v1::StartRolloutRequest {
        candidate: denies,
        percent: Some(0),
        steps: vec![99, 100],
        reason: "tighten".to_owned(),
        gates: Some(whatever_it_takes()),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let local = countersign_client::Rollout::new(&v1::Rollout { percent: 99, ..rollout.clone() }).unwrap();
    if !local.is_enrolled(&run.id) {
        return; // One run in a hundred is outside even now.
    }
    let request = v1::AdvanceRolloutRequest {
        rollout_id: rollout.rollout_id.clone(),
        reason: "go".to_owned(),
        force: true,
        ..Default::default()
    };
    let log = raced(&world, &run, &elsewhere, async || {
        world.rita.rollouts().advance_rollout(request).await.unwrap();
    })
    .await;
    allowed_before_and_never_after(&log, &run, "rollout_advanced");

    let request =
        v1::RollbackRolloutRequest { rollout_id: rollout.rollout_id, reason: "undo".to_owned(), ..Default::default() };
    let log = raced(&world, &run, &elsewhere, async || {
        world.rita.rollouts().rollback_rollout(request).await.unwrap();
    })
    .await;
    let (_, after) = around(&log, &run, index_of(&log, "rollout_rolled_back"));
    let refused: Vec<_> = after.iter().filter(|event| event.text("effect") != "ALLOW").collect();
    assert!(!after.is_empty() && refused.is_empty(), "the candidate answered after it was undone: {refused:?}");
}

/// What a rollout serves from an event of its own on, by the log.
fn percent_after(event: &Event) -> u64 {
    event.leaf["rollout"]["percent"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_never_disagree_on_a_callers_side_while_a_rollout_grows_is_held_and_is_undone() {
    const STEPS: [i32; 5] = [20, 40, 60, 80, 99];
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let candidate = world.policy(&document("charge")).await;
    let request = v1::StartRolloutRequest {
        candidate,
        percent: Some(0),
        steps: [&STEPS[..], &[100]].concat(),
        reason: "tighten".to_owned(),
        gates: Some(whatever_it_takes()),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let work = Arc::<AtWork>::default();
    let mut callers = Vec::new();
    for _ in 0..12 {
        // Each on both servers at once: what is allowed is where they could disagree.
        let run = world.run_of("alice").await;
        for server in [&world.rita, &elsewhere] {
            let (run, work) = (run.on(server), work.clone());
            callers.push(tokio::spawn(async move {
                while work.goes_on() {
                    run.decide("billing", "refund").await.unwrap();
                    work.answered();
                }
            }));
        }
    }
    let (rollout_id, reason) = (rollout.rollout_id.clone(), "go".to_owned());
    for (nth, percent) in STEPS.into_iter().enumerate() {
        work.until_answered(50).await;
        let server = if nth % 2 == 0 { &world.rita } else { &elsewhere };
        let (rollout_id, reason) = (rollout_id.clone(), reason.clone());
        let request = v1::AdvanceRolloutRequest { rollout_id, percent, reason, force: true, ..Default::default() };
        server.rollouts().advance_rollout(request).await.unwrap();
        if percent == 60 {
            let (rollout_id, reason) = (rollout.rollout_id.clone(), "hold".to_owned());
            let request = v1::PauseRolloutRequest { rollout_id, reason, ..Default::default() };
            elsewhere.rollouts().pause_rollout(request).await.unwrap();
            let (rollout_id, reason) = (rollout.rollout_id.clone(), "on".to_owned());
            let request = v1::ResumeRolloutRequest { rollout_id, reason, ..Default::default() };
            world.rita.rollouts().resume_rollout(request).await.unwrap();
        }
    }
    work.until_answered(50).await;
    let request = v1::RollbackRolloutRequest { rollout_id, reason, ..Default::default() };
    elsewhere.rollouts().rollback_rollout(request).await.unwrap();
    work.until_answered(50).await;
    work.stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }

    // In the order of the log: the percentage that stands decides every side, and until the rollback nobody goes back.
    let (mut percent, mut open, mut seen) = (0, false, [0_usize; 2]);
    for event in world.log().await {
        match event.kind() {
            "rollout_rolled_back" => open = false,
            kind if kind.starts_with("rollout") => {
                assert!(percent_after(&event) >= percent, "it shrank: {event:?}");
                (percent, open) = (percent_after(&event), true);
            }
            "decision" => {
                let part = &event.leaf["rollout"];
                assert_eq!(part.is_object(), open, "{event:?}");
                if open {
                    let inside = part["bucket"].as_u64().unwrap() < percent * 100;
                    assert_eq!(part["percent"].as_u64(), Some(percent), "{event:?}");
                    assert_eq!(part["side"] == "candidate", inside, "{event:?}");
                    assert_eq!(event.text("effect") == "DENY", inside, "{event:?}");
                    seen[usize::from(inside)] += 1;
                }
            }
            _ => {}
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0 && percent == 99, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_use_credential_is_used_once_whoever_is_quickest() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    for _ in 0..3 {
        let request = v1::IssueCredentialRequest { single_use: true, ..crate::support::issue("alice") };
        let issued = world.rita.credentials().issue_credential(request).await.unwrap().into_inner();
        let callers = (0..100).map(|number| {
            let server = if number % 2 == 0 { &world.rita } else { &elsewhere };
            let connection = server.with_token(&issued.token).unwrap();
            tokio::spawn(async move {
                connection.decisions().decide(decide("billing", "refund")).await.unwrap().into_inner()
            })
        });
        let answers: Vec<_> = join_all(callers).await.into_iter().map(Result::unwrap).collect();
        let (allowed, denied): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.effect() == v1::Effect::Allow);
        assert_eq!((allowed.len(), denied.len()), (1, 99));
        for answer in &denied {
            let reason = answer.reason.clone().unwrap().code();
            assert_eq!(reason, v1::DecisionReason::CredentialAlreadyUsed);
            assert!(answer.log_index > allowed[0].log_index, "refused as used before it was used");
        }
        assert_eq!(allowed[0].cache_ttl.unwrap_or_default().seconds, 0);
    }
}
