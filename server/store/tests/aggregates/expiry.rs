use countersign_core::{
    api_key::{ApiKey, ApiKeyId},
    expiry::Threshold,
    key_scope::KeyScope,
    operator::{OperatorRole, Roles},
};
use countersign_store::{
    api_key::{self, StoredKey},
    expiry::{Soonest, announce, between, purge, soonest},
};

use crate::support::{NOW, TICK, World, id};

#[tokio::test]
async fn what_ends_is_announced_by_one_server_once_a_threshold() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    assert_eq!(soonest(&mut conn, NOW).await.unwrap(), Soonest::default());
    crate::operator::add(&world, "ann", &[OperatorRole::Gate]).await;
    let key = ApiKey {
        key_id: ApiKeyId(id(0)),
        operator_id: "ann".parse().unwrap(),
        roles: Roles::of(&[]),
        create_time: NOW,
        expire_time: Some(NOW + TICK),
        revoke_time: None,
        made_by: None,
        confirmed: true,
        scope: KeyScope::default(),
    };
    api_key::insert(&mut conn, &StoredKey { key, secret_hash: [0; 32] }).await.unwrap();
    crate::sponsor::active(&world, "bob").await;
    let found = between(&mut conn, [NOW - TICK, NOW + TICK], None, 9).await.unwrap();
    assert_eq!(found.iter().map(|ending| ending.end_time).collect::<Vec<_>>(), [NOW, NOW + TICK]);
    assert_eq!(between(&mut conn, [NOW, NOW], None, 9).await.unwrap(), [], "after, and not later than");
    let [first, second, ..] = Threshold::ALL;
    let attempt = async || announce(&mut *world.conn().await, found.clone(), first, NOW).await.unwrap().len();
    let both = tokio::join!(attempt(), attempt());
    assert_eq!(both.0 + both.1, 2, "each by one of them");
    assert_eq!(between(&mut conn, [NOW - TICK, NOW + TICK], Some(first), 9).await.unwrap(), []);
    assert_eq!(between(&mut conn, [NOW - TICK, NOW + TICK], Some(second), 9).await.unwrap().len(), 2);
    purge(&mut conn, NOW + TICK).await.unwrap();
    assert_eq!(between(&mut conn, [NOW - TICK, NOW + TICK], Some(first), 9).await.unwrap().len(), 1, "forgotten");
    assert_eq!(soonest(&mut conn, NOW).await.unwrap(), Soonest { api_key: Some(NOW + TICK), sponsor_review: None });
}
