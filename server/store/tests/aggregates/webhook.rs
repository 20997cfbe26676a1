use countersign_store::webhook::{NewNotice, delivered, insert, postpone, purge, take_due, waiting};
use time::{Duration, OffsetDateTime};

use crate::support::{NOW, TICK, World, id};

const LOST: OffsetDateTime = NOW.saturating_add(Duration::MINUTE);
const NEVER: OffsetDateTime = NOW.saturating_add(Duration::DAY);

fn notice(millis: i64, endpoint: &str) -> NewNotice {
    NewNotice {
        message_id: id(millis),
        endpoint: endpoint.to_owned(),
        topic: "kill_switch.engaged",
        body: format!("{{\"n\":{millis}}}"),
        create_time: NOW,
        next_time: NOW + Duration::milliseconds(millis),
    }
}

#[tokio::test]
async fn a_notice_is_tried_by_one_server_at_a_time_the_oldest_first() {
    let world = World::start().await;
    let notices: Vec<_> = (0..40).map(|n| notice(n % 7 * 6 + n / 7, "a")).collect();
    insert(&mut *world.conn().await, &notices).await.unwrap();
    insert(&mut *world.conn().await, &[notice(0, "b")]).await.unwrap();
    let at = NOW + Duration::SECOND;
    let take = async |most| take_due(&mut *world.conn().await, "a", at, LOST, NEVER, most).await.unwrap();
    let (first, second) = tokio::join!(take(20), take(20));
    let order = |taken: &[countersign_store::webhook::Due]| {
        taken
            .iter()
            .map(|due| due.body.trim_matches(['{', '}']).trim_start_matches("\"n\":").parse().unwrap())
            .collect()
    };
    let (first, second): (Vec<i64>, Vec<i64>) = (order(&first), order(&second));
    let mut all = [first.clone(), second.clone()].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 40, "each once: {first:?} {second:?}");
    assert!(first.is_sorted() && second.is_sorted(), "in the order in which they are sent: {first:?} {second:?}");
    assert!(take(20).await.is_empty());
    assert_eq!(waiting(&mut *world.conn().await, "a").await.unwrap(), 40, "they are tried, and not delivered");
}

#[tokio::test]
async fn a_try_that_was_lost_is_taken_again_and_says_nothing_any_more() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let first = notice(0, "a");
    let of_another = NewNotice { endpoint: "b".to_owned(), ..first.clone() };
    insert(&mut conn, &[first, of_another]).await.unwrap();
    assert!(take_due(&mut conn, "a", NOW - TICK, LOST, NEVER, 9).await.unwrap().is_empty());
    let first = take_due(&mut conn, "a", NOW, LOST, NEVER, 9).await.unwrap().remove(0);
    assert_eq!(first.attempts, 1);
    assert!(take_due(&mut conn, "a", LOST - TICK, LOST, NEVER, 9).await.unwrap().is_empty());
    let second = take_due(&mut conn, "a", LOST, LOST + Duration::MINUTE, NEVER, 9).await.unwrap().remove(0);
    assert_eq!(second.attempts, 2);
    postpone(&mut conn, "a", &first, None).await.unwrap();
    assert_eq!(waiting(&mut conn, "a").await.unwrap(), 1, "who lost it does not give it up");
    postpone(&mut conn, "a", &second, None).await.unwrap();
    assert_eq!(waiting(&mut conn, "a").await.unwrap(), 0);
    assert!(take_due(&mut conn, "a", NEVER, NEVER, NEVER, 9).await.unwrap().is_empty(), "given up is given up");
    delivered(&mut conn, "b", second.message_id).await.unwrap();
    assert_eq!(purge(&mut conn, NOW).await.unwrap(), 0);
    assert_eq!(purge(&mut conn, NOW + TICK).await.unwrap(), 1, "a's; b's was delivered");
}

#[tokio::test]
async fn what_is_told_anew_before_the_first_try_replaces_what_was() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let first = notice(0, "a");
    let again = NewNotice { body: "2".to_owned(), ..first.clone() };
    let last = NewNotice { body: "3".to_owned(), ..first.clone() };
    insert(&mut conn, &[first, again.clone()]).await.unwrap();
    insert(&mut conn, &[again, last.clone()]).await.unwrap();
    assert_eq!(take_due(&mut conn, "a", NOW, LOST, NEVER, 9).await.unwrap()[0].body, "3");
    insert(&mut conn, &[NewNotice { body: "4".to_owned(), ..last }]).await.unwrap();
    assert_eq!(take_due(&mut conn, "a", LOST, LOST, NEVER, 9).await.unwrap()[0].body, "3", "it was sent like this");
    insert(&mut conn, &[]).await.unwrap();
}

#[tokio::test]
async fn a_notice_that_a_wrong_clock_put_off_is_due() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let far = NewNotice { next_time: NEVER + TICK, ..notice(0, "a") };
    let farthest = NewNotice { next_time: NEVER, ..notice(1, "a") };
    insert(&mut conn, &[far.clone(), farthest]).await.unwrap();
    let taken = take_due(&mut conn, "a", NOW, LOST, NEVER, 9).await.unwrap();
    assert_eq!(taken.iter().map(|due| due.message_id).collect::<Vec<_>>(), [far.message_id]);
}
