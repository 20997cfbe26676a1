//! kill -9: whatever was acknowledged is in the log, once, and the log is whole.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use countersign_client::{Connection, v1};
use countersign_integration::Launch;
use countersign_ledger::merkle::{Frontier, leaf_hash};
use futures::future::join_all;
use sqlx::Row as _;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::support::{World, decide, eventually, log};

const CALLERS: usize = 64;
const KILLS: usize = 3;

/// Decisions that were answered: their ids and indices.
type Acknowledged = Arc<Mutex<Vec<(String, i64)>>>;

/// Decides until the server is gone.
fn caller(connection: Connection, acknowledged: Acknowledged) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match connection.decisions().decide(decide("billing", "refund")).await.map(tonic::Response::into_inner) {
                Ok(answer) => {
                    assert_eq!(answer.effect(), v1::Effect::Allow);
                    acknowledged.lock().unwrap().push((answer.policy_decision_id, answer.log_index));
                }
                Err(status) => {
                    let gone = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal];
                    assert!(gone.contains(&status.code()), "{status:?}");
                    return;
                }
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_decision_is_in_the_log_once_after_kill_9_under_load() {
    let mut world = World::start().await;
    let run = world.run_of("alice").await;
    let acknowledged = Acknowledged::default();
    for _ in 0..KILLS {
        let connection = world.server.connect(Some(&run.token)).await.unwrap();
        let callers: Vec<_> = (0..CALLERS).map(|_| caller(connection.clone(), acknowledged.clone())).collect();
        let before = acknowledged.lock().unwrap().len();
        let goes_on = async || acknowledged.lock().unwrap().len() > before + 8 * CALLERS;
        eventually("callers are answered", goes_on).await;
        world.server.kill();
        join_all(callers).await.into_iter().for_each(Result::unwrap);
        world.server = Launch::dev().database(&world.database).start().await.unwrap();
    }

    let acknowledged = acknowledged.lock().unwrap().clone();
    let log = log(&world.database).await;
    let mut frontier = Frontier::default();
    for (nth, event) in log.iter().enumerate() {
        assert_eq!(event.index, i64::try_from(nth).unwrap(), "a gap, or an index twice");
        frontier.append(leaf_hash(&event.bytes));
    }
    let mut connection = world.database.connect().await.unwrap();
    let head = sqlx::query("SELECT size, frontier FROM log_head").fetch_one(&mut connection).await.unwrap();
    assert_eq!(head.get::<i64, _>("size"), i64::try_from(log.len()).unwrap());
    let kept = Frontier::from_bytes(frontier.size(), head.get::<&[u8], _>("frontier")).unwrap();
    assert_eq!(kept.root(), frontier.root());

    let mut found: HashMap<&str, Vec<i64>> = HashMap::new();
    for event in log.iter().filter(|event| event.kind() == "decision") {
        found.entry(event.text("policy_decision_id")).or_default().push(event.index);
    }
    for (id, index) in &acknowledged {
        assert_eq!(found.get(id.as_str()), Some(&vec![*index]), "{id}");
    }
}
