use countersign_core::operator::{Operator, OperatorRole, Roles};
use countersign_store::{
    Page, StoreError, disabled_operator,
    disabled_operator::Disabled,
    operator::{any, get, insert, list, update},
};

use crate::support::{NOW, TICK, World, exists, is_listed};

pub(crate) async fn add(world: &World, id: &str, roles: &[OperatorRole]) -> Operator {
    let operator = Operator::new(id.parse().unwrap(), format!("{id}'s name"), Roles::of(roles), NOW);
    insert(&mut *world.conn().await, &operator, &"admin".parse().unwrap()).await.unwrap();
    operator
}

#[tokio::test]
async fn the_first_one_is_seen_and_an_id_is_taken_once() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    assert!(!any(&mut conn).await.unwrap());
    let mut rita = add(&world, "rita", &[OperatorRole::Registrar]).await;
    assert!(any(&mut conn).await.unwrap());
    assert_eq!(get(&mut conn, &rita.operator_id).await.unwrap(), Some(rita.clone()));
    assert_eq!(exists(insert(&mut conn, &rita, &rita.operator_id).await), "operator_pkey");
    rita = Operator { roles: Roles::of(&[]), revision: 2, ..rita };
    update(&mut conn, &rita).await.unwrap();
    assert_eq!(get(&mut conn, &rita.operator_id).await.unwrap(), Some(rita));
}

#[tokio::test]
async fn who_is_disabled_stays_listed_and_who_is_deleted_does_not() {
    let world = World::start().await;
    for id in ["ann", "bea", "cid"] {
        add(&world, id, &[OperatorRole::Approver]).await;
    }
    add(&world, "dan", &[]).await;
    let disable = async |id: &str, deleted, at| {
        let disabled = Disabled { time: at, deleted };
        let mut conn = world.conn().await;
        disabled_operator::insert(&mut conn, &id.parse().unwrap(), &"ann".parse().unwrap(), disabled).await.unwrap();
    };
    disable("bea", false, NOW).await;
    disable("cid", false, NOW).await;
    disable("cid", true, NOW + TICK).await;
    disable("cid", false, NOW + TICK + TICK).await;
    let cid = get(&mut *world.conn().await, &"cid".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (cid.disable_time, cid.deleted),
        (Some(NOW), true),
        "the first time stays, and so does that it is for good"
    );

    let listed = async |role, deleted, request| {
        let found = list(&mut *world.conn().await, role, deleted, &request).await?;
        Ok::<Page<String>, StoreError>(found.map(|operator| operator.operator_id.to_string()))
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    is_listed(&names(&["ann", "bea", "dan"]), async |request| listed(None, false, request).await).await;
    is_listed(&names(&["ann", "bea", "cid", "dan"]), async |request| listed(None, true, request).await).await;
    let approvers = Some(OperatorRole::Approver);
    is_listed(&names(&["ann", "bea"]), async |request| listed(approvers, false, request).await).await;

    let mut conn = world.conn().await;
    disabled_operator::delete(&mut conn, &"bea".parse().unwrap()).await.unwrap();
    assert_eq!(disabled_operator::get(&mut conn, &"bea".parse().unwrap()).await.unwrap(), None);
    assert_eq!(disabled_operator::all(&mut conn).await.unwrap(), ["cid".parse().unwrap()]);
}
