//! Manifests: at each full hour the log counts itself, and nothing is counted twice or left out.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use countersign_client::v1;
use countersign_integration::Launch;
use countersign_ledger::{
    leaf::{Count, Decimal, Emitter, Kind, Leaf, MAX_COUNTS},
    manifest::{self, Manifest},
};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::{Event, Run, World, decide, eventually, issue};

use v1::ToolCallOutcome::Success;

async fn sql(world: &World, statement: &str) {
    let mut connection = world.database.connect().await.unwrap();
    connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

/// Makes it seem that the log was last counted an hour ago.
async fn an_hour_passes(world: &World) {
    sql(world, "UPDATE log_manifest SET hour_time = date_trunc('hour', now(), 'UTC') - interval '1 hour'").await;
}

/// Until the log is counted for this hour.
async fn counted(world: &World) {
    eventually("the log is counted", async || {
        let mut connection = world.database.connect().await.unwrap();
        let statement = "SELECT hour_time >= date_trunc('hour', now(), 'UTC') FROM log_manifest";
        sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
    })
    .await;
}

async fn report(run: &Run, decision: &v1::DecideResponse, emitter: &str, seq: i64) {
    let request = v1::RecordToolCallRequest {
        policy_decision_id: decision.policy_decision_id.clone(),
        outcome: Success.into(),
        emitter_id: emitter.to_owned(),
        emitter_seq: seq,
        ..Default::default()
    };
    run.connection.custody().record_tool_call(request).await.unwrap();
}

/// The manifests of a log, whose ranges must follow each other from index 0 on, each as a recount of its range says.
#[track_caller]
fn manifests(log: &[Event]) -> Vec<Manifest> {
    let leaves: Vec<Leaf<'static>> = log.iter().map(|event| Leaf::parse(&event.bytes).unwrap()).collect();
    let mut parts: Vec<(u64, Vec<(usize, &Leaf<'static>)>)> = Vec::new();
    for (at, leaf) in leaves.iter().enumerate().filter(|(_, leaf)| leaf.kind == Kind::Manifest) {
        let (first, _) = manifest::range(leaf).unwrap();
        match parts.last_mut() {
            Some((range, parts)) if *range == first => parts.push((at, leaf)),
            _ => parts.push((first, vec![(at, leaf)])),
        }
    }
    let mut next = 0;
    let mut manifests = Vec::new();
    for (first, parts) in parts {
        let manifest = Manifest::collect(&parts.iter().map(|(_, leaf)| *leaf).collect::<Vec<_>>()).unwrap();
        assert_eq!(first, next, "a gap, or a range twice");
        next = manifest.last_index + 1;
        let (at, one) = parts[0];
        assert!(manifest.last_index < at as u64, "only of what is before it");
        assert!(parts.iter().zip(at..).all(|((index, _), expected)| *index == expected), "all at once");
        assert!(one.timestamp <= one.received_time);
        let (until, from) = (usize::try_from(next).unwrap(), usize::try_from(first).unwrap());
        let late =
            leaves[until..at].iter().all(|leaf| leaf.received_time.micros() >= one.timestamp.micros() - 1_000_000);
        assert!(late, "what was received before its timestamp is counted");
        assert_eq!(manifest, recount(&leaves, from, until));
        manifests.push(manifest);
    }
    manifests
}

/// A manifest made out of the leaves alone.
fn recount(leaves: &[Leaf<'static>], from: usize, until: usize) -> Manifest {
    let mut counts = BTreeMap::new();
    let mut numbers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for leaf in &leaves[from..until] {
        let key = (leaf.kind.as_str(), leaf.sponsor_id.as_deref(), leaf.tool_id.as_deref());
        counts.entry(key).or_insert((leaf.kind, 0_u64)).1 += 1;
        if let Some((emitter, seq)) = leaf.emitter_id.as_deref().zip(leaf.emitter_seq) {
            numbers.entry(emitter).or_default().insert(seq.0);
        }
    }
    let counts = counts.into_iter().map(|((_, sponsor, tool), (kind, count))| Count {
        count: Decimal(count),
        kind,
        sponsor_id: sponsor.map(|id| id.to_owned().into()),
        tool_id: tool.map(|id| id.to_owned().into()),
    });
    let emitters = numbers.into_iter().map(|(id, seqs)| {
        let (first, last) = (*seqs.first().unwrap(), *seqs.last().unwrap());
        let missing = Decimal(last - first + 1 - seqs.len() as u64);
        Emitter { emitter_id: id.to_owned().into(), first_seq: Decimal(first), last_seq: Decimal(last), missing }
    });
    let before = &leaves[..until];
    let answered: HashSet<_> = before
        .iter()
        .filter(|leaf| leaf.kind == Kind::ToolCall)
        .map(|leaf| leaf.policy_decision_id.as_deref().unwrap())
        .collect();
    let open =
        before.iter().filter(|leaf| leaf.kind == Kind::Decision && leaf.effect.is_some_and(|e| e.as_str() == "ALLOW"));
    let open = open.filter(|leaf| !answered.contains(leaf.policy_decision_id.as_deref().unwrap())).count();
    Manifest {
        first_index: from as u64,
        last_index: until as u64 - 1,
        open_decisions: open as u64,
        counts: counts.collect(),
        emitters: emitters.collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_full_hour_counts_what_came_since_the_last() {
    let world = World::start().await;
    world.sponsor("bob").await;
    for (sponsor, gateway) in [("alice", "gateway-1"), ("bob", "gateway-2")] {
        let run = world.run_of(sponsor).await;
        for seq in [3, 1, 7, 7, 0] {
            let decision = run.decide("billing", "refund").await.unwrap();
            report(&run, &decision, gateway, seq).await;
        }
        run.decide("billing", "refund").await.unwrap();
        run.decide("search", "delete").await.unwrap();
    }
    assert_eq!(manifests(&world.log().await), [], "not before the hour");
    an_hour_passes(&world).await;
    counted(&world).await;
    let log = world.log().await;
    let first = manifests(&log).remove(0);
    assert_eq!(log.len() as u64, first.last_index + 2, "one leaf behind everything");
    assert_eq!(first.open_decisions, 2);
    let missing: Vec<_> = first.emitters.iter().map(|one| (one.emitter_id.as_ref(), one.missing.0)).collect();
    assert_eq!(missing, [("gateway-1", 4), ("gateway-2", 4)], "2, 4, 5 and 6");
    assert!(world.counted("countersign_emitter_gaps_total").await >= 2.0);
    assert!((world.counted("countersign_outcomes_reported_ratio").await - 1.0).abs() < f64::EPSILON);

    // Nothing but a manifest is not counted again.
    an_hour_passes(&world).await;
    counted(&world).await;
    assert_eq!(world.log().await.len(), log.len());

    // Readers see it, and the next one counts it.
    let run = world.run_of("alice").await;
    let decision = run.decide("billing", "refund").await.unwrap();
    report(&run, &decision, "gateway-1", 9).await;
    an_hour_passes(&world).await;
    counted(&world).await;
    let both = manifests(&world.log().await);
    assert_eq!(both.len(), 2);
    assert!(both[1].counts.iter().any(|count| count.kind == Kind::Manifest && count.count == Decimal(1)));
    let request = v1::ListEventsRequest { kind: v1::EventKind::Manifest.into(), ..Default::default() };
    let listed = world.rita.custody().list_events(request).await.unwrap().into_inner().events;
    let ranges: Vec<_> =
        listed.iter().map(|event| manifest::range(&Leaf::parse(&event.leaf_bytes).unwrap()).unwrap()).collect();
    assert_eq!(ranges, both.iter().map(|one| (one.first_index, one.last_index)).collect::<Vec<_>>());
    eventually("readiness says so", async || {
        let readiness = world.rita.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap().into_inner();
        let log = readiness.checks.into_iter().find(|check| check.name == "log").unwrap().message;
        log.contains(&format!("its manifests count {} events", both[1].last_index + 1)) && log.contains("100.0 %")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_at_the_deadline_lowers_the_ratio() {
    let world = World::start_with(|launch| launch.variable("COUNTERSIGN_OUTCOMES_DEADLINE_SECONDS", "5")).await;
    let run = world.run_of("alice").await;
    let decision = run.decide("billing", "refund").await.unwrap();
    report(&run, &decision, "", 0).await;
    let late = run.decide("billing", "refund").await.unwrap();
    eventually("its outcome is unknown", async || {
        world.log().await.iter().any(|event| event.text("reason") == "OUTCOME_DEADLINE")
    })
    .await;
    // A late report takes nothing back, and is no second outcome of an open decision.
    report(&run, &late, "", 0).await;
    an_hour_passes(&world).await;
    counted(&world).await;
    let manifest = manifests(&world.log().await).remove(0);
    assert_eq!((manifest.open_decisions, manifest.emitters.len()), (0, 0));
    assert!((world.counted("countersign_outcomes_reported_ratio").await - 0.5).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tools_make_shorter_ranges_and_a_kill_loses_none() {
    let mut world = World::start().await;
    let run = world.run_of("alice").await;
    let key = world.server.operator_key("rita").unwrap();
    for batch in 0..110 {
        let question = |nth: usize| v1::DecideRequest {
            token: run.token.clone(),
            ..decide(&format!("tool-{batch}-{nth}"), "refund")
        };
        let requests = (0..100).map(question).collect();
        let request = v1::BatchDecideRequest { requests, ..Default::default() };
        world.rita.decisions().batch_decide(request).await.unwrap();
    }
    let second = world.second().await;
    an_hour_passes(&world).await;
    eventually("the first range is counted", async || {
        let mut connection = world.database.connect().await.unwrap();
        sqlx::query_scalar("SELECT size > 0 FROM log_manifest").fetch_one(&mut connection).await.unwrap()
    })
    .await;
    drop(second);
    world.server.kill();
    world.server = Launch::dev().database(&world.database).start().await.unwrap();
    world.rita = world.server.connect(Some(&key)).await.unwrap();
    counted(&world).await;
    let all = manifests(&world.log().await);
    assert!(all.len() > 1, "{}", all.len());
    let largest = all.iter().map(|one| one.counts.len()).max().unwrap();
    assert!(largest > 5_000 && largest <= 256 * MAX_COUNTS, "{largest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_under_load_count_each_event_once() {
    let world = World::start().await;
    let second = world.second().await;
    let run = world.run_of("alice").await;
    let there = run.on(&second.connect(None).await.unwrap());
    for hour in 0..3 {
        let load = async |run: &Run| {
            for _ in 0..50 {
                run.decide("billing", "refund").await.unwrap();
            }
        };
        an_hour_passes(&world).await;
        tokio::join!(load(&run), load(&there), counted(&world));
        assert_eq!(manifests(&world.log().await).len(), hour + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_a_clock_that_was_wrong_is_not_waited_for() {
    let world = World::start().await;
    world.run_with(issue("alice"), &["billing"]).await;
    sql(&world, "UPDATE log_manifest SET hour_time = now() + interval '91 days'").await;
    eventually("the log is counted", async || !manifests(&world.log().await).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_manifest_is_over_a_range_that_lacks_an_event() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let gone = run.decide("billing", "refund").await.unwrap().log_index;
    run.decide("billing", "refund").await.unwrap();
    sql(&world, &format!("SET session_replication_role = replica; DELETE FROM custody_event WHERE log_index = {gone}"))
        .await;
    an_hour_passes(&world).await;
    eventually("it is said", async || world.server.log().contains("the log cannot be counted")).await;
    assert!(world.log().await.iter().all(|event| event.kind() != "manifest"));
}
