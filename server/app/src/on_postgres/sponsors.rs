//! What a sponsor's time does: 90 days to a review, 14 days for what a departed sponsor leaves behind.

use countersign_core::{
    instance::InstanceState,
    sponsor::{SponsorState, SuspendCause, Transition},
};
use countersign_ledger::leaf::Kind;
use time::Duration;

use super::world::{TICK, World};
use crate::{AcceptInstance, Error, IssuedCredential};

/// How long an approval of a sponsor is good.
const REVIEW: Duration = Duration::days(90);
/// How long what a departed sponsor leaves behind may be accepted.
const ORPHANS: Duration = Duration::days(14);

async fn state(world: &World, run: &IssuedCredential) -> InstanceState {
    world.app.get_instance(&world.rita, &run.agent_instance_id).await.unwrap().instance.state
}

#[tokio::test]
async fn a_review_lapses_after_90_days_and_not_before() {
    let world = World::start().await;
    world.sponsor("bob").await;
    world.passes_and_workers_look(REVIEW - TICK).await;
    assert_eq!(world.get_sponsor("bob").await.state, SponsorState::Active);
    let issued = world.issue("bob").await.unwrap();
    assert!(world.reads(&issued.token).await);

    world.passes_and_workers_look(TICK).await;
    let bob = world.get_sponsor("bob").await;
    assert_eq!((bob.state, bob.suspend_cause), (SponsorState::Suspended, Some(SuspendCause::ReviewLapsed)));
    assert!(matches!(world.issue("bob").await, Err(Error::SponsorNotActive { .. })));
    assert!(!world.reads(&issued.token).await, "within its 15 minutes");

    // Looked at again, by this server or another one.
    let size = world.log_size().await;
    world.workers_look().await;
    assert_eq!(world.log_size().await, size, "once");
}

#[tokio::test]
async fn a_review_renewed_at_the_last_moment_counts_90_days_anew() {
    let world = World::start().await;
    world.sponsor("bob").await;
    world.passes(REVIEW - TICK).await;
    world.app.housekeeping().await.unwrap();
    world.transition("bob", Transition::Recertify).await.unwrap();
    world.passes_and_workers_look(TICK).await;
    assert_eq!(world.get_sponsor("bob").await.state, SponsorState::Active);
    assert_eq!(world.get_sponsor("alice").await.state, SponsorState::Suspended, "whose review was not renewed");
    world.passes_and_workers_look(REVIEW - TICK - TICK).await;
    assert_eq!(world.get_sponsor("bob").await.state, SponsorState::Active);
    world.passes_and_workers_look(TICK).await;
    assert_eq!(world.get_sponsor("bob").await.state, SponsorState::Suspended);
}

#[tokio::test]
async fn orphans_are_revoked_after_14_days_and_not_before() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let (kept, lost) = (world.issue("bob").await.unwrap(), world.issue("bob").await.unwrap());
    world.transition("bob", Transition::Depart).await.unwrap();
    world.passes_and_workers_look(ORPHANS - TICK).await;
    for run in [&kept, &lost] {
        assert_eq!(state(&world, run).await, InstanceState::Orphaned);
    }
    let command = AcceptInstance {
        agent_instance_id: kept.agent_instance_id,
        sponsor_id: "alice".parse().unwrap(),
        reason: "goes on".to_owned(),
        etag: None,
    };
    // Oscar recorded the departure; who may call it at all is for the door to check.
    let by_oscar = world.app.accept_instance(&world.oscar, command.clone(), None).await;
    assert!(matches!(by_oscar, Err(Error::FourEyes(_))));
    world.app.accept_instance(&world.rita, command, None).await.unwrap();

    world.passes_and_workers_look(TICK).await;
    assert_eq!(state(&world, &kept).await, InstanceState::Live);
    assert_eq!(state(&world, &lost).await, InstanceState::Revoked);
    let revoked = world.events(Kind::InstanceRevoked).await;
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].leaf.agent_instance_id.as_deref(), Some(lost.agent_instance_id.to_string().as_str()));
    let size = world.log_size().await;
    world.workers_look().await;
    assert_eq!(world.log_size().await, size, "once");
}

#[tokio::test]
async fn orphans_whose_time_ended_while_no_server_ran_are_revoked_at_the_next_start() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let run = world.issue("bob").await.unwrap();
    world.transition("bob", Transition::Depart).await.unwrap();
    // The entry is made, and the server ends before the rows show it.
    world.passes(ORPHANS + Duration::days(3)).await;
    let world = world.restart().await;
    assert_eq!(state(&world, &run).await, InstanceState::Orphaned);
    world.workers_look().await;
    // The rows first, then the end of their time.
    world.workers_look().await;
    assert_eq!(state(&world, &run).await, InstanceState::Revoked);
    assert_eq!(world.events(Kind::InstanceOrphaned).await.len(), 1);
    assert_eq!(world.events(Kind::InstanceRevoked).await.len(), 1);
}

#[tokio::test]
async fn a_departed_sponsor_has_no_review() {
    let world = World::start().await;
    world.sponsor("bob").await;
    world.transition("bob", Transition::Depart).await.unwrap();
    world.passes_and_workers_look(REVIEW + Duration::DAY).await;
    let bob = world.get_sponsor("bob").await;
    assert_eq!((bob.state, bob.suspend_cause), (SponsorState::Departed, None));
    assert_eq!(bob.departure.unwrap().orphans_due_at, None, "there were none");
}
