//! Connections: who waits for one, and what becomes of those that broke.

use std::time::Duration;

use countersign_store::{Options, Store, StoreError, operator};
use tokio::time::sleep;

use crate::support::World;

fn narrow(world: &World) -> Store {
    let acquire_timeout = Duration::from_millis(300);
    Store::new(&Options { max_connections: 1, acquire_timeout, ..Options::new(world.database.url.parse().unwrap()) })
}

async fn any(store: &Store) -> Result<bool, StoreError> {
    let mut conn = store.connection().await?;
    operator::any(&mut conn).await
}

fn waiting(store: &Store) -> u32 {
    store.usage().iter().find(|usage| usage.pool == "ordinary").unwrap().waiting
}

#[tokio::test]
async fn callers_that_wait_are_counted_until_they_have_one_or_give_up() {
    let world = World::start().await;
    let store = narrow(&world);
    let held = store.connection().await.unwrap();
    assert_eq!(waiting(&store), 0);
    let other = store.clone();
    let gets = tokio::spawn(async move { other.connection().await.map(drop) });
    let other = store.clone();
    let leaves = tokio::spawn(async move { other.begin().await.map(drop) });
    while waiting(&store) < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    leaves.abort();
    leaves.await.unwrap_err();
    assert_eq!(waiting(&store), 1);
    drop(held);
    gets.await.unwrap().unwrap();
    assert_eq!(waiting(&store), 0);
    // Who waits in vain is told so, and is no longer counted.
    let held = store.connection().await.unwrap();
    assert!(matches!(store.connection().await, Err(StoreError::Unavailable(_))));
    assert_eq!(waiting(&store), 0);
    drop(held);
    // Another kind of work has connections of its own.
    assert!(store.for_reads().connection().await.is_ok());
}

#[tokio::test]
async fn after_the_database_ended_a_session_the_next_statement_finds_another() {
    let world = World::start().await;
    let store = narrow(&world);
    assert!(!any(&store).await.unwrap());
    world
        .sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    // The broken session is noticed by who uses it first.
    let mut failures = 0;
    while let Err(error) = any(&store).await {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        failures += 1;
        assert!(failures < 3, "it is used again");
    }
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing_behind() {
    let world = World::start().await;
    let store = narrow(&world);
    let by = "admin".parse().unwrap();
    let rita = countersign_core::operator::Operator::new(
        "rita".parse().unwrap(),
        String::new(),
        countersign_core::operator::Roles::of(&[]),
        crate::support::NOW,
    );
    let mut tx = store.begin().await.unwrap();
    operator::insert(&mut tx, &rita, &by).await.unwrap();
    drop(tx);
    // The only connection, after it.
    assert!(!any(&store).await.unwrap());
    let mut reading = store.begin_snapshot().await.unwrap();
    assert!(!operator::any(&mut reading).await.unwrap());
    let mut writing = World::start().await.conn().await;
    operator::insert(&mut writing, &rita, &by).await.unwrap();
    let refused = operator::insert(&mut reading, &rita, &by).await;
    assert!(refused.is_err(), "a reading transaction writes nothing");
}
