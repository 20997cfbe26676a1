use countersign_core::{
    api_key::{ApiKey, ApiKeyId},
    key_scope::KeyScope,
    operator::{OperatorRole, Roles},
};
use countersign_store::{
    Page, StoreError,
    api_key::{Except, StoredKey, another_admits_an_admin, confirm, get, ids, insert, list, revoke},
    disabled_operator,
    disabled_operator::Disabled,
};
use time::Duration;

use crate::{
    operator::add,
    support::{NOW, TICK, World, exists, id, is_listed},
};

fn key(operator: &str, roles: &[OperatorRole]) -> StoredKey {
    let key = ApiKey {
        key_id: ApiKeyId(id(0)),
        operator_id: operator.parse().unwrap(),
        roles: Roles::of(roles),
        create_time: NOW,
        expire_time: None,
        revoke_time: None,
        made_by: None,
        confirmed: true,
        scope: KeyScope::default(),
    };
    StoredKey { key, secret_hash: [9; 32] }
}

#[tokio::test]
async fn a_key_grants_what_its_operator_still_has() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let (admin, gate) = (OperatorRole::Admin, OperatorRole::Gate);
    add(&world, "ann", &[gate]).await;
    let stored = key("ann", &[admin, gate]);
    insert(&mut conn, &stored).await.unwrap();
    let found = get(&mut conn, stored.key.key_id).await.unwrap().unwrap();
    assert_eq!((found.key.roles, found.secret_hash), (Roles::of(&[gate]), [9; 32]));
    assert_eq!(exists(insert(&mut conn, &stored).await), "api_key_pkey");
    let nobodys = insert(&mut conn, &key("nobody", &[gate])).await;
    assert!(matches!(nobodys, Err(StoreError::Database(_))), "{nobodys:?}");
}

#[tokio::test]
async fn a_scoped_key_keeps_its_scope_and_a_server_that_knows_none_sees_no_role() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    add(&world, "ann", &[OperatorRole::Gate]).await;
    let mut stored = key("ann", &[OperatorRole::Gate]);
    stored.key.scope = KeyScope {
        tools: ["billing".parse().unwrap()].into_iter().collect(),
        sponsors: ["bob".parse().unwrap()].into_iter().collect(),
    };
    insert(&mut conn, &stored).await.unwrap();
    assert_eq!(get(&mut conn, stored.key.key_id).await.unwrap().unwrap().key, stored.key);
    let roles: Vec<String> = sqlx::query_scalar("SELECT roles FROM api_key")
        .fetch_one(&mut world.database.connect().await.unwrap())
        .await
        .unwrap();
    assert!(roles.is_empty(), "an older version would let it do everything: {roles:?}");
}

#[tokio::test]
async fn lists_leave_out_what_is_over_at_that_instant() {
    let world = World::start().await;
    add(&world, "ann", &[OperatorRole::Gate]).await;
    add(&world, "bea", &[OperatorRole::Gate]).await;
    let store = async |operator: &str, millis, expire: Option<Duration>| {
        let mut stored = key(operator, &[OperatorRole::Gate]);
        stored.key.key_id = ApiKeyId(id(millis));
        stored.key.expire_time = expire.map(|after| NOW + after);
        insert(&mut *world.conn().await, &stored).await.unwrap();
        stored.key.key_id
    };
    let endless = store("ann", 1, None).await;
    let expired = store("ann", 2, Some(Duration::ZERO)).await;
    let last = store("bea", 3, Some(TICK)).await;
    let revoked = store("bea", 4, None).await;
    revoke(&mut *world.conn().await, revoked, NOW).await.unwrap();
    let listed = async |operator: Option<&str>, dead, request| {
        let operator = operator.map(|id| id.parse().unwrap());
        let found = list(&mut *world.conn().await, operator.as_ref(), dead, NOW, &request).await?;
        Ok::<Page<ApiKeyId>, StoreError>(found.map(|key| key.key_id))
    };
    is_listed(&[endless, last], async |request| listed(None, false, request).await).await;
    is_listed(&[endless, expired, last, revoked], async |request| listed(None, true, request).await).await;
    is_listed(&[last], async |request| listed(Some("bea"), false, request).await).await;
    assert_eq!(ids(&mut *world.conn().await, 2).await.unwrap(), [endless, expired]);
}

#[tokio::test]
async fn the_last_way_in_for_an_administrator_is_found() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let admin = &[OperatorRole::Admin];
    for id in ["ann", "bea"] {
        add(&world, id, admin).await;
    }
    let first = key("ann", admin);
    insert(&mut conn, &first).await.unwrap();
    let except = Except::Key(first.key.key_id);
    let mut other = key("bea", admin);
    (other.key.confirmed, other.key.expire_time) = (false, Some(NOW + TICK));
    insert(&mut conn, &other).await.unwrap();
    assert!(!another_admits_an_admin(&mut conn, except, NOW).await.unwrap(), "not confirmed");
    confirm(&mut conn, other.key.key_id).await.unwrap();
    assert!(another_admits_an_admin(&mut conn, except, NOW).await.unwrap());
    assert!(!another_admits_an_admin(&mut conn, except, NOW + TICK).await.unwrap(), "expired");
    let bea = "bea".parse().unwrap();
    assert!(another_admits_an_admin(&mut conn, Except::KeysOf(&bea), NOW + TICK).await.unwrap(), "ann's own");
    let disabled = Disabled { time: NOW, deleted: false };
    disabled_operator::insert(&mut conn, &bea, &bea, disabled).await.unwrap();
    assert!(!another_admits_an_admin(&mut conn, except, NOW).await.unwrap(), "disabled");
    disabled_operator::delete(&mut conn, &bea).await.unwrap();
    // A key for some tools lets nobody in as an administrator.
    revoke(&mut conn, other.key.key_id, NOW).await.unwrap();
    let mut scoped = key("bea", admin);
    scoped.key.scope.tools = ["billing".parse().unwrap()].into_iter().collect();
    insert(&mut conn, &scoped).await.unwrap();
    assert!(!another_admits_an_admin(&mut conn, except, NOW).await.unwrap());
}
