//! Whoever stops waiting for the database in the middle of something leaves nothing open behind.

use std::time::Duration;

use countersign_integration::{Cluster, Proxy, Weather};
use countersign_store::{Options, Store};
use tokio::time::{sleep, timeout};

use crate::support::room;

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_nobody_waits_for_any_more_is_no_trap_for_the_next_statement() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (proxy, through) = Proxy::to_database(&database).await.unwrap();
    // One connection, so that the next user gets the one of whoever left.
    let store = Store::new(&Options { max_connections: 1, ..Options::new(through.serving_url.parse().unwrap()) });
    let mut looking = database.connect().await.unwrap();
    for statement in ["CREATE TABLE kept (n integer)", "GRANT INSERT ON kept TO PUBLIC"] {
        sqlx::query(statement).execute(&mut looking).await.unwrap();
    }
    drop(store.connection().await.unwrap());

    for n in 0..4 {
        // It is back in the pool.
        sleep(Duration::from_millis(100)).await;
        proxy.becomes(Weather::Slow(Duration::from_millis(400)));
        let waited = Duration::from_millis(100);
        let left = if n % 2 == 0 {
            timeout(waited, store.begin()).await.is_err()
        } else {
            timeout(waited, store.begin_snapshot()).await.is_err()
        };
        assert!(left, "it was not slow");
        proxy.becomes(Weather::Fair);

        let mut next = store.connection().await.unwrap();
        sqlx::query("INSERT INTO kept VALUES ($1)").bind(n).execute(&mut *next).await.unwrap();
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&mut looking).await.unwrap();
        assert_eq!(kept, i64::from(n + 1), "what was written is part of a transaction that nobody commits");
    }
}
