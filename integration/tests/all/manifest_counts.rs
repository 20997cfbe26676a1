//! The count of a range, against rows of every kind: with and without sponsor, tool, reporter and number.

use std::collections::{BTreeMap, BTreeSet};

use countersign_integration::{Cluster, Database};
use countersign_ledger::leaf::Kind;
use countersign_store::{Store, manifest};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use sqlx::types::Uuid;

use crate::support::room;

/// One event, as far as it counts.
#[derive(Debug, Clone)]
struct Row {
    kind: Kind,
    sponsor: Option<&'static str>,
    tool: Option<&'static str>,
    allows: bool,
    emitter: Option<&'static str>,
    seq: Option<u64>,
    /// The decision before it that it is an outcome of, counted from the beginning, and who reported it.
    of: usize,
    reporter: &'static str,
}

fn row() -> impl Strategy<Value = Row> {
    let kind = prop::sample::select(vec![Kind::Decision, Kind::ToolCall, Kind::ToolCall, Kind::KeyCreated]);
    let sponsor = prop::option::of(prop::sample::select(vec!["alice", "bob"]));
    let tool = prop::option::of(prop::sample::select(vec!["billing", "search", "alice"]));
    // The longest that a leaf admits, and one that ends in the name of the field behind it.
    let emitter = prop::option::of(prop::sample::select(vec!["gate", "emitter_seq", LONGEST]));
    let seq = prop::option::of(prop_oneof![0..20_u64, Just(u64::MAX)]);
    let reporter = prop::sample::select(vec!["RUN", "OPERATOR", "SERVER"]);
    (kind, sponsor, tool, any::<bool>(), emitter, seq, 0..8_usize, reporter).prop_map(
        |(kind, sponsor, tool, allows, emitter, seq, of, reporter)| Row {
            kind,
            sponsor,
            tool,
            allows,
            emitter,
            seq,
            of,
            reporter,
        },
    )
}

const LONGEST: &str = "emitter-emitter-emitter-emitter-emitter-emitter-emitter-emitter-emitter-emitter-emitter-emitter-emitter-emitter-emitter-emitter-";

/// Replaces the log by these rows.
async fn write(database: &Database, rows: &[Row]) {
    let mut connection = database.connect().await.unwrap();
    sqlx::raw_sql("SET session_replication_role = replica; TRUNCATE custody_event, tool_call")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut reported = BTreeSet::new();
    for (index, row) in rows.iter().enumerate() {
        let outcome = row.kind == Kind::ToolCall;
        let decision = outcome.then(|| id(row.of));
        let mut leaf = json!({"action": "refund", "kind": row.kind.as_str(), "outcome": "SUCCESS"});
        if let Some(emitter) = row.emitter {
            leaf["emitter_id"] = json!(emitter);
        }
        if let Some(seq) = row.seq {
            leaf["emitter_seq"] = json!(seq.to_string());
        }
        sqlx::query(
            "INSERT INTO custody_event (log_index, event_id, kind, sponsor_id, tool_id, effect, decision_id, leaf_bytes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(i64::try_from(index).unwrap())
        .bind(id(1_000 + index))
        .bind(row.kind.as_str())
        .bind(row.sponsor)
        .bind(row.tool)
        .bind((row.kind == Kind::Decision).then_some(if row.allows { "ALLOW" } else { "DENY" }))
        .bind(decision)
        .bind(serde_json::to_vec(&leaf).unwrap())
        .execute(&mut connection)
        .await
        .unwrap();
        // One outcome of each reporter; others are events without one, as of a log that was changed.
        if outcome && reported.insert((row.of, row.reporter)) {
            sqlx::query(
                "INSERT INTO tool_call (decision_id, event_id, log_index, fingerprint, reporter)
                 VALUES ($1, $2, $3, decode(repeat('00', 32), 'hex'), $4)",
            )
            .bind(decision)
            .bind(id(1_000 + index))
            .bind(i64::try_from(index).unwrap())
            .bind(row.reporter)
            .execute(&mut connection)
            .await
            .unwrap();
        }
    }
}

fn id(nth: usize) -> Uuid {
    Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_0000_0000_0000 + nth as u128)
}

/// Compares the counts of a part of these rows.
async fn compare(database: &Database, store: &Store, rows: &[Row], from: usize) {
    write(database, rows).await;
    let mut conn = store.connection().await.unwrap();
    let (start, end) = (i64::try_from(from).unwrap(), i64::try_from(rows.len()).unwrap());
    let part = &rows[from..];
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    let mut numbers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for row in part {
        *counts.entry((row.kind.as_str(), row.sponsor, row.tool)).or_default() += 1;
        if let (Kind::ToolCall, Some(emitter), Some(seq)) = (row.kind, row.emitter, row.seq) {
            numbers.entry(emitter).or_default().insert(seq);
        }
    }
    let most = i64::try_from(counts.len() + numbers.len()).unwrap();
    let counted = manifest::count(&mut conn, start, end, most).await.unwrap().expect("as many as are permitted");
    let found: BTreeMap<_, _> = counted
        .counts
        .iter()
        .map(|one| ((one.kind.as_str(), one.sponsor_id.as_deref(), one.tool_id.as_deref()), one.count.0))
        .collect();
    assert_eq!((found.len(), found), (counted.counts.len(), counts));
    let found: BTreeMap<_, _> = counted
        .emitters
        .iter()
        .map(|one| (one.emitter_id.as_ref(), (one.first_seq.0, one.last_seq.0, one.missing.0)))
        .collect();
    let expected: BTreeMap<_, _> = numbers
        .iter()
        .map(|(emitter, seqs)| {
            let (first, last) = (*seqs.first().unwrap(), *seqs.last().unwrap());
            let missing = u128::from(last - first) + 1 - seqs.len() as u128;
            (*emitter, (first, last, u64::try_from(missing).unwrap()))
        })
        .collect();
    assert_eq!((found.len(), found), (counted.emitters.len(), expected));
    let allowed = part.iter().filter(|row| row.kind == Kind::Decision && row.allows).count();
    assert_eq!(counted.allowed, i64::try_from(allowed).unwrap());
    let mut ended = BTreeSet::new();
    let mut firsts = [0, 0];
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.kind == Kind::ToolCall) {
        if ended.insert(row.of) && index >= from {
            firsts[usize::from(row.reporter == "SERVER")] += 1;
        }
    }
    assert_eq!([counted.reported, counted.overdue], firsts);
    if most > 0 {
        assert_eq!(manifest::count(&mut conn, start, end, most - 1).await.unwrap(), None, "one more than permitted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_range_is_counted_as_by_hand() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let store = database.store().unwrap();
    let handle = tokio::runtime::Handle::current();
    let run = move || {
        let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
        runner
            .run(&(prop::collection::vec(row(), 0..30), any::<prop::sample::Index>()), |(rows, from)| {
                let from = from.index(rows.len() + 1);
                handle.block_on(compare(&database, &store, &rows, from));
                Ok(())
            })
            .unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}
