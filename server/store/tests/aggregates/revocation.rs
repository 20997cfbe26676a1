use countersign_core::{
    ids::InstanceId,
    instance::{Instance, InstanceState},
    revocation::Revocation,
    sponsor::{Departure, Sponsor, SponsorState},
};
use countersign_store::{
    instance,
    revocation::{insert, kept, older},
    settlement::{advance, has_orphans, is_behind, next, settle, stopped},
    sponsor,
};

use crate::{
    instance::{child, root},
    support::{NOW, TICK, World, exists},
};

/// Made at [`NOW`].
pub(crate) fn entry(seq: i64, kind: &str, id: &str) -> Revocation {
    Revocation { seq, kind: kind.parse().unwrap(), id: id.to_owned(), create_time: NOW }
}

#[tokio::test]
async fn entries_of_signing_keys_are_kept_below_the_floor() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let entries = [entry(1, "sponsor", "bob"), entry(2, "key", "kid"), entry(3, "tool", "x"), entry(4, "all", "")];
    insert(&mut conn, &entries).await.unwrap();
    assert_eq!(kept(&mut conn, 0).await.unwrap(), entries);
    assert_eq!(kept(&mut conn, 3).await.unwrap(), [entries[1].clone(), entries[3].clone()]);
    assert_eq!(exists(insert(&mut conn, &[entry(4, "all", "")]).await), "revocation_pkey");
    insert(&mut conn, &[]).await.unwrap();
}

#[tokio::test]
async fn the_floor_stops_before_the_first_entry_that_may_still_matter() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    assert_eq!(older(&mut conn, 0, NOW).await.unwrap(), 0);
    // The third was dated by a clock that was behind: what comes after a younger one is not passed over.
    let at = [NOW - TICK, NOW, NOW - TICK, NOW + TICK];
    let entries: Vec<_> =
        (1..).zip(at).map(|(seq, create_time)| Revocation { create_time, ..entry(seq, "tool", "x") }).collect();
    insert(&mut conn, &entries).await.unwrap();
    for (floor, before, expected) in [
        (0, NOW - TICK, 0),
        (0, NOW, 1),
        (1, NOW, 1),
        (2, NOW, 3),
        (0, NOW + TICK, 3),
        (0, NOW + TICK + TICK, 4),
        (4, NOW + TICK + TICK, 4),
        (9, NOW, 9),
    ] {
        assert_eq!(older(&mut conn, floor, before).await.unwrap(), expected, "{floor} {before}");
    }
}

#[tokio::test]
async fn rows_follow_entries_in_their_order_and_each_once() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    for name in ["bob", "eve"] {
        crate::sponsor::active(&world, name).await;
    }
    let parent = root(1, "bob");
    let below = child(2, &parent);
    let expired = Instance { expire_time: NOW, ..root(3, "bob") };
    let renewed = Instance { rev: 1, ..root(4, "bob") };
    let other = root(5, "eve");
    instance::upsert(&mut conn, [&parent, &below, &expired, &renewed, &other]).await.unwrap();
    assert_eq!(next(&mut conn).await.unwrap(), None);
    assert!(!is_behind(&mut conn).await.unwrap());
    let entries = [
        entry(1, "sponsor", "bob"),
        entry(2, "tool", "billing"),
        entry(3, "instance", &parent.agent_instance_id.to_string()),
    ];
    insert(&mut conn, &entries).await.unwrap();
    world.sql("UPDATE log_head SET revocation_seq = 3").await;
    assert!(is_behind(&mut conn).await.unwrap());

    let pending = next(&mut conn).await.unwrap().unwrap();
    assert_eq!((pending.entry.seq, pending.departure), (1, false));
    let mut found = ids(stopped(&mut conn, &pending, 10).await.unwrap());
    found.sort();
    assert_eq!(found, [parent.agent_instance_id, below.agent_instance_id], "not who expired, or was renewed after it");
    assert_eq!(stopped(&mut conn, &pending, 1).await.unwrap().len(), 1);
    settle(&mut conn, &found, InstanceState::Revoked, Some(NOW)).await.unwrap();
    assert_eq!(stopped(&mut conn, &pending, 10).await.unwrap(), []);
    advance(&mut conn, 1).await.unwrap();
    let pending = next(&mut conn).await.unwrap().unwrap();
    assert_eq!(pending.entry.seq, 3, "entries of tools stop no instance");
    assert_eq!(stopped(&mut conn, &pending, 10).await.unwrap(), [], "it was stopped before");
}

#[tokio::test]
async fn a_departure_orphans_and_a_later_entry_revokes_the_orphans() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let bob = crate::sponsor::active(&world, "bob").await;
    let run = root(1, "bob");
    instance::upsert(&mut conn, [&run]).await.unwrap();
    let departure =
        Departure { time: NOW, recorded_by: "oscar".parse().unwrap(), revocation_seq: 1, orphans_due_at: Some(NOW) };
    let gone = Sponsor { state: SponsorState::Departed, departure: Some(departure), ..bob };
    sponsor::update(&mut conn, &gone).await.unwrap();
    insert(&mut conn, &[entry(1, "sponsor", "bob"), entry(2, "sponsor", "bob")]).await.unwrap();
    let standing = async || {
        let found = instance::get_all(&mut *world.conn().await, &[run.agent_instance_id.0]).await.unwrap();
        found[0].instance.state
    };
    let pending = next(&mut conn).await.unwrap().unwrap();
    assert!(pending.departure);
    let found = ids(stopped(&mut conn, &pending, 10).await.unwrap());
    settle(&mut conn, &found, InstanceState::Orphaned, None).await.unwrap();
    advance(&mut conn, 1).await.unwrap();
    assert!(has_orphans(&mut conn, &gone.sponsor_id).await.unwrap());
    let pending = next(&mut conn).await.unwrap().unwrap();
    assert!(!pending.departure, "the second entry is no departure");
    assert_eq!(ids(stopped(&mut conn, &pending, 10).await.unwrap()), [run.agent_instance_id]);
    assert_eq!(standing().await, InstanceState::Revoked, "by the entry, whatever the row shows");
}

fn ids(stopped: Vec<countersign_store::settlement::StoppedInstance>) -> Vec<InstanceId> {
    stopped.into_iter().map(|instance| instance.agent_instance_id).collect()
}
