use countersign_core::{
    ids::{PolicyVersion, RolloutId},
    rollout::{Baseline, Gates, Percent, Rollout, RolloutState, Scope, StickyKey},
};
use countersign_store::{
    Page, StoreError,
    rollout::{RolloutFilter, get, insert, list, open, update},
};

use crate::{
    policy::add,
    support::{NOW, TICK, World, exists, id, is_listed},
};

pub(crate) fn rollout(millis: i64, candidate: i64) -> Rollout {
    Rollout {
        rollout_id: RolloutId(id(millis)),
        baseline: Baseline::Observe,
        candidate: PolicyVersion(candidate),
        percent: Percent::of::<10>(),
        sticky_key: StickyKey::Sponsor,
        state: RolloutState::Running,
        steps: vec![Percent::of::<10>(), Percent::ALL],
        increment_per_day: None,
        gates: Gates::default(),
        min_soak_seconds: 3_600,
        scope: Scope { tools: vec!["a\"b".to_owned()], ..Scope::default() },
        salt: [8; 32],
        create_time: NOW,
        advance_time: NOW,
        gates_since: NOW,
        person_percent: Percent::of::<10>(),
        rollback_reason: None,
        revision: 1,
        created_by: None,
        end_time: None,
    }
}

#[tokio::test]
async fn one_rollout_is_open_whoever_starts_it() {
    let world = World::start().await;
    add(&world, 1).await;
    let mut conn = world.conn().await;
    assert_eq!(open(&mut conn).await.unwrap(), None);
    let both = [rollout(1, 1), rollout(2, 1)];
    let attempt = async |rollout: &Rollout| insert(&mut *world.conn().await, rollout).await;
    let done = tokio::join!(attempt(&both[0]), attempt(&both[1]));
    let (won, lost) = if done.0.is_ok() { (&both[0], done.1) } else { (&both[1], done.0) };
    exists(lost);
    assert_eq!(open(&mut conn).await.unwrap().as_ref(), Some(won));
    let paused = Rollout { state: RolloutState::Paused, revision: 2, ..won.clone() };
    update(&mut conn, &paused).await.unwrap();
    exists(insert(&mut conn, &rollout(3, 1)).await);
    let undone = Rollout {
        state: RolloutState::RolledBack,
        percent: Percent::NONE,
        rollback_reason: Some("errors".to_owned()),
        end_time: Some(NOW + TICK),
        person_percent: Percent::NONE,
        gates_since: NOW + TICK,
        ..paused
    };
    update(&mut conn, &undone).await.unwrap();
    assert_eq!(get(&mut conn, undone.rollout_id).await.unwrap(), Some(undone));
    assert_eq!(open(&mut conn).await.unwrap(), None);
    insert(&mut conn, &rollout(3, 1)).await.unwrap();
}

#[tokio::test]
async fn what_an_older_server_left_out_is_read_as_it_meant() {
    let world = World::start().await;
    add(&world, 1).await;
    let mut conn = world.conn().await;
    let started = Rollout { increment_per_day: Some(Percent::of::<5>()), ..rollout(1, 1) };
    insert(&mut conn, &started).await.unwrap();
    world.sql("UPDATE rollout SET gates_since = NULL, person_percent = NULL").await;
    assert_eq!(
        get(&mut conn, started.rollout_id).await.unwrap(),
        Some(started),
        "since its last step, by its percentage"
    );
    let unknown = insert(&mut conn, &Rollout { state: RolloutState::Completed, ..rollout(2, 9) }).await;
    assert!(matches!(unknown, Err(StoreError::Database(_))), "a candidate that is not stored: {unknown:?}");
}

#[tokio::test]
async fn lists_are_newest_first_and_filters_meet() {
    let world = World::start().await;
    let mut all = Vec::new();
    for (millis, candidate, state) in [
        (1, 1, RolloutState::Completed),
        (2, 2, RolloutState::RolledBack),
        (3, 2, RolloutState::Completed),
        (4, 3, RolloutState::Running),
    ] {
        if candidate > i64::try_from(all.len()).unwrap() - 1 && millis != 3 {
            add(&world, candidate).await;
        }
        let create_time = NOW + TICK * i32::try_from(millis).unwrap();
        let rollout = Rollout { state, create_time, ..rollout(millis, candidate) };
        insert(&mut *world.conn().await, &rollout).await.unwrap();
        all.insert(0, rollout.rollout_id);
    }
    let listed = async |filter: RolloutFilter, request| {
        let found = list(&mut *world.conn().await, &filter, &request).await?;
        Ok::<Page<RolloutId>, StoreError>(found.map(|rollout| rollout.rollout_id))
    };
    let none = RolloutFilter::default;
    for (filter, expected) in [
        (none(), &all[..]),
        (RolloutFilter { state: Some(RolloutState::Completed), ..none() }, &[all[1], all[3]][..]),
        (RolloutFilter { candidate: Some(PolicyVersion(2)), ..none() }, &all[1..3]),
        (RolloutFilter { start_time: Some(NOW + TICK * 2), end_time: Some(NOW + TICK * 4), ..none() }, &all[1..3]),
    ] {
        is_listed(expected, async |request| listed(filter.clone(), request).await).await;
    }
}
