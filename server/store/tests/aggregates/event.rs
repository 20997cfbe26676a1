use std::sync::Arc;

use countersign_core::{
    decision::Effect,
    ids::{DecisionId, EventId, InstanceId, PolicyVersion},
};
use countersign_ledger::{commitment::Opening, export::Disclosed, leaf::Kind, merkle::leaf_hash};
use countersign_store::{
    Page, StoreError,
    event::{
        DecisionFilter, EventFilter, GrantKey, NewEvent, append, asked, ensure_partitions, get_all, grant, grants,
        issuers, list, list_decisions, newest_grant,
    },
    head::Head,
    instance,
};
use time::{Duration, OffsetDateTime};

use crate::support::{NOW, World, id, is_listed};

/// An event of this kind, so many milliseconds after [`NOW`], with this leaf.
fn new(millis: i64, kind: &'static str, leaf: &str) -> NewEvent {
    NewEvent {
        event_id: EventId(id(millis)),
        kind,
        sponsor_id: None,
        instance_id: None,
        root_instance_id: None,
        tool_id: None,
        effect: None,
        decision_id: None,
        leaf_bytes: leaf.as_bytes().to_vec(),
        leaf_hash: leaf_hash(leaf.as_bytes()),
        disclosed: Disclosed::default(),
    }
}

pub(crate) fn decision(millis: i64, tool: &str) -> NewEvent {
    let leaf = format!(r#"{{"action":"read","operator_id":"gate","reason":"ALLOWED_BY_RULE","tool_id":"{tool}"}}"#);
    NewEvent { tool_id: Some(tool.to_owned()), effect: Some("ALLOW"), ..new(millis, "decision", &leaf) }
}

/// The head after these events.
pub(crate) fn after(before: &Head, events: &[Arc<NewEvent>]) -> Head {
    let mut head = before.clone();
    for event in events {
        head.frontier.append(event.leaf_hash);
    }
    head
}

pub(crate) async fn appended(world: &World, events: Vec<NewEvent>) {
    let mut conn = world.conn().await;
    ensure_partitions(&mut conn, NOW, 2).await.unwrap();
    let events: Vec<_> = events.into_iter().map(Arc::new).collect();
    let (before, _) = Head::read(&mut conn).await.unwrap();
    assert!(append(&mut conn, &before, &after(&before, &events), &events).await.unwrap());
}

#[tokio::test]
async fn the_bytes_and_what_is_disclosed_come_back_as_they_were() {
    let world = World::start().await;
    let text = |text: &str| Some(Opening { salt: [9; 16], text: text.to_owned() });
    let full = NewEvent {
        disclosed: Disclosed {
            purpose: text(""),
            reason: text("\u{fffd}\u{1f600}\""),
            identity: text("a\nb"),
            context: None,
            on_behalf_of: text("u"),
        },
        ..new(1, "sponsor_registered", r#"{"a":"\u0000"}"#)
    };
    let bare = new(2, "revocation", "{}");
    let ids = [bare.event_id.0, id(7), full.event_id.0];
    appended(&world, vec![full.clone(), bare.clone()]).await;
    let found = get_all(&mut *world.conn().await, &ids).await.unwrap();
    assert_eq!(found.iter().map(|event| event.log_index).collect::<Vec<_>>(), [0, 1], "in log order");
    assert_eq!((&found[0].disclosed, &found[0].leaf_bytes), (&full.disclosed, &full.leaf_bytes));
    assert_eq!(found[1].disclosed, Disclosed::default());
}

#[tokio::test]
async fn an_event_is_never_changed_or_deleted() {
    let world = World::start().await;
    appended(&world, vec![new(1, "revocation", "{}")]).await;
    let mut conn = world.database.connect().await.unwrap();
    for statement in [
        "UPDATE custody_event SET leaf_bytes = '{\"a\":1}'",
        "UPDATE custody_event SET kind = 'decision'",
        "UPDATE custody_event SET log_index = 7",
        "DELETE FROM custody_event",
        "TRUNCATE custody_event",
    ] {
        assert!(sqlx::raw_sql(statement).execute(&mut conn).await.is_err(), "{statement}, by the owner");
    }
    assert_eq!(get_all(&mut *world.conn().await, &[]).await.unwrap(), []);
}

#[tokio::test]
async fn events_of_a_day_without_a_partition_are_kept_and_found() {
    let world = World::start().await;
    let far = Duration::days(400).whole_seconds() * 1_000;
    appended(&world, vec![decision(1, "a"), decision(far, "b")]).await;
    // Made afterwards, the day's partition would have to take over what the default one holds.
    ensure_partitions(&mut *world.conn().await, NOW + Duration::days(400), 1).await.unwrap();
    ensure_partitions(&mut *world.conn().await, NOW + Duration::days(400), 1).await.unwrap();
    let filter = EventFilter { start_time: Some(NOW + Duration::days(399)), ..EventFilter::default() };
    let found = list(&mut *world.conn().await, &filter, &crate::support::page(9, None)).await.unwrap();
    assert_eq!(found.items.len(), 1);
    let many = ensure_partitions(&mut *world.conn().await, NOW, 33).await;
    assert!(matches!(many, Err(StoreError::Database(_))), "{many:?}");
}

#[tokio::test]
async fn lists_go_from_an_index_and_to_an_instant() {
    let world = World::start().await;
    let (instance, root, of) = (InstanceId(id(0)), InstanceId(id(0)), DecisionId(id(50)));
    let events = vec![
        NewEvent { sponsor_id: Some("bob".to_owned()), instance_id: Some(instance), ..decision(0, "a") },
        NewEvent { event_id: EventId(of.0), root_instance_id: Some(root), ..decision(50, "b") },
        NewEvent { decision_id: Some(of), ..new(100, "tool_call", "{}") },
        NewEvent { effect: Some("DENY"), ..decision(200, "a") },
    ];
    appended(&world, events).await;
    let listed = async |filter: EventFilter, request| {
        let found = list(&mut *world.conn().await, &filter, &request).await?;
        Ok::<Page<i64>, StoreError>(found.map(|event| event.log_index))
    };
    let none = EventFilter::default;
    let at = |millis| Some(NOW + Duration::milliseconds(millis));
    for (filter, expected) in [
        (none(), &[0, 1, 2, 3][..]),
        (EventFilter { start_index: Some(2), ..none() }, &[2, 3]),
        (EventFilter { start_index: Some(4), ..none() }, &[]),
        (EventFilter { kind: Some(Kind::ToolCall), ..none() }, &[2]),
        (EventFilter { policy_decision_id: Some(of), ..none() }, &[1, 2]),
        (EventFilter { start_time: at(50), end_time: at(200), ..none() }, &[1, 2]),
        (EventFilter { tool_id: Some("a".parse().unwrap()), ..none() }, &[0, 3]),
        (EventFilter { effect: Some(Effect::Deny), ..none() }, &[3]),
        (EventFilter { sponsor_id: Some("bob".parse().unwrap()), agent_instance_id: Some(instance), ..none() }, &[0]),
        (EventFilter { root_instance_id: Some(root), ..none() }, &[1]),
    ] {
        is_listed(expected, async |request| listed(filter.clone(), request).await).await;
    }
}

#[tokio::test]
async fn decisions_are_found_by_what_their_leaf_says() {
    let world = World::start().await;
    let leaf = |shadow: &str| format!(r#"{{"action":"read","policy_version":"pv_3","reason":"NO_RULE"{shadow}}}"#);
    let of = |millis, shadow: &str| NewEvent { effect: Some("DENY"), ..new(millis, "decision", &leaf(shadow)) };
    appended(
        &world,
        vec![
            of(1, ""),
            of(2, r#","shadow":{"effect":"ALLOW"}"#),
            of(3, r#","shadow":{"effect":"DENY"}"#),
            new(4, "unattributed", r#"{"action":"write"}"#),
            new(5, "tool_call", &leaf("")),
        ],
    )
    .await;
    let listed = async |filter: DecisionFilter, request| {
        let found = list_decisions(&mut *world.conn().await, &filter, &request).await?;
        Ok::<Page<i64>, StoreError>(found.map(|event| event.log_index))
    };
    let none = DecisionFilter::default;
    for (filter, expected) in [
        (none(), &[3, 2, 1, 0][..]),
        (DecisionFilter { action: Some("read".parse().unwrap()), ..none() }, &[2, 1, 0]),
        (DecisionFilter { policy_version: Some(PolicyVersion(3)), ..none() }, &[2, 1, 0]),
        (DecisionFilter { policy_version: Some(PolicyVersion(33)), ..none() }, &[]),
        (DecisionFilter { shadow_effect: Some(Effect::Deny), ..none() }, &[2]),
        (DecisionFilter { shadow_disagrees: true, ..none() }, &[1]),
        (DecisionFilter { effect: Some(Effect::Deny), ..none() }, &[2, 1, 0]),
    ] {
        is_listed(expected, async |request| listed(filter.clone(), request).await).await;
    }
}

#[tokio::test]
async fn a_grant_is_found_in_the_second_of_its_event_alone() {
    let world = World::start().await;
    crate::sponsor::active(&world, "bob").await;
    let run = crate::instance::root(0, "bob");
    instance::upsert(&mut *world.conn().await, [&run]).await.unwrap();
    let of = run.agent_instance_id;
    let first = NewEvent { instance_id: Some(of), ..new(999, "credential_issued", r#"{"operator_id":"rita"}"#) };
    let second = NewEvent { instance_id: Some(of), ..new(1_000, "delegated", "{}") };
    let (first_hash, second_hash) = (first.leaf_hash, second.leaf_hash);
    appended(&world, vec![first, second]).await;
    let mut conn = world.conn().await;
    let key = |custody_ref, second| GrantKey {
        agent_instance_id: of,
        custody_ref,
        grant_time: NOW + Duration::seconds(second),
    };
    let keys = [key(first_hash, 0), key(first_hash, 1), key(second_hash, 0), key(second_hash, 1), key([0; 32], 0)];
    let mut found: Vec<_> = grants(&mut conn, &keys).await.unwrap().into_iter().map(|(place, _)| place).collect();
    found.sort_unstable();
    assert_eq!(found, [0, 3]);
    assert_eq!(newest_grant(&mut conn, of).await.unwrap().unwrap().log_index, 1);
    assert_eq!(grant(&mut conn, of, &first_hash).await.unwrap().unwrap().log_index, 0);
    assert_eq!(grant(&mut conn, of, &[0; 32]).await.unwrap(), None);
    assert_eq!(issuers(&mut conn, &[of.0]).await.unwrap(), ["rita".parse().unwrap()], "a delegation names no operator");
}

#[tokio::test]
async fn who_asked_is_looked_for_among_the_first_decisions() {
    let world = World::start().await;
    let (instance, root) = (InstanceId(id(0)), InstanceId(id(0)));
    let of = |event: NewEvent| NewEvent { instance_id: Some(instance), root_instance_id: Some(root), ..event };
    appended(
        &world,
        vec![of(decision(1, "a")), of(new(2, "decision", "{}")), of(new(3, "tool_call", r#"{"operator_id":"x"}"#))],
    )
    .await;
    let mut conn = world.conn().await;
    let mut ask = async |since: OffsetDateTime, operator: &str| {
        asked(&mut conn, instance, root, since, operator, 10).await.unwrap()
    };
    assert!(ask(NOW, "gate").await);
    assert!(!ask(NOW, "x").await, "not a decision");
    assert!(!ask(NOW + Duration::milliseconds(2), "gate").await, "a decision of itself has no operator");
    assert!(!ask(NOW + Duration::milliseconds(9), "gate").await, "none at all is no NULL");
}
