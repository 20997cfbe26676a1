use countersign_core::{ids::PolicyVersion, rollout::Baseline};
use countersign_store::{
    Page, StoreError,
    policy::{
        NewPolicy, PolicyFilter, PolicyState, active, active_baseline, by_content, get, insert, last_active, likely,
        list, mark, next_version, set_standing,
    },
    rollout,
};

use crate::support::{NOW, TICK, World, exists, is_listed};

pub(crate) async fn add(world: &World, version: i64) {
    let by = "rita".parse().unwrap();
    let policy = NewPolicy {
        version: PolicyVersion(version),
        content_hash: [u8::try_from(version).unwrap(); 32],
        document: "rules: []\n",
        cedar: "",
        rule_count: 0,
        created_by: &by,
        create_time: NOW + TICK * i32::try_from(version).unwrap(),
        log_index: version,
    };
    insert(&mut *world.conn().await, &policy).await.unwrap();
}

#[tokio::test]
async fn one_baseline_stands_and_the_last_version_is_remembered() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    assert_eq!(next_version(&mut conn).await.unwrap(), PolicyVersion(1));
    assert_eq!((active_baseline(&mut conn).await.unwrap(), last_active(&mut conn).await.unwrap()), (None, None));
    for version in 1..=4 {
        add(&world, version).await;
    }
    assert_eq!(next_version(&mut conn).await.unwrap(), PolicyVersion(5));
    assert_eq!(by_content(&mut conn, &[3; 32]).await.unwrap(), Some((PolicyVersion(3), 3)));
    assert_eq!(by_content(&mut conn, &[9; 32]).await.unwrap(), None);
    let by = "rita".parse().unwrap();
    let mut marks = vec![mark(&mut conn).await.unwrap()];
    for (n, baseline) in (1..).zip([Baseline::Version(PolicyVersion(1)), Baseline::Observe, Baseline::Deny]) {
        set_standing(&mut conn, baseline, &by, NOW + TICK * n).await.unwrap();
        assert_eq!(active_baseline(&mut conn).await.unwrap(), Some(baseline));
        assert_eq!(last_active(&mut conn).await.unwrap(), Some(PolicyVersion(1)));
        marks.push(mark(&mut conn).await.unwrap());
    }
    marks.dedup();
    assert_eq!(marks.len(), 4, "each change is seen");
    assert_eq!(active(&mut conn).await.unwrap(), None);
    let nothing = set_standing(&mut conn, Baseline::Version(PolicyVersion(9)), &by, NOW).await;
    assert!(matches!(nothing, Err(StoreError::Database(_))), "{nothing:?}");
    let mut kept: Vec<_> = likely(&mut conn).await.unwrap().into_iter().map(|version| version.0).collect();
    kept.sort_unstable();
    assert_eq!(kept, [1, 3, 4], "the newest two, and the one that stood last");
}

#[tokio::test]
async fn a_version_is_listed_by_what_it_is_used_for() {
    let world = World::start().await;
    for version in 1..=12 {
        add(&world, version).await;
    }
    let mut conn = world.conn().await;
    let by = "rita".parse().unwrap();
    set_standing(&mut conn, Baseline::Version(PolicyVersion(2)), &by, NOW).await.unwrap();
    rollout::insert(&mut conn, &crate::rollout::rollout(1, 10)).await.unwrap();
    for (version, state) in [(1, PolicyState::Stored), (2, PolicyState::Active), (10, PolicyState::Candidate)] {
        assert_eq!(get(&mut conn, PolicyVersion(version)).await.unwrap().unwrap().state, state);
    }
    let listed = async |filter: PolicyFilter, request| {
        let found = list(&mut *world.conn().await, &filter, &request).await?;
        Ok::<Page<i64>, StoreError>(found.map(|policy| policy.version.0))
    };
    // By number, not by text.
    let all = [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    is_listed(&all, async |request| listed(PolicyFilter::default(), request).await).await;
    let state = |state| PolicyFilter { state: Some(state), ..PolicyFilter::default() };
    is_listed(&[2], async |request| listed(state(PolicyState::Active), request).await).await;
    is_listed(&[10], async |request| listed(state(PolicyState::Candidate), request).await).await;
    let some = PolicyFilter { start_time: Some(NOW + TICK * 3), end_time: Some(NOW + TICK * 5), state: None };
    is_listed(&[4, 3], async |request| listed(some.clone(), request).await).await;
}

#[tokio::test]
async fn a_document_is_stored_once() {
    let world = World::start().await;
    add(&world, 1).await;
    let by = "rita".parse().unwrap();
    let same = NewPolicy {
        version: PolicyVersion(2),
        content_hash: [1; 32],
        document: "",
        cedar: "",
        rule_count: 0,
        created_by: &by,
        create_time: NOW,
        log_index: 2,
    };
    assert_eq!(exists(insert(&mut *world.conn().await, &same).await), "policy_content_hash_key");
}
