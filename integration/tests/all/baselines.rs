//! What a rollout leaves behind that is undone: who answers, what may be granted, and who says so.

use std::time::Instant;

use countersign_client::v1;
use tonic::Code;

use crate::{
    delegation::{Asked, DOORS, delegate},
    gates::gates,
    support::{Run, World, decide, document, fields, issue, refused},
    watched::{Watched, of_run, whatever_it_takes},
};

async fn readiness(world: &World) -> v1::GetReadinessResponse {
    world.rita.status().get_readiness(v1::GetReadinessRequest::default()).await.unwrap().into_inner()
}

fn check<'r>(readiness: &'r v1::GetReadinessResponse, name: &str) -> &'r v1::ReadinessCheck {
    readiness.checks.iter().find(|check| check.name == name).unwrap()
}

async fn roll_back(world: &World, rollout_id: &str) -> v1::Rollout {
    let request = v1::RollbackRolloutRequest {
        rollout_id: rollout_id.to_owned(),
        reason: "a person decides".to_owned(),
        ..Default::default()
    };
    world.oscar.rollouts().rollback_rollout(request).await.unwrap().into_inner().rollout.unwrap()
}

async fn start(world: &World, candidate: &str, baseline: &str) -> v1::Rollout {
    let request = v1::StartRolloutRequest {
        candidate: world.policy(candidate).await,
        baseline: baseline.to_owned(),
        percent: Some(50),
        reason: "try it".to_owned(),
        ..Default::default()
    };
    world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap()
}

/// Issues, delegates and exchanges, as ever.
async fn grants(world: &World) -> Run {
    let run = world.run_of("alice").await;
    for door in DOORS {
        delegate(world, door, &run.token, &Asked::default()).await.unwrap();
    }
    run
}

/// A policy in which support has no search, and lives for 30 s.
fn narrower() -> String {
    document("charge")
        .replace("tools: [billing, search]", "tools: [billing]")
        .replace("max_ttl_seconds: 300", "max_ttl_seconds: 30")
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_go_on_whatever_baseline_stands_bound_by_the_policy_that_was_active_last() {
    let world = World::start().await;
    for baseline in ["observe", "deny"] {
        let rollout = start(&world, &narrower(), baseline).await;
        roll_back(&world, &rollout.rollout_id).await;
        let run = grants(&world).await;
        let effect = if baseline == "observe" { v1::Effect::Allow } else { v1::Effect::Deny };
        assert_eq!(run.decide("billing", "charge").await.unwrap().effect(), effect);
        // Never by the candidate that was undone, and still by the tables of the last one: user is no role for billing.
        let request = v1::IssueCredentialRequest { role: "user".to_owned(), ..issue("alice") };
        let refusal = world.rita.credentials().issue_credential(request).await;
        assert_eq!(fields(refusal.as_ref().unwrap_err()), ["tools[0]"], "{refusal:?}");
        refused(refusal.map(tonic::Response::into_inner), Code::InvalidArgument, "GRANT_TOO_WIDE");
        let readiness = readiness(&world).await;
        assert!(readiness.ready && check(&readiness, "issuing").ok, "{readiness:?}");
        assert_eq!(world.server.http(None).get("/readyz").await.unwrap().status.as_u16(), 200);
        // A server that starts now knows no other.
        let second = world.second().await;
        second.connect(None).await.unwrap().credentials().issue_credential(issue("alice")).await.unwrap();
    }
}

async fn with_the_briefs_file() -> (World, v1::Rollout) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy-config.yaml");
    std::fs::write(&file, crate::configuration::POLICY).unwrap();
    let world = World::start_with(|launch| launch.arg("--policy").arg(file.to_str().unwrap())).await;
    let listed = world.rita.rollouts().list_rollouts(v1::ListRolloutsRequest::default()).await.unwrap().into_inner();
    let rollout = listed.rollouts[0].clone();
    (world, rollout)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_briefs_file_as_printed_goes_back_to_what_it_began_with_when_a_person_says_so_and_says_it_loudly() {
    let (world, rollout) = with_the_briefs_file().await;
    assert_eq!((rollout.baseline.as_str(), rollout.percent), ("observe", 10));
    grants(&world).await;
    let undone = roll_back(&world, &rollout.rollout_id).await;
    assert_eq!(undone.state(), v1::RolloutState::RolledBack);
    let run = grants(&world).await;
    let answer = run.decide("billing", "anything").await.unwrap();
    assert_eq!((answer.effect(), answer.enforcement()), (v1::Effect::Allow, v1::Enforcement::Shadow));
    // Nothing was ever active, and the candidate is none: the token service's limits alone.
    let readiness = readiness(&world).await;
    assert!(readiness.ready && check(&readiness, "issuing").message.contains("limits alone"), "{readiness:?}");
    assert!(readiness.warnings.iter().any(|warning| warning.starts_with("nothing is enforced")), "{readiness:?}");
    assert!(world.server.log().contains("nothing is enforced from now on"));
    let request = v1::IssueCredentialRequest { ttl: Some(crate::support::seconds(901)), ..issue("alice") };
    refused(world.rita.credentials().issue_credential(request).await, Code::InvalidArgument, "GRANT_TOO_WIDE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_pauses_a_rollout_whose_baseline_observes_and_only_a_person_ends_enforcement() {
    let more = v1::StartRolloutRequest { baseline: "observe".to_owned(), percent: Some(99), ..Default::default() };
    let watched = Watched::start(&document("charge"), whatever_it_takes(), more).await;
    // One that the candidate holds back.
    let run = loop {
        let run = watched.world.run_of("alice").await;
        if run.decide("billing", "refund").await.unwrap().effect() == v1::Effect::Deny {
            break run;
        }
    };
    watched.ask(of_run(&run.token, "charge"), 190).await;
    watched.gates_say(v1::GateVerdict::Pass).await;
    let begun = Instant::now();
    // Two gates tell of it: one alone would not do.
    for gate in gates(&watched).await {
        let request = v1::BatchDecideRequest { requests: vec![decide("billing", "refund"); 5], ..Default::default() };
        gate.decisions().batch_decide(request).await.unwrap();
    }
    let paused = watched.becomes(v1::RolloutState::Paused, begun).await;
    assert_eq!(paused.percent, 99, "who was held back is held back");
    for answer in watched.ask(of_run(&run.token, "refund"), 2).await {
        assert_eq!((answer.effect(), answer.enforcement()), (v1::Effect::Deny, v1::Enforcement::Enforced));
    }
    let event = watched.event("rollout_paused").await;
    assert_eq!(event.text("reason"), "GATE_MISSING_SPONSOR");
    assert!((watched.acted("MISSING_SPONSOR", "pause").await - 1.0).abs() < 0.1);
    let logs = format!("{}{}", watched.world.server.log(), watched.second.log());
    assert!(logs.contains("paused and not rolled back: gate MISSING_SPONSOR"), "{logs}");
    let warned = readiness(&watched.world).await.warnings;
    assert!(warned.iter().any(|warning| warning.contains("it is paused until a person resumes it")), "{warned:?}");

    // A person's word.
    let undone = roll_back(&watched.world, &paused.rollout_id).await;
    assert_eq!(undone.state(), v1::RolloutState::RolledBack);
    for answer in watched.ask(of_run(&run.token, "refund"), 2).await {
        assert_eq!((answer.effect(), answer.enforcement()), (v1::Effect::Allow, v1::Enforcement::Shadow));
    }
}
