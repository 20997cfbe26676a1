//! A clock that is set is not time that passed.

use countersign_core::{
    skew::EVEN,
    sponsor::{DEFAULT_REVIEW, SponsorState, Transition},
};
use time::Duration;

use super::world::{TICK, World};
use crate::Error;

/// Beyond every period.
const FAR: Duration = Duration::days(100);

async fn stands(world: &World, size: usize) {
    assert_eq!(world.get_sponsor("alice").await.state, SponsorState::Active);
    assert_eq!(world.log_size().await, size);
}

#[tokio::test]
async fn a_clock_that_is_set_alone_ends_nothing() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let run = world.issue("alice").await.unwrap();
    let size = world.log_size().await;
    for by in [FAR, -FAR] {
        world.server_jumps(by);
        assert!(matches!(world.decide(&run.token, "read").await, Err(Error::ClockSkew { .. })));
        for _ in 0..4 {
            world.workers_look().await;
        }
        stands(&world, size).await;
        world.server_jumps(-by);
        world.database_is_off_by(by).await;
        for _ in 0..4 {
            world.workers_look().await;
        }
        stands(&world, size).await;
        assert!(matches!(world.decide(&run.token, "read").await, Err(Error::ClockSkew { .. })));
        world.database_is_off_by(Duration::ZERO).await;
    }
    // What stops is done all the same, and is dated by the time that is believed.
    world.server_jumps(FAR);
    let before = world.now() - FAR;
    assert_eq!(world.transition("bob", Transition::Revoke).await.unwrap().revoke_time, Some(before));
}

#[tokio::test]
async fn clocks_that_are_set_together_are_believed_after_a_minute() {
    let world = World::start().await;
    let size = world.log_size().await;
    world.server_jumps(DEFAULT_REVIEW);
    world.database_is_off_by(Duration::ZERO).await;
    for _ in 0..4 {
        world.workers_look().await;
    }
    stands(&world, size).await;
    world.passes(EVEN - TICK).await;
    world.workers_look().await;
    stands(&world, size).await;
    world.passes(TICK).await;
    world.workers_look().await;
    assert_eq!(world.get_sponsor("alice").await.state, SponsorState::Suspended);
}

#[tokio::test]
async fn after_days_without_anybody_looking_the_next_call_is_answered() {
    let world = World::start().await;
    // A machine that was asleep: the partitions of the log were made two days ahead.
    world.passes(Duration::days(5)).await;
    let issued = world.issue("alice").await.unwrap();
    assert!(world.reads(&issued.token).await);
}
