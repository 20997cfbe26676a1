use std::collections::BTreeMap;

use countersign_core::{
    ids::{CredentialId, InstanceId},
    instance::{Instance, InstanceState},
};
use countersign_store::{
    Page, StoreError,
    instance::{
        Holding, InstanceFilter, Live, Standing, chain, count_live, count_live_below, get_all, list, live, update,
        upsert,
    },
    revocation,
};
use time::Duration;

use crate::{
    revocation::entry,
    support::{NOW, TICK, World, id, is_listed},
};

/// A root of this sponsor that lives for a minute.
pub(crate) fn root(millis: i64, sponsor: &str) -> Instance {
    let agent_instance_id = InstanceId(id(millis));
    Instance {
        agent_instance_id,
        parent_agent_id: None,
        root_instance_id: agent_instance_id,
        chain: Vec::new(),
        sponsor_id: sponsor.parse().unwrap(),
        agent: "helper".parse().unwrap(),
        role: "support".parse().unwrap(),
        inherited_roles: Vec::new(),
        tools: vec!["billing".parse().unwrap()],
        purpose: "a \"purpose\"\n\u{1f600}".to_owned(),
        depth: 0,
        state: InstanceState::Live,
        labels: BTreeMap::new(),
        create_time: NOW,
        expire_time: NOW + Duration::MINUTE,
        end_time: None,
        rev: 0,
        custody_ref: [3; 32],
        revision: 1,
        on_behalf_of: None,
        parent_credential_id: None,
        root_agent: None,
    }
}

pub(crate) fn child(millis: i64, parent: &Instance) -> Instance {
    let mut chain = parent.chain.clone();
    chain.push(parent.agent_instance_id);
    Instance {
        parent_agent_id: Some(parent.agent_instance_id),
        root_instance_id: parent.root_instance_id,
        chain,
        depth: parent.depth + 1,
        inherited_roles: vec!["user".parse().unwrap()],
        on_behalf_of: Some("user 7".to_owned()),
        parent_credential_id: Some(CredentialId(id(0))),
        root_agent: Some("other".parse().unwrap()),
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        ..root(millis, parent.sponsor_id.as_str())
    }
}

async fn with_sponsors(names: &[&str]) -> World {
    let world = World::start().await;
    for name in names {
        crate::sponsor::active(&world, name).await;
    }
    world
}

#[tokio::test]
async fn a_renewal_keeps_what_an_instance_is_and_never_shortens_its_life() {
    let world = with_sponsors(&["bob"]).await;
    let mut conn = world.conn().await;
    let parent = root(1, "bob");
    let below = child(2, &parent);
    upsert(&mut conn, [&parent, &below]).await.unwrap();
    let mut found = get_all(&mut conn, &[below.agent_instance_id.0, id(9)]).await.unwrap();
    assert_eq!(found.pop().unwrap().instance, below);
    let renewed = Instance {
        expire_time: NOW + TICK,
        rev: 7,
        custody_ref: [4; 32],
        purpose: "another".to_owned(),
        sponsor_id: "bob".parse().unwrap(),
        revision: 99,
        ..parent.clone()
    };
    upsert(&mut conn, [&renewed]).await.unwrap();
    let kept = get_all(&mut conn, &[parent.agent_instance_id.0]).await.unwrap().pop().unwrap().instance;
    assert_eq!(kept, Instance { rev: 7, custody_ref: [4; 32], revision: 2, ..parent });
    let strangers = upsert(&mut conn, [&root(3, "nobody")]).await;
    assert!(matches!(strangers, Err(StoreError::Database(_))), "{strangers:?}");
}

#[tokio::test]
async fn entries_newer_than_the_last_credential_decide_what_stands() {
    let world = with_sponsors(&["bob", "eve"]).await;
    let mut conn = world.conn().await;
    let parent = root(1, "bob");
    let below = child(2, &parent);
    let renewed = Instance { rev: 2, ..root(3, "bob") };
    let other = root(4, "eve");
    upsert(&mut conn, [&parent, &below, &renewed, &other]).await.unwrap();
    let (bob, eve) = ("bob".parse().unwrap(), "eve".parse().unwrap());
    let counts = async || {
        let mut conn = world.conn().await;
        let of = [Holding::Sponsor("bob".parse().unwrap()), Holding::Chain(parent.root_instance_id)];
        let exactly = live(&mut conn, &of, NOW, true).await.unwrap();
        (count_live(&mut conn, &bob, NOW).await.unwrap(), exactly[0].count, exactly[1].count)
    };
    assert_eq!(counts().await, (3, 3, 2));
    revocation::insert(&mut conn, &[entry(1, "tool", "billing"), entry(2, "sponsor", "bob")]).await.unwrap();
    assert_eq!(counts().await, (1, 1, 0), "the one that was renewed after it");
    let roughly = live(&mut conn, &[Holding::Sponsor(bob.clone())], NOW, false).await.unwrap();
    assert_eq!(roughly[0].count, 3, "rows do not show it yet");
    let found = get_all(&mut conn, &[parent.agent_instance_id.0]).await.unwrap().pop().unwrap();
    assert_eq!((found.instance.state, found.row_state), (InstanceState::Revoked, InstanceState::Live));
    assert_eq!(found.instance.end_time, Some(NOW), "since the entry");

    revocation::insert(&mut conn, &[entry(3, "instance", &below.agent_instance_id.to_string())]).await.unwrap();
    assert_eq!(count_live(&mut conn, &eve, NOW).await.unwrap(), 1);
    revocation::insert(&mut conn, &[entry(4, "all", "")]).await.unwrap();
    assert_eq!(count_live(&mut conn, &eve, NOW).await.unwrap(), 0);
}

#[tokio::test]
async fn what_lives_is_counted_to_its_last_instant() {
    let world = with_sponsors(&["bob"]).await;
    let mut conn = world.conn().await;
    let first = root(1, "bob");
    let later = Instance { expire_time: NOW + Duration::HOUR, ..child(2, &first) };
    let leaf = child(3, &later);
    let ended = Instance { state: InstanceState::Ended, ..child(4, &first) };
    upsert(&mut conn, [&first, &later, &leaf, &ended]).await.unwrap();
    let end = first.expire_time;
    let of = [Holding::Chain(first.root_instance_id), Holding::Sponsor("nobody".parse().unwrap())];
    let none = Live { count: 0, next_expiry: None };
    let alive = Live { count: 3, next_expiry: Some(end) };
    assert_eq!(live(&mut conn, &of, end - TICK, true).await.unwrap(), [alive, none]);
    let alive = Live { count: 1, next_expiry: Some(later.expire_time) };
    assert_eq!(live(&mut conn, &of, end, false).await.unwrap(), [alive, none]);
    assert_eq!(count_live_below(&mut conn, &first, end - TICK).await.unwrap(), 2, "itself not counted");
    assert_eq!(count_live_below(&mut conn, &later, end - TICK).await.unwrap(), 1);
    assert_eq!(count_live_below(&mut conn, &leaf, NOW).await.unwrap(), 0);
    let listed = chain(&mut conn, first.root_instance_id, 3).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|found| found.instance.agent_instance_id).collect();
    assert_eq!(ids, [first.agent_instance_id, later.agent_instance_id, leaf.agent_instance_id]);
}

#[tokio::test]
async fn lists_say_who_has_expired_and_filters_meet() {
    let world = with_sponsors(&["bob", "eve"]).await;
    let mut conn = world.conn().await;
    let first = root(1, "bob");
    let second = child(2, &first);
    let expired = Instance { expire_time: NOW, create_time: NOW - TICK, ..root(3, "bob") };
    let ended = Instance { state: InstanceState::Ended, end_time: Some(NOW), ..root(4, "eve") };
    upsert(&mut conn, [&first, &second, &expired, &ended]).await.unwrap();
    update(&mut conn, &ended).await.unwrap();
    let listed = async |filter: InstanceFilter, request| {
        let found = list(&mut *world.conn().await, &filter, NOW, &request).await?;
        Ok::<Page<InstanceId>, StoreError>(found.map(|stored| stored.instance.agent_instance_id))
    };
    let all = [&ended, &expired, &second, &first].map(|instance| instance.agent_instance_id);
    let none = InstanceFilter::default;
    is_listed(&all, async |request| listed(none(), request).await).await;
    for (filter, expected) in [
        (InstanceFilter { sponsor_id: Some("bob".parse().unwrap()), ..none() }, &all[1..]),
        (InstanceFilter { standing: Some(Standing::Expired), ..none() }, &all[1..2]),
        (InstanceFilter { standing: Some(Standing::In(InstanceState::Live)), ..none() }, &all[2..]),
        (InstanceFilter { standing: Some(Standing::In(InstanceState::Ended)), ..none() }, &all[..1]),
        (InstanceFilter { parent_agent_id: Some(first.agent_instance_id), ..none() }, &all[2..3]),
        (InstanceFilter { root_instance_id: Some(first.agent_instance_id), ..none() }, &all[2..]),
        (InstanceFilter { end_time: Some(NOW), ..none() }, &all[1..2]),
        (InstanceFilter { agent: Some("nobody".parse().unwrap()), ..none() }, &[]),
        (
            InstanceFilter { start_time: Some(NOW), role: Some("support".parse().unwrap()), ..none() },
            &[all[0], all[2], all[3]][..],
        ),
    ] {
        is_listed(expected, async |request| listed(filter.clone(), request).await).await;
    }
}
