//! A proposal waits a quarter of an hour; an extension that was confirmed ends by itself.

use countersign_core::cache_extension::{CacheExtensionState, PATIENCE};
use time::Duration;

use super::world::{TICK, World};
use crate::{CacheExtensionChanged, CacheExtensionStep, ChangeCacheExtension, Error, ProposeCacheExtension};

/// How long the extension holds.
const LIFE: Duration = Duration::minutes(40);

async fn propose(world: &World) -> Result<CacheExtensionChanged, Error> {
    let command = ProposeCacheExtension { extend_to_seconds: 120, life_seconds: 2_400, reason: "an outage".to_owned() };
    world.app.propose_cache_extension(&world.rita, command, None).await
}

async fn confirm(world: &World, proposed: &CacheExtensionChanged) -> Result<CacheExtensionChanged, Error> {
    let command = ChangeCacheExtension {
        cache_extension_id: proposed.cache_extension.cache_extension_id,
        step: CacheExtensionStep::Confirm,
        reason: "an outage".to_owned(),
        etag: None,
    };
    world.app.change_cache_extension(&world.oscar, command, None).await
}

#[tokio::test]
async fn a_proposal_that_nobody_confirms_lapses() {
    let world = World::start().await;
    let proposed = propose(&world).await.unwrap();
    world.passes_and_workers_look(PATIENCE - TICK).await;
    assert!(matches!(propose(&world).await, Err(Error::IllegalTransition(_))), "it waits");
    world.passes_and_workers_look(TICK).await;
    assert!(matches!(confirm(&world, &proposed).await, Err(Error::IllegalTransition(_))));
    confirm(&world, &propose(&world).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn an_extension_ends_by_itself_and_answers_never_outlive_it() {
    let world = World::start().await;
    let run = async || world.issue("alice").await.unwrap().token;
    let ttl = async |token: &str| world.decide(token, "read").await.unwrap().extended_cache_ttl_seconds;
    let proposed = propose(&world).await.unwrap();
    assert_eq!(ttl(&run().await).await, 0, "not confirmed");
    world.passes_and_workers_look(Duration::minutes(10)).await;
    confirm(&world, &proposed).await.unwrap();
    assert_eq!(ttl(&run().await).await, 120);
    world.passes_and_workers_look(LIFE - Duration::seconds(60)).await;
    assert_eq!(ttl(&run().await).await, 60, "what is left");
    world.passes_and_workers_look(Duration::seconds(60) - TICK).await;
    let stands = world.app.list_cache_extensions(crate::PageRequest { size: 1, after: None }).await.unwrap();
    assert_eq!(stands.items[0].1, CacheExtensionState::Active);
    assert_eq!(ttl(&run().await).await, 0, "less than a second is left");
    world.passes_and_workers_look(TICK).await;
    let stands = world.app.list_cache_extensions(crate::PageRequest { size: 1, after: None }).await.unwrap();
    assert_eq!(stands.items[0].1, CacheExtensionState::Ended);
    propose(&world).await.unwrap();
}
