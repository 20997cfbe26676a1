//! Tampering by a superuser of the database: what was changed is named by the servers, and shown to readers.

use countersign_client::v1;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::{World, eventually};

/// What a superuser does to event $1 of the log, and what is said about it.
const CHANGES: [(&str, &str, &str); 7] = [
    (
        "a leaf",
        "UPDATE custody_event SET leaf_bytes = convert_to(replace(convert_from(leaf_bytes, 'UTF8'), 'refund', 'charge'), 'UTF8')
         WHERE log_index = $1",
        "its hash is not the one in the tree",
    ),
    ("a row", "DELETE FROM custody_event WHERE log_index = $1", "the event is missing"),
    (
        "two rows in the place of each other",
        "UPDATE custody_event SET log_index = CASE log_index WHEN $1 THEN $1 + 1 ELSE $1 END WHERE log_index IN ($1, $1 + 1)",
        "its hash is not the one in the tree",
    ),
    (
        "a column beside the leaf",
        "UPDATE custody_event SET tool_id = 'search' WHERE log_index = $1",
        "a column beside the leaf",
    ),
    (
        "a text beside the leaf",
        "UPDATE custody_event SET purpose = 'another', purpose_salt = '\\x00000000000000000000000000000000' WHERE log_index = $1",
        "a text beside the leaf",
    ),
    (
        "the tree itself",
        "UPDATE log_tile SET hashes = overlay(hashes PLACING decode(repeat('00', 32), 'hex') FROM $1 * 32 + 1 FOR 32)
         WHERE level = 0 AND tile_index = 0",
        "its hash is not the one in the tree",
    ),
    (
        "a tile that ends before the event",
        "UPDATE log_tile SET hashes = substring(hashes FOR $1 * 32) WHERE level = 0 AND tile_index = 0",
        "its hash is not the one in the tree",
    ),
];

async fn as_superuser(world: &World, statement: &str) {
    let mut connection = world.database.connect().await.unwrap();
    for statement in ["SET session_replication_role = replica", statement] {
        connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    }
}

async fn finding(world: &World) -> Option<String> {
    let readiness = world.rita.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap().into_inner();
    readiness.warnings.into_iter().find(|warning| warning.contains("custody log was changed"))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_superuser_changes_is_named_with_its_index() {
    for (what, statement, said) in CHANGES {
        let world = World::start().await;
        let run = world.run_of("alice").await;
        let index = run.decide("billing", "refund").await.unwrap().log_index;
        run.decide("billing", "refund").await.unwrap();
        eventually("the events are in the tree", async || {
            let checkpoint = world.rita.custody().get_checkpoint(v1::GetCheckpointRequest {}).await;
            checkpoint.is_ok_and(|answer| answer.into_inner().size > index + 1)
        })
        .await;
        as_superuser(&world, "UPDATE log_check SET whole_time = NULL, checked_size = 0").await;
        assert_eq!(finding(&world).await, None, "{what}");
        as_superuser(&world, &statement.replace("$1", &index.to_string())).await;
        as_superuser(&world, "UPDATE log_check SET whole_time = NULL, round_start = NULL, checked_size = 0").await;
        eventually(&format!("{what} is named"), async || finding(&world).await.is_some()).await;
        let finding = finding(&world).await.unwrap();
        assert!(finding.contains(&format!("index {index}:")) && finding.contains(said), "{what}: {finding}");
        assert!(world.counted("countersign_log_altered").await > 0.0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_event_is_not_served_as_if_nothing_had_happened() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let decision = run.decide("billing", "refund").await.unwrap();
    eventually("the event is in the tree", async || {
        let checkpoint = world.rita.custody().get_checkpoint(v1::GetCheckpointRequest {}).await;
        checkpoint.is_ok_and(|answer| answer.into_inner().size > decision.log_index)
    })
    .await;
    as_superuser(&world, &CHANGES[0].1.replace("$1", &decision.log_index.to_string())).await;
    let request = v1::ListEventsRequest { start_index: decision.log_index, page_size: 1, ..Default::default() };
    let event = world.rita.custody().list_events(request).await.unwrap().into_inner().events.remove(0);
    assert!(event.altered && event.action == "charge", "{event:?}");
    let request = v1::GetDecisionRequest { policy_decision_id: decision.policy_decision_id.clone() };
    assert!(world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap().altered);
    let subject = Some(v1::get_custody_chain_request::Subject::PolicyDecisionId(decision.policy_decision_id));
    let request = v1::GetCustodyChainRequest { subject };
    let chain = world.rita.custody().get_custody_chain(request).await.unwrap().into_inner().chain.unwrap();
    let altered: Vec<_> = chain.events.iter().filter(|event| event.altered).map(|event| event.log_index).collect();
    assert_eq!(altered, [decision.log_index]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_checkpoint_is_signed_over_a_tail_that_was_cut_off() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let cut = run.decide("billing", "refund").await.unwrap().log_index;
    eventually("the event is in the tree", async || {
        let checkpoint = world.rita.custody().get_checkpoint(v1::GetCheckpointRequest {}).await;
        checkpoint.is_ok_and(|answer| answer.into_inner().size > cut)
    })
    .await;
    as_superuser(&world, &format!("DELETE FROM custody_event WHERE log_index >= {cut}")).await;
    as_superuser(
        &world,
        &format!("UPDATE log_head SET size = {cut}, frontier = (SELECT frontier FROM log_tree) WHERE log_id = 9"),
    )
    .await;
    as_superuser(&world, "UPDATE log_check SET whole_time = NULL, round_start = NULL, checked_size = 0").await;
    eventually("the cut is named", async || {
        finding(&world).await.is_some_and(|finding| finding.contains(&format!("index {cut}: the event is missing")))
    })
    .await;
}
