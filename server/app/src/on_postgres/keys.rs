//! Signing keys and X.509 authorities turn by the clock.

use countersign_core::{credential::KeyStanding, signing_key::PUBLISHED_BEFORE_ROTATION};
use countersign_ledger::leaf::Kind;
use countersign_store::x509_authority;
use time::Duration;

use super::world::{KEY_ROTATION, TICK, World};
use crate::{MarkKeyCompromised, PageRequest};

async fn kid(world: &World, state: KeyStanding) -> String {
    let page = PageRequest { size: 10, after: None };
    let listed = world.app.list_signing_keys(Some(state), page).await.unwrap();
    listed.items.into_iter().next().unwrap().kid
}

/// The `kid`s that verifiers are told.
fn published(world: &World) -> Vec<String> {
    let keys = world.app.jwks();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_signing_key_signs_for_its_time_and_what_it_signed_is_verified_until_it_expires() {
    let world = World::start().await;
    let (active, next) = (kid(&world, KeyStanding::Active).await, kid(&world, KeyStanding::Next).await);
    world.passes_and_workers_look(KEY_ROTATION - TICK).await;
    assert_eq!(kid(&world, KeyStanding::Active).await, active);
    let issued = world.issue("alice").await.unwrap();

    world.passes_and_workers_look(TICK).await;
    assert_eq!(kid(&world, KeyStanding::Active).await, next, "the one that was published before");
    assert_eq!(kid(&world, KeyStanding::Retired).await, active);
    assert_ne!(kid(&world, KeyStanding::Next).await, next);
    assert!(published(&world).contains(&active));
    assert!(world.reads(&issued.token).await);
    world.passes_and_workers_look(Duration::seconds(899)).await;
    assert!(world.reads(&issued.token).await);

    world.passes_and_workers_look(Duration::DAY).await;
    assert!(!published(&world).contains(&active), "nothing living was signed by it");
    assert_eq!(world.events(Kind::KeyActivated).await.len(), 2, "the first one, and once more");
}

#[tokio::test]
async fn a_key_that_is_due_waits_for_the_next_one_to_be_known() {
    let world = World::start().await;
    world.passes_and_workers_look(KEY_ROTATION - Duration::MINUTE).await;
    // The next key leaked: another one takes its place, which verifiers have not fetched yet.
    let command =
        MarkKeyCompromised { kid: kid(&world, KeyStanding::Next).await, reason: "leaked".to_owned(), etag: None };
    world.app.mark_key_compromised(&world.rita, command, None).await.unwrap();
    world.workers_look().await;
    let (active, next) = (kid(&world, KeyStanding::Active).await, kid(&world, KeyStanding::Next).await);
    world.passes_and_workers_look(PUBLISHED_BEFORE_ROTATION - TICK).await;
    assert_eq!(kid(&world, KeyStanding::Active).await, active, "due for nine minutes");
    world.passes_and_workers_look(TICK).await;
    assert_eq!(kid(&world, KeyStanding::Active).await, next);
}

/// When each authority begins to sign and when it leaves, as stored.
async fn authorities(world: &World) -> Vec<(Duration, Duration)> {
    let mut conn = world.app.inner.engine.store.connection().await.unwrap();
    let listed = x509_authority::list(&mut conn, "time.example").await.unwrap();
    listed.iter().map(|stored| (stored.sign_from - world.now(), stored.expire_time - world.now())).collect()
}

#[tokio::test]
async fn an_authority_signs_for_a_day_and_stays_an_hour_longer() {
    let (day, hour) = (Duration::DAY, Duration::HOUR);
    let world = World::start().await;
    let at_first = vec![(Duration::ZERO, day + hour), (day, 2 * day + hour)];
    assert_eq!(authorities(&world).await, at_first, "one signs, and the next one is known a day ahead");
    world.passes_and_workers_look(day - TICK).await;
    assert_eq!(authorities(&world).await.len(), 2);
    world.passes_and_workers_look(TICK).await;
    let turned = authorities(&world).await;
    assert_eq!(turned, [(-day, hour), (Duration::ZERO, day + hour), (day, 2 * day + hour)]);
    world.passes_and_workers_look(hour - TICK).await;
    assert_eq!(authorities(&world).await.len(), 3, "what it signed last may still live");
    world.passes_and_workers_look(day).await;
    assert_eq!(authorities(&world).await.len(), 3, "one left as another one came");
    // After a week without a server the first of all is made anew.
    world.passes(7 * day).await;
    let world = world.restart().await;
    assert!(authorities(&world).await.contains(&(Duration::ZERO, day + hour)));
}
