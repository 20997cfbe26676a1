//! A policy that was stored before a check that it does not pass: it goes on answering, and begins nowhere.

use std::fs;

use countersign_client::{Connection, v1};
use countersign_integration::Launch;
use countersign_policy::content_hash;
use tonic::{Code, Response};

use crate::support::{World, refused};

const GOOD: &str = "rules:\n- {id: one, role: support, tool: billing, allowed_actions: [refund]}\n";
/// Its deny rule denies nothing: a run has no such attribute.
const FAULTY: &str = "rules:\n- {id: one, role: support, tool: billing, allowed_actions: [refund]}\n\
                      - {id: no, effect: deny, tool: billing, allowed_actions: [refund], when: principal has detph}\n";

/// Puts the faulty document where `version` was, as an older server would have stored it.
async fn store(world: &World, version: &str) {
    let number: i64 = version.trim_start_matches("pv_").parse().unwrap();
    let mut connection = world.database.connect().await.unwrap();
    sqlx::query("UPDATE policy SET document = $2, content_hash = $3 WHERE version = $1")
        .bind(number)
        .bind(FAULTY)
        .bind(&content_hash(FAULTY, "")[..])
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn activate(rita: &Connection, version: &str) -> Result<(), tonic::Status> {
    let request =
        v1::ActivatePolicyRequest { version: version.to_owned(), reason: "test".to_owned(), ..Default::default() };
    rita.policies().activate_policy(request).await.map(drop)
}

async fn roll_out(rita: &Connection, candidate: &str, baseline: &str) -> Result<v1::Rollout, tonic::Status> {
    let request = v1::StartRolloutRequest {
        candidate: candidate.to_owned(),
        baseline: baseline.to_owned(),
        percent: Some(50),
        reason: "test".to_owned(),
        ..Default::default()
    };
    rita.rollouts().start_rollout(request).await.map(|started| started.into_inner().rollout.unwrap())
}

async fn warnings(rita: &Connection) -> Vec<String> {
    rita.status().get_readiness(v1::GetReadinessRequest {}).await.map(Response::into_inner).unwrap().warnings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_from_before_a_check_goes_on_answering_and_begins_nowhere() {
    let world = World::start().await;
    let faulty = world.policy(&GOOD.replace("one", "first")).await;
    activate(&world.rita, &faulty).await.unwrap();
    store(&world, &faulty).await;
    let run = world.run_of("alice").await;

    // A server that starts now finds it.
    let server = world.second().await;
    let rita = server.connect(Some(&world.server.operator_key("rita").unwrap())).await.unwrap();
    let there = run.on(&rita);
    assert_eq!(there.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    let said = warnings(&rita).await;
    let warns = |said: &[String]| said.iter().filter(|warning| warning.contains("cannot be activated")).count();
    assert_eq!(warns(&said), 1, "{said:?}");
    let warning = said.iter().find(|warning| warning.contains(&faulty)).expect("it is named");
    assert!(warning.contains("did you mean \"depth\"") && warning.contains("3:"), "{warning}");
    assert!(server.log().contains("cannot be activated"), "and in the log of the start");

    // Another takes over; back to it, or on to it, nobody gets.
    let good = world.policy(GOOD).await;
    let rollout = roll_out(&rita, &good, &faulty).await.unwrap();
    assert_eq!(warns(&warnings(&rita).await), 1, "it is what the others get");
    let undo =
        v1::RollbackRolloutRequest { rollout_id: rollout.rollout_id, reason: "test".to_owned(), ..Default::default() };
    rita.rollouts().rollback_rollout(undo).await.unwrap();
    activate(&rita, &good).await.unwrap();
    let info = refused(activate(&rita, &faulty).await, Code::InvalidArgument, "POLICY_INVALID");
    assert!(info.domain.contains("countersign"), "{info:?}");
    refused(roll_out(&rita, &faulty, &good).await, Code::InvalidArgument, "POLICY_INVALID");
    assert!(!warnings(&rita).await.iter().any(|warning| warning.contains("cannot be activated")));
    assert_eq!(there.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_file_from_before_a_check_starts_where_it_is_stored_and_nowhere_else() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    fs::write(&file, FAULTY).unwrap();
    let launch = || Launch::dev().database(&world.database).arg("--policy").arg(file.to_str().unwrap());
    let failure = launch().start().await.unwrap_err().to_string();
    assert!(
        failure.contains("policy.yaml:3: rules[1].when: ") && failure.contains("did you mean \"depth\""),
        "{failure}"
    );
    let version = world.policy(GOOD).await;
    store(&world, &version).await;
    launch().start().await.unwrap();
}
