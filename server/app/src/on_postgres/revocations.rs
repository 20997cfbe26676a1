//! Revocations are forgotten once nothing lives that they could stop.

use countersign_core::{revocation::ENTRIES_KEPT, sponsor::Transition};
use countersign_ledger::leaf::Kind;

use super::world::{TICK, World};

#[tokio::test]
async fn an_entry_is_forgotten_when_every_credential_from_before_has_expired() {
    let world = World::start().await;
    world.sponsor("bob").await;
    world.transition("bob", Transition::Suspend).await.unwrap();
    world.passes_and_workers_look(ENTRIES_KEPT).await;
    assert_eq!(world.events(Kind::RevocationFloorMoved).await.len(), 0);
    let issued = world.issue("alice").await.unwrap();
    world.passes_and_workers_look(TICK).await;
    let moved = world.events(Kind::RevocationFloorMoved).await;
    assert_eq!(moved.len(), 1);
    assert!(world.reads(&issued.token).await, "it was granted after the entry");
    world.workers_look().await;
    assert_eq!(world.events(Kind::RevocationFloorMoved).await.len(), 1);
}
