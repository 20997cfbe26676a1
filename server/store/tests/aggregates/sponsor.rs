use std::collections::BTreeMap;

use countersign_core::sponsor::{Departure, Sponsor, SponsorState, SuspendCause};
use countersign_store::{Page, StoreError, revocation, settlement, sponsor, sponsor::SponsorFilter};
use time::Duration;

use crate::support::{NOW, TICK, World, exists, is_listed, page};

pub(crate) fn sponsor(id: &str) -> Sponsor {
    Sponsor {
        sponsor_id: id.parse().unwrap(),
        display_name: "Ümit \"O'Neil\" \u{1f600}".to_owned(),
        email: String::new(),
        person_id: None,
        person_confirmed: false,
        terms_by: Vec::new(),
        roles: vec!["support".parse().unwrap(), "user".parse().unwrap()],
        max_ttl_seconds: 900,
        max_depth: 8,
        state: SponsorState::Pending,
        review_due_at: None,
        create_time: NOW,
        approve_time: None,
        revoke_time: None,
        revision: 1,
        labels: BTreeMap::from([("team".to_owned(), "a b\\\"c".to_owned())]),
        registered_by: "rita".parse().unwrap(),
        changed_by: None,
        suspend_cause: None,
        departure: None,
        grant_leaf: None,
    }
}

/// Stores one in this state, with a review that is due then.
pub(crate) async fn active(world: &World, id: &str) -> Sponsor {
    let sponsor = Sponsor { state: SponsorState::Active, review_due_at: Some(NOW), ..sponsor(id) };
    sponsor::insert(&mut *world.conn().await, &sponsor).await.unwrap();
    sponsor
}

#[tokio::test]
async fn what_is_stored_is_read_with_and_without_every_optional_field() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let mut bob = sponsor("bob");
    sponsor::insert(&mut conn, &bob).await.unwrap();
    assert_eq!(sponsor::get(&mut conn, &bob.sponsor_id).await.unwrap(), Some(bob.clone()));
    bob = Sponsor {
        person_id: Some("person-1".parse().unwrap()),
        person_confirmed: true,
        terms_by: vec!["oscar".parse().unwrap()],
        changed_by: Some("oscar".parse().unwrap()),
        state: SponsorState::Departed,
        review_due_at: Some(NOW + TICK),
        approve_time: Some(NOW - TICK),
        revoke_time: Some(NOW),
        departure: Some(Departure {
            time: NOW,
            recorded_by: "oscar".parse().unwrap(),
            revocation_seq: i64::MAX,
            orphans_due_at: None,
        }),
        grant_leaf: Some([255; 32]),
        revision: 2,
        labels: BTreeMap::new(),
        roles: Vec::new(),
        ..bob
    };
    sponsor::update(&mut conn, &bob).await.unwrap();
    assert_eq!(sponsor::get(&mut conn, &bob.sponsor_id).await.unwrap(), Some(bob.clone()));
    let found = sponsor::get_all(&mut conn, &["nobody".to_owned(), "bob".to_owned()]).await.unwrap();
    assert_eq!(found, [bob]);
    assert_eq!(sponsor::get(&mut conn, &"nobody".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn an_id_is_taken_once_and_bounds_are_the_database_s_too() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    sponsor::insert(&mut conn, &sponsor("bob")).await.unwrap();
    assert_eq!(exists(sponsor::insert(&mut conn, &sponsor("bob")).await), "sponsor_pkey");
    for wrong in [
        Sponsor { max_ttl_seconds: 901, ..sponsor("x") },
        Sponsor { max_ttl_seconds: 0, ..sponsor("x") },
        Sponsor { max_depth: 9, ..sponsor("x") },
    ] {
        assert!(matches!(sponsor::insert(&mut conn, &wrong).await, Err(StoreError::Database(_))));
    }
    let large = Sponsor { max_ttl_seconds: u32::MAX, ..sponsor("x") };
    assert!(matches!(sponsor::insert(&mut conn, &large).await, Err(StoreError::TooLarge { .. })));
    let zero = Sponsor { display_name: "a\0b".to_owned(), ..sponsor("x") };
    assert!(matches!(sponsor::insert(&mut conn, &zero).await, Err(StoreError::Text(_))));
    let zero = Sponsor { labels: BTreeMap::from([("a".to_owned(), "\0".to_owned())]), ..sponsor("x") };
    assert!(matches!(sponsor::insert(&mut conn, &zero).await, Err(StoreError::Text(_))), "inside of JSON");
    assert_eq!(sponsor::get(&mut conn, &"x".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn lists_are_in_the_order_of_bytes_and_filters_meet() {
    let world = World::start().await;
    // In the order of the bytes, which is not that of any language.
    for id in ["b-2", "a", "b.1", "b", "z", "b_3", "b1"] {
        let state = if id == "z" { SponsorState::Pending } else { SponsorState::Active };
        // NULL is due at no time.
        let review_due_at = (id != "a").then_some(NOW);
        let roles = if id == "b" { Vec::new() } else { vec!["user".parse().unwrap()] };
        let sponsor = Sponsor { state, review_due_at, roles, ..sponsor(id) };
        sponsor::insert(&mut *world.conn().await, &sponsor).await.unwrap();
    }
    let list = async |filter: SponsorFilter, request| {
        let listed = sponsor::list(&mut *world.conn().await, &filter, &request).await?;
        Ok::<Page<String>, StoreError>(listed.map(|sponsor| sponsor.sponsor_id.to_string()))
    };
    let all = ["a", "b", "b-2", "b.1", "b1", "b_3", "z"].map(str::to_owned);
    is_listed(&all, async |request| list(SponsorFilter::default(), request).await).await;
    let filter = SponsorFilter {
        state: Some(SponsorState::Active),
        role: Some("user".parse().unwrap()),
        review_due_before: None,
    };
    let met = ["a", "b-2", "b.1", "b1", "b_3"].map(str::to_owned);
    is_listed(&met, async |request| list(filter.clone(), request).await).await;
    let due = |at| SponsorFilter { review_due_before: Some(at), ..SponsorFilter::default() };
    is_listed(&all[1..], async |request| list(due(NOW + TICK), request).await).await;
    is_listed(&[], async |request| list(due(NOW), request).await).await;
    let wrong = page(1, Some("no name!".to_owned()));
    let listed = sponsor::list(&mut *world.conn().await, &SponsorFilter::default(), &wrong).await;
    assert!(matches!(listed, Err(StoreError::Cursor)));
}

#[tokio::test]
async fn reviews_lapse_at_their_instant_the_longest_overdue_first() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    for (id, state, due) in [
        ("never", SponsorState::Active, None),
        ("now", SponsorState::Active, Some(NOW)),
        ("long", SponsorState::Active, Some(NOW - Duration::DAY)),
        ("later", SponsorState::Active, Some(NOW + TICK)),
        ("pending", SponsorState::Pending, Some(NOW - Duration::DAY)),
        ("suspended", SponsorState::Active, Some(NOW - Duration::DAY)),
    ] {
        sponsor::insert(&mut conn, &Sponsor { state, review_due_at: due, ..sponsor(id) }).await.unwrap();
    }
    let suspended = Sponsor {
        state: SponsorState::Suspended,
        suspend_cause: Some(SuspendCause::Operator),
        review_due_at: Some(NOW - Duration::DAY),
        ..sponsor("suspended")
    };
    sponsor::update(&mut conn, &suspended).await.unwrap();
    assert_eq!(sponsor::get(&mut conn, &suspended.sponsor_id).await.unwrap(), Some(suspended.clone()));
    let causeless = Sponsor { suspend_cause: None, ..suspended };
    assert!(matches!(sponsor::update(&mut conn, &causeless).await, Err(StoreError::Database(_))));
    let lapsed = sponsor::review_lapsed(&mut conn, NOW, 10).await.unwrap();
    assert_eq!(lapsed.iter().map(ToString::to_string).collect::<Vec<_>>(), ["long", "now"]);
    assert_eq!(sponsor::review_lapsed(&mut conn, NOW, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn orphans_are_due_only_once_their_rows_show_the_departure() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    sponsor::insert(&mut conn, &sponsor("bob")).await.unwrap();
    let departure =
        Departure { time: NOW, recorded_by: "oscar".parse().unwrap(), revocation_seq: 2, orphans_due_at: Some(NOW) };
    let bob = Sponsor { state: SponsorState::Departed, departure: Some(departure), ..sponsor("bob") };
    sponsor::update(&mut conn, &bob).await.unwrap();
    let entries = [crate::revocation::entry(1, "all", ""), crate::revocation::entry(2, "sponsor", "bob")];
    revocation::insert(&mut conn, &entries).await.unwrap();
    for (settled, due) in [(1, 0), (2, 1), (3, 1)] {
        settlement::advance(&mut conn, settled).await.unwrap();
        assert_eq!(sponsor::orphans_due(&mut conn, NOW, 10).await.unwrap().len(), due, "settled {settled}");
        assert_eq!(sponsor::orphans_due(&mut conn, NOW - TICK, 10).await.unwrap().len(), 0);
    }
    settlement::advance(&mut conn, 1).await.unwrap();
    assert_eq!(sponsor::orphans_due(&mut conn, NOW, 10).await.unwrap().len(), 1, "it never goes back");
}
