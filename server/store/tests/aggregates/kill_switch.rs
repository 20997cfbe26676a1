use countersign_core::{
    ids::KillSwitchId,
    kill_switch::{KillSwitch, KillSwitchScope, Target},
};
use countersign_store::{
    Page, StoreError,
    kill_switch::{all, count, delete, insert, list},
};

use crate::support::{NOW, World, exists, id, is_listed};

fn switch(millis: i64, scope: KillSwitchScope, target: &str) -> KillSwitch {
    KillSwitch {
        kill_switch_id: KillSwitchId(id(millis)),
        target: Target::new(scope, target).unwrap(),
        reason: "a drill".to_owned(),
        engaged_by: "gate".parse().unwrap(),
        engage_time: NOW,
    }
}

#[tokio::test]
async fn switches_are_listed_newest_first_and_one_is_released_once() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    // Two of one target are two.
    let switches = [
        switch(1, KillSwitchScope::Tool, "billing"),
        switch(2, KillSwitchScope::All, ""),
        switch(3, KillSwitchScope::Tool, "billing"),
    ];
    for switch in &switches {
        insert(&mut conn, switch).await.unwrap();
    }
    assert_eq!(exists(insert(&mut conn, &switches[0]).await), "kill_switch_pkey");
    let newest: Vec<_> = switches.iter().rev().cloned().collect();
    assert_eq!((all(&mut conn).await.unwrap(), count(&mut conn).await.unwrap()), (newest.clone(), 3));
    let listed = async |scope, request| {
        let found = list(&mut *world.conn().await, scope, &request).await?;
        Ok::<Page<KillSwitch>, StoreError>(found)
    };
    is_listed(&newest, async |request| listed(None, request).await).await;
    let tools = [newest[0].clone(), newest[2].clone()];
    is_listed(&tools, async |request| listed(Some(KillSwitchScope::Tool), request).await).await;
    is_listed(&[], async |request| listed(Some(KillSwitchScope::Role), request).await).await;

    let id = switches[1].kill_switch_id;
    assert_eq!(delete(&mut conn, id).await.unwrap(), Some(switches[1].clone()));
    assert_eq!(delete(&mut conn, id).await.unwrap(), None);
    assert_eq!(count(&mut conn).await.unwrap(), 2);
}
