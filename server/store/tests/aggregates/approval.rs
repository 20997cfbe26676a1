use countersign_core::{
    approval::{Answer, Approval, ApprovalState, Call, Private},
    ids::{ApprovalId, DecisionId, EventId, InstanceId},
    sponsor::Sponsor,
};
use countersign_store::{
    Page, StoreError,
    approval::{ApprovalFilter, answered, find, get, lapsed, list, upsert, waiting},
    sponsor,
};

use crate::support::{NOW, TICK, World, id, is_listed};

fn approval(millis: i64, sponsor: &str) -> Approval {
    let instance = InstanceId(id(0));
    Approval {
        approval_id: ApprovalId(id(millis)),
        policy_decision_id: DecisionId(id(millis)),
        state: ApprovalState::Pending,
        root_instance_id: instance,
        call: Call {
            agent_instance_id: instance,
            sponsor_id: sponsor.parse().unwrap(),
            tool_id: "billing".parse().unwrap(),
            action: "refund".parse().unwrap(),
            request_hash: None,
            purpose: String::new(),
            context: Private(String::new()),
        },
        context_salt: None,
        arguments: None,
        asked_by: None,
        create_time: NOW,
        expire_time: NOW + TICK,
        answer: None,
        revision: 1,
    }
}

#[tokio::test]
async fn what_is_stored_is_read_with_and_without_every_optional_field() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let bare = approval(1, "bob");
    let full = Approval {
        call: Call {
            request_hash: Some([255; 32]),
            context: Private("{\"a\":\"\\\"b\\\\\"}".to_owned()),
            ..bare.call.clone()
        },
        context_salt: Some([0; 16]),
        arguments: Some(Private("{\"amount\":\"1\\u0000\"}".to_owned())),
        asked_by: Some("gate".parse().unwrap()),
        ..approval(2, "bob")
    };
    upsert(&mut conn, [&bare, &full]).await.unwrap();
    assert_eq!(get(&mut conn, bare.approval_id).await.unwrap(), Some(bare.clone()));
    assert_eq!(get(&mut conn, full.approval_id).await.unwrap(), Some(full.clone()));
    let answer = Answer {
        by: "oscar".parse().unwrap(),
        reason: String::new(),
        time: NOW,
        event_id: EventId(id(5)),
        leaf: [1; 32],
    };
    let yes = Approval { state: ApprovalState::Approved, answer: Some(answer), revision: 2, ..full };
    let other_call = Approval { call: Call { action: "close".parse().unwrap(), ..yes.call.clone() }, ..yes.clone() };
    upsert(&mut conn, [&other_call]).await.unwrap();
    assert_eq!(get(&mut conn, yes.approval_id).await.unwrap(), Some(yes), "what was asked for stays");
    assert_eq!(get(&mut conn, ApprovalId(id(9))).await.unwrap(), None);
    upsert(&mut conn, []).await.unwrap();
}

#[tokio::test]
async fn what_waits_is_counted_to_its_last_instant() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let (first, second) = (approval(1, "bob"), approval(2, "bob"));
    let answered_one = Approval { state: ApprovalState::Rejected, ..approval(3, "bob") };
    let later = Approval { expire_time: NOW + TICK + TICK, state: ApprovalState::Approved, ..approval(4, "eve") };
    upsert(&mut conn, [&first, &second, &answered_one, &later]).await.unwrap();
    let (roots, sponsors) = ([first.root_instance_id.0], ["bob".to_owned(), "eve".to_owned()]);
    let counted = waiting(&mut conn, &roots, &sponsors, NOW).await.unwrap();
    assert_eq!(counted.chains[&first.root_instance_id], 1);
    assert_eq!((counted.sponsors["bob"], counted.sponsors.len()), (2, 1));
    assert_eq!(
        waiting(&mut conn, &roots, &sponsors, NOW + TICK).await.unwrap(),
        countersign_store::approval::Waiting::default()
    );

    let ids = [first.approval_id.0, answered_one.approval_id.0, later.approval_id.0];
    let over = answered(&mut conn, &ids, NOW).await.unwrap();
    assert_eq!(over.len(), 2, "{over:?}");
    assert!(!over.contains(&first.approval_id));
    assert_eq!(answered(&mut conn, &ids, NOW + TICK).await.unwrap().len(), 3);

    assert_eq!(lapsed(&mut conn, NOW, 10).await.unwrap(), [] as [sqlx::types::Uuid; 0]);
    assert_eq!(lapsed(&mut conn, NOW + TICK, 10).await.unwrap().len(), 2);
    let all = lapsed(&mut conn, NOW + TICK + TICK, 10).await.unwrap();
    assert_eq!((all.len(), all[2]), (3, later.approval_id.0), "the earliest first, and a yes lapses too");
    let pending = find(&mut conn, &[later.approval_id.0], &[first.call.agent_instance_id.0]).await.unwrap();
    assert_eq!(pending.len(), 2, "by its id, and what waits of the instance");
}

#[tokio::test]
async fn lists_go_by_the_clock_and_by_the_person() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    for (name, confirmed) in [("bob", true), ("eve", false)] {
        let person_id = Some("p-1".parse().unwrap());
        let sponsor = Sponsor { person_id, ..crate::sponsor::sponsor(name) };
        sponsor::insert(&mut conn, &sponsor).await.unwrap();
        sponsor::update(&mut conn, &Sponsor { person_confirmed: confirmed, ..sponsor }).await.unwrap();
    }
    let waits = Approval { expire_time: NOW + TICK, ..approval(1, "bob") };
    let lapses = Approval { expire_time: NOW, ..approval(2, "bob") };
    let used = Approval { expire_time: NOW, state: ApprovalState::Used, create_time: NOW - TICK, ..approval(3, "eve") };
    upsert(&mut conn, [&waits, &lapses, &used]).await.unwrap();
    let all = [&used, &lapses, &waits].map(|approval| approval.approval_id);
    let listed = async |filter: ApprovalFilter, request| {
        let found = list(&mut *world.conn().await, &filter, NOW, &request).await?;
        Ok::<Page<ApprovalId>, StoreError>(found.map(|approval| approval.approval_id))
    };
    let none = ApprovalFilter::default;
    is_listed(&all, async |request| listed(none(), request).await).await;
    for (filter, expected) in [
        (ApprovalFilter { state: Some(ApprovalState::Pending), ..none() }, &all[2..]),
        (ApprovalFilter { state: Some(ApprovalState::Expired), ..none() }, &all[1..2]),
        (ApprovalFilter { state: Some(ApprovalState::Used), ..none() }, &all[..1]),
        (ApprovalFilter { of_person: Some("p-1".parse().unwrap()), ..none() }, &all[1..]),
        (ApprovalFilter { of_person: Some("p-2".parse().unwrap()), ..none() }, &[]),
        (ApprovalFilter { agent_instance_id: Some(waits.call.agent_instance_id), ..none() }, &all[2..]),
        (ApprovalFilter { start_time: Some(NOW), tool_id: Some("billing".parse().unwrap()), ..none() }, &all[1..]),
        (ApprovalFilter { end_time: Some(NOW), ..none() }, &all[..1]),
        (ApprovalFilter { end_time: Some(NOW), sponsor_id: Some("bob".parse().unwrap()), ..none() }, &[]),
    ] {
        is_listed(expected, async |request| listed(filter.clone(), request).await).await;
    }
}
