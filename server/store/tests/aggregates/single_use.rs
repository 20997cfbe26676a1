use std::collections::BTreeMap;

use countersign_core::ids::CredentialId;
use countersign_store::single_use::{consume, purge, used};

use crate::support::{NOW, TICK, World, exists, id};

#[tokio::test]
async fn what_was_forgotten_counts_as_used() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let [early, late] = [1, 2].map(|millis| CredentialId(id(millis)));
    let times = BTreeMap::from([(early, NOW), (late, NOW + TICK)]);
    assert_eq!(used(&mut conn, &times).await.unwrap(), []);
    consume(&mut conn, &times).await.unwrap();
    assert_eq!(exists(consume(&mut conn, &BTreeMap::from([(late, NOW)])).await), "consumed_credential_pkey");
    assert_eq!(used(&mut conn, &times).await.unwrap().len(), 2);

    assert_eq!(purge(&mut conn, NOW + TICK).await.unwrap(), 1);
    let unused = CredentialId(id(3));
    // Whoever comes with one that expired before what is known is refused.
    for (expires, refused) in [(NOW, true), (NOW + TICK, false)] {
        let found = used(&mut conn, &BTreeMap::from([(unused, expires)])).await.unwrap();
        assert_eq!(!found.is_empty(), refused, "{expires}");
    }
    assert!(used(&mut conn, &times).await.unwrap().contains(&early));
    assert_eq!(purge(&mut conn, NOW - TICK).await.unwrap(), 0);
    assert_eq!(used(&mut conn, &BTreeMap::from([(unused, NOW)])).await.unwrap(), [unused], "it never goes back");
}

#[tokio::test]
async fn one_of_two_writers_at_once_uses_a_credential() {
    let world = World::start().await;
    let times = BTreeMap::from([(CredentialId(id(1)), NOW)]);
    let attempt = async || consume(&mut *world.conn().await, &times).await.is_ok();
    let both = tokio::join!(attempt(), attempt());
    assert_ne!(both.0, both.1);
}
