use countersign_core::{credential::KeyStanding, signing_key::SigningKeyRecord};
use countersign_store::signing_key::{StoredKey, get, insert, known, list, standing, update};

use crate::support::{NOW, TICK, World, exists, is_listed};

fn key(kid: &str, state: KeyStanding) -> StoredKey {
    let record = SigningKeyRecord {
        kid: kid.to_owned(),
        state,
        public_jwk: "{}".to_owned(),
        create_time: NOW,
        activate_time: None,
        retire_time: None,
    };
    StoredKey { record, private_nonce: vec![1], private_key: vec![2] }
}

#[tokio::test]
async fn one_key_signs_and_who_stops_signing_loses_the_private_half() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let mut active = key("a", KeyStanding::Active);
    insert(&mut conn, &active).await.unwrap();
    assert_eq!(exists(insert(&mut conn, &key("b", KeyStanding::Active)).await), "signing_key_one_active");
    insert(&mut conn, &key("b", KeyStanding::Next)).await.unwrap();
    exists(insert(&mut conn, &key("c", KeyStanding::Next)).await);
    exists(insert(&mut conn, &key("a", KeyStanding::Retired)).await);
    active.record.activate(NOW);
    update(&mut conn, &active.record).await.unwrap();
    assert_eq!(standing(&mut conn, KeyStanding::Active).await.unwrap().unwrap().private_key, [2]);
    active.record.retire(NOW + TICK);
    update(&mut conn, &active.record).await.unwrap();
    let found = get(&mut conn, "a").await.unwrap().unwrap();
    assert_eq!((found.record, found.private_nonce, found.private_key), (active.record, vec![], vec![]));
    assert!(standing(&mut conn, KeyStanding::Active).await.unwrap().is_none());
}

#[tokio::test]
async fn verifiers_know_a_retired_key_to_its_instant_and_a_compromised_one_for_good() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    for (kid, state, retired) in [
        ("n", KeyStanding::Next, None),
        ("r", KeyStanding::Retired, Some(NOW)),
        // No version wrote this one; it is not known for ever because of it.
        ("?", KeyStanding::Retired, None),
        ("c", KeyStanding::Compromised, Some(NOW - TICK)),
    ] {
        let mut key = key(kid, state);
        key.record.retire_time = retired;
        insert(&mut conn, &key).await.unwrap();
    }
    let mut kids = async |since| {
        let mut kids: Vec<_> = known(&mut conn, since).await.unwrap().into_iter().map(|key| key.record.kid).collect();
        kids.sort();
        kids.concat()
    };
    assert_eq!(kids(NOW).await, "cnr");
    assert_eq!(kids(NOW + TICK).await, "cn");
}

#[tokio::test]
async fn keys_of_one_instant_are_listed_once_each() {
    let world = World::start().await;
    let mut expected = Vec::new();
    for (kid, after) in [("b", 0), ("a", 0), ("B", 0), ("z/1", 0), ("old", -1), ("new", 1)] {
        let mut key = key(kid, KeyStanding::Retired);
        key.record.create_time = NOW + TICK * after;
        insert(&mut *world.conn().await, &key).await.unwrap();
        expected.push(key.record);
    }
    expected.sort_by(|a, b| (b.create_time, &b.kid).cmp(&(a.create_time, &a.kid)));
    is_listed(&expected, async |request| list(&mut *world.conn().await, None, &request).await).await;
    let none = async |request| list(&mut *world.conn().await, Some(KeyStanding::Next), &request).await;
    is_listed(&[], none).await;
}
