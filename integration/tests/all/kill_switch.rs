//! The kill switch from outside: what it stops, who is told, and the drill of docs/kill-switch.md as it stands there.

use std::{fs, process::Command, time::Duration};

use countersign_client::v1;
use countersign_integration::{binary, record};
use tokio::time::timeout;
use tonic::Code;
use v1::{DecisionReason, Effect, KillSwitch, KillSwitchScope as Scope};

use crate::support::{World, refused};

async fn engage(world: &World, scope: Scope, id: &str) -> v1::EngageKillSwitchResponse {
    let request = v1::EngageKillSwitchRequest {
        scope: scope.into(),
        id: id.to_owned(),
        reason: "drill".to_owned(),
        ..Default::default()
    };
    world.rita.policies().engage_kill_switch(request).await.unwrap().into_inner()
}

fn release(kill_switch_id: &str) -> v1::ReleaseKillSwitchRequest {
    let (kill_switch_id, reason) = (kill_switch_id.to_owned(), "over".to_owned());
    v1::ReleaseKillSwitchRequest { kill_switch_id, reason, ..Default::default() }
}

async fn engaged(world: &World, scope: Scope) -> Vec<KillSwitch> {
    let request = v1::ListKillSwitchesRequest { scope: scope.into(), ..Default::default() };
    world.oscar.policies().list_kill_switches(request).await.unwrap().into_inner().kill_switches
}

fn answer(answer: &v1::DecideResponse) -> (Effect, DecisionReason) {
    (answer.effect(), answer.reason.as_ref().unwrap().code())
}

const ALLOWED: (Effect, DecisionReason) = (Effect::Allow, DecisionReason::AllowedByRule);
const STOPPED: (Effect, DecisionReason) = (Effect::Deny, DecisionReason::KillSwitch);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_switch_names_is_stopped_on_every_server_until_it_is_released() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let run = world.run_of("alice").await;
    let there = run.on(&elsewhere);
    for (scope, id) in [
        (Scope::Tool, "billing"),
        (Scope::Role, "support"),
        (Scope::Agent, "support-assistant"),
        (Scope::Sponsor, "alice"),
        (Scope::All, ""),
    ] {
        let stop = engage(&world, scope, id).await;
        let switch = stop.kill_switch.unwrap();
        assert_eq!((switch.scope(), switch.id.as_str(), switch.engaged_by.as_str()), (scope, id, "rita"));
        for run in [&run, &there] {
            let refusal = run.decide("billing", "refund").await.unwrap();
            assert_eq!(answer(&refusal), STOPPED, "{scope:?}");
            assert_eq!(
                (refusal.enforcement(), refusal.cache_ttl),
                (v1::Enforcement::Enforced, Some(crate::support::seconds(0)))
            );
            assert!(refusal.log_index > stop.log_index);
            assert!(refusal.reason.unwrap().remedy.contains("policy-admin"));
        }
        // Its sponsor gets a credential all the same: calls are stopped, and nothing else.
        world.run_of("alice").await;
        let request = release(&switch.kill_switch_id);
        world.oscar.policies().release_kill_switch(request).await.unwrap();
        for run in [&run, &there] {
            assert_eq!(answer(&run.decide("billing", "refund").await.unwrap()), ALLOWED, "{scope:?}");
        }
    }
    engage(&world, Scope::Tool, "search").await;
    engage(&world, Scope::Sponsor, "bob").await;
    assert_eq!(answer(&run.decide("billing", "refund").await.unwrap()), ALLOWED, "neither names it");

    let log = world.log().await;
    let events: Vec<_> = log.iter().filter(|event| event.kind().starts_with("kill_switch_")).collect();
    assert_eq!((events[0].kind(), events[1].kind()), ("kill_switch_engaged", "kill_switch_released"));
    assert_eq!((events[0].text("operator_id"), events[1].text("operator_id")), ("rita", "oscar"));
    assert_eq!(events[0].leaf["subject"], serde_json::json!({ "type": "tool", "id": "billing" }));
    assert!(events[0].leaf["authority_epoch"].is_string() && events[0].leaf["reason_commitment"].is_string());
    assert_eq!(events[0].leaf["changes"][0]["after"], events[1].leaf["changes"][0]["before"], "the same switch");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rollout_gets_around_it_and_an_observed_call_is_denied_too() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let candidate = world.policy(&crate::support::document("charge")).await;
    let request = v1::StartRolloutRequest {
        candidate,
        baseline: "observe".to_owned(),
        percent: Some(0),
        reason: "try".to_owned(),
        ..Default::default()
    };
    world.rita.rollouts().start_rollout(request).await.unwrap();
    let observed = run.decide("billing", "refund").await.unwrap();
    assert_eq!(answer(&observed), (Effect::Allow, DecisionReason::Observed));
    engage(&world, Scope::Tool, "billing").await;
    let stopped = run.decide("billing", "refund").await.unwrap();
    assert_eq!((answer(&stopped), stopped.enforcement()), (STOPPED, v1::Enforcement::Enforced));
    assert!(stopped.rollout_id.is_empty() && stopped.rule_ids.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_switch_stands_by_itself_and_repeating_a_request_engages_once() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let request = v1::EngageKillSwitchRequest {
        scope: Scope::Tool.into(),
        id: "billing".to_owned(),
        reason: "first".to_owned(),
        request_id: "stop-1".to_owned(),
    };
    let first = world.rita.policies().engage_kill_switch(request.clone()).await.unwrap().into_inner();
    let again = world.rita.policies().engage_kill_switch(request).await.unwrap().into_inner();
    assert_eq!(first, again);
    let second = engage(&world, Scope::Tool, "billing").await.kill_switch.unwrap();
    assert_eq!(engaged(&world, Scope::Tool).await, [second.clone(), first.kill_switch.clone().unwrap()]);
    assert!(engaged(&world, Scope::Role).await.is_empty());

    let first = first.kill_switch.unwrap();
    world.rita.policies().release_kill_switch(release(&first.kill_switch_id)).await.unwrap();
    assert_eq!(answer(&run.decide("billing", "refund").await.unwrap()), STOPPED, "the other one holds");
    let gone = world.rita.policies().release_kill_switch(release(&first.kill_switch_id)).await;
    refused(gone, Code::NotFound, "NOT_FOUND");
    let readiness = world.rita.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap().into_inner();
    assert!(readiness.warnings.iter().any(|warning| warning.contains("kill switch")), "{:?}", readiness.warnings);
    world.rita.policies().release_kill_switch(release(&second.kill_switch_id)).await.unwrap();
    assert_eq!(answer(&run.decide("billing", "refund").await.unwrap()), ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_names_what_it_stops_and_there_are_a_thousand_at_most() {
    let world = World::start().await;
    for (scope, id, field) in [
        (Scope::Unspecified, "billing", "scope"),
        (Scope::Tool, "", "id"),
        (Scope::Tool, "Bill ing", "id"),
        (Scope::All, "billing", "id"),
    ] {
        let request = v1::EngageKillSwitchRequest {
            scope: scope.into(),
            id: id.to_owned(),
            reason: "drill".to_owned(),
            ..Default::default()
        };
        let status = world.rita.policies().engage_kill_switch(request).await.unwrap_err();
        assert_eq!(crate::support::fields(&status), [field], "{scope:?} {id}");
    }
    let mut admin = world.database.connect().await.unwrap();
    sqlx::query("INSERT INTO kill_switch SELECT gen_random_uuid(), 'tool', 'tool-' || n, 'drill', 'rita', now() FROM generate_series(1, 1000) n")
        .execute(&mut admin)
        .await
        .unwrap();
    let request =
        v1::EngageKillSwitchRequest { scope: Scope::All.into(), reason: "one more".to_owned(), ..Default::default() };
    let full = world.rita.policies().engage_kill_switch(request).await;
    refused(full, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_the_policy_is_told_all_that_stands_on_every_change_and_when_to_drop_what_is_cached() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let mut streams = Vec::new();
    for connection in [&world.rita, &elsewhere] {
        let stream = connection.policies().watch_policy(v1::WatchPolicyRequest {}).await.unwrap();
        streams.push(stream.into_inner());
    }
    let mut told = Vec::new();
    for stream in &mut streams {
        told.push(news(stream).await);
    }
    assert_eq!(told[0].cache_generation, told[1].cache_generation, "the same on all servers");
    let active = told[0].policy.clone().unwrap();
    assert_eq!((active.version.as_str(), active.state()), ("pv_1", v1::PolicyState::Active));
    assert!(active.document.is_empty() && active.rule_count > 0 && active.activate_time.is_some());
    assert!(told[0].kill_switches.is_empty());

    let mut generations = vec![told.remove(0).cache_generation];
    let mut changed = async |streams: &mut Vec<_>, what: &str| {
        let told = news(&mut streams[0]).await;
        assert_eq!(news(&mut streams[1]).await.cache_generation, told.cache_generation, "{what}");
        assert!(!generations.contains(&told.cache_generation), "{what}");
        generations.push(told.cache_generation.clone());
        told
    };
    let switch = engage(&world, Scope::Tool, "billing").await.kill_switch.unwrap();
    assert_eq!(changed(&mut streams, "engaged").await.kill_switches, [switch]);
    let candidate = world.policy(&crate::support::document("charge")).await;
    let request = v1::StartRolloutRequest {
        candidate: candidate.clone(),
        percent: Some(1),
        reason: "try".to_owned(),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    assert_eq!(changed(&mut streams, "rollout").await.policy.unwrap().version, "pv_1");
    let request =
        v1::RollbackRolloutRequest { rollout_id: rollout.rollout_id, reason: "undo".to_owned(), ..Default::default() };
    world.rita.rollouts().rollback_rollout(request).await.unwrap();
    changed(&mut streams, "rolled back").await;
    let request =
        v1::ActivatePolicyRequest { version: candidate.clone(), reason: "go".to_owned(), ..Default::default() };
    world.rita.policies().activate_policy(request).await.unwrap();
    assert_eq!(changed(&mut streams, "activated").await.policy.unwrap().version, candidate);

    // What concerns neither is no news, and heartbeats say what still holds.
    let run = world.run_of("alice").await;
    let end = v1::EndInstanceRequest { agent_instance_id: run.id, ..Default::default() };
    world.rita.instances().end_instance(end).await.unwrap();
    for _ in 0..2 {
        let beat = timeout(Duration::from_secs(10), streams[1].message()).await.unwrap().unwrap().unwrap();
        assert!(beat.heartbeat && beat.policy.is_none() && beat.kill_switches.is_empty(), "{beat:?}");
        assert_eq!(Some(&beat.cache_generation), generations.last());
    }
}

/// The next message that is no heartbeat.
async fn news(stream: &mut tonic::Streaming<v1::WatchPolicyResponse>) -> v1::WatchPolicyResponse {
    let news = async {
        loop {
            let message = stream.message().await.unwrap().expect("the stream goes on");
            if !message.heartbeat {
                return message;
            }
        }
    };
    timeout(Duration::from_secs(10), news).await.expect("news")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drill_does_what_the_documentation_says() {
    const PAGE: &str = include_str!("../../../docs/kill-switch.md");
    let world = World::start().await;
    let (_, block) = PAGE.split_once("```sh\n").unwrap();
    let (script, _) = block.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("drill.key");
    fs::write(&key, world.server.operator_key("rita").unwrap()).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let programs = binary().unwrap().parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let server = world.server.url();
    let output = tokio::task::spawn_blocking(move || {
        let mut shell = Command::new("sh");
        shell.args(["-euc", script]).current_dir(&folder).env("PATH", path).env("COUNTERSIGN_SERVER", server);
        shell.output().unwrap()
    });
    let output = output.await.unwrap();
    record::output("drill", &[output.stdout.as_slice(), &output.stderr].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let effects: Vec<_> = said.lines().filter(|line| line.contains("EFFECT_")).collect();
    assert_eq!(effects.len(), 3, "{said}");
    assert!(effects[0].contains("EFFECT_ALLOW") && effects[2].contains("EFFECT_ALLOW"), "{said}");
    assert!(effects[1].contains("EFFECT_DENY") && effects[1].contains("DECISION_REASON_KILL_SWITCH"), "{said}");
    assert!(engaged(&world, Scope::Agent).await.is_empty(), "nothing stays engaged");
}
