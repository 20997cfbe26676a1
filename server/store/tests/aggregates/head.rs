use std::sync::Arc;

use countersign_store::{Statements, commit, event, head::Head};

use crate::{
    event::{after, decision},
    support::{World, exists},
};

async fn read(world: &World) -> Head {
    Head::read(&mut *world.conn().await).await.unwrap().0
}

#[tokio::test]
async fn the_optimistic_append_of_one_of_many_writers_wins() {
    let world = World::start().await;
    let before = read(&world).await;
    let attempt = async |tool: &str| {
        let events = [Arc::new(decision(1, tool))];
        let mut conn: Statements = world.conn().await;
        event::append(&mut conn, &before, &after(&before, &events), &events).await.unwrap()
    };
    let all = tokio::join!(attempt("a"), attempt("b"), attempt("c"));
    assert_eq!([all.0, all.1, all.2].iter().filter(|won| **won).count(), 1, "{all:?}");
    let head = read(&world).await;
    assert_eq!(head.size(), 1);
    assert_eq!(
        event::list(&mut *world.conn().await, &event::EventFilter::default(), &crate::support::page(9, None))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    // The epoch alone that moved is enough to lose.
    world.sql("UPDATE log_head SET authority_epoch = authority_epoch + 1").await;
    let events = [Arc::new(decision(2, "d"))];
    assert!(!event::append(&mut *world.conn().await, &head, &after(&head, &events), &events).await.unwrap());
}

#[tokio::test]
async fn who_waits_for_the_head_sees_what_the_other_left() {
    let world = World::start().await;
    let mut first = world.store.begin().await.unwrap();
    let (head, _) = Head::lock(&mut first).await.unwrap();
    let store = world.store.clone();
    let second = tokio::spawn(async move {
        let mut tx = store.begin().await.unwrap();
        let (head, _) = Head::lock(&mut tx).await.unwrap();
        head
    });
    let events = [Arc::new(decision(1, "a"))];
    let moved = Head { authority_epoch: head.authority_epoch + 1, revocation_seq: 7, ..after(&head, &events) };
    assert!(event::append(&mut first, &head, &moved, &events).await.unwrap());
    Head::move_floor(&mut first, 5).await.unwrap();
    Head::move_floor(&mut first, 4).await.unwrap();
    commit(first).await.unwrap();
    let seen = second.await.unwrap();
    assert_eq!(seen, Head { revocation_floor: 5, ..moved });
}

#[tokio::test]
async fn an_event_that_is_refused_leaves_the_head_as_it_was() {
    let world = World::start().await;
    let before = read(&world).await;
    let event = Arc::new(decision(1, "a"));
    let twice = [event.clone(), event];
    let appended = event::append(&mut *world.conn().await, &before, &after(&before, &twice), &twice).await;
    exists(appended);
    assert_eq!(read(&world).await, before);
}
