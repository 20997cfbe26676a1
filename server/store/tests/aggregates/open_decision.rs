use std::time::Duration;

use countersign_store::open_decision::{Due, close, due, mark};

use crate::support::{NOW, TICK, World};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

async fn size(world: &World, size: i64) {
    let mut conn = world.database.connect().await.unwrap();
    let bytes = vec![0_u8; usize::try_from(size.count_ones() * 32).unwrap()];
    let set = sqlx::query("UPDATE log_head SET size = $1, frontier = $2").bind(size).bind(bytes);
    set.execute(&mut conn).await.unwrap();
}

#[tokio::test]
async fn a_stretch_is_due_when_its_mark_is_as_old_as_the_deadline() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    mark(&mut conn, MINUTE, NOW).await.unwrap();
    assert_eq!(due(&mut conn, HOUR, NOW + HOUR).await.unwrap(), None, "an empty log");
    size(&world, 5).await;
    mark(&mut conn, MINUTE, NOW).await.unwrap();
    size(&world, 8).await;
    // Too soon after the last one, up to the instant.
    mark(&mut conn, MINUTE, NOW + MINUTE - TICK).await.unwrap();
    assert_eq!(due(&mut conn, HOUR, NOW + HOUR - TICK).await.unwrap(), None);
    let first = Some(Due { from: 0, to: 5 });
    assert_eq!(due(&mut conn, HOUR, NOW + HOUR).await.unwrap(), first);
    mark(&mut conn, MINUTE, NOW + MINUTE).await.unwrap();
    assert_eq!(due(&mut conn, HOUR, NOW + HOUR + MINUTE - TICK).await.unwrap(), first);
    assert_eq!(due(&mut conn, HOUR, NOW + HOUR + MINUTE).await.unwrap(), Some(Due { from: 0, to: 8 }));
    close(&mut conn, 5).await.unwrap();
    assert_eq!(due(&mut conn, HOUR, NOW + HOUR + MINUTE).await.unwrap(), Some(Due { from: 5, to: 8 }));
    close(&mut conn, 3).await.unwrap();
    close(&mut conn, 8).await.unwrap();
    assert_eq!(due(&mut conn, HOUR, NOW + HOUR + HOUR).await.unwrap(), None);
}

#[tokio::test]
async fn a_mark_of_a_clock_that_was_ahead_is_dated_again() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    size(&world, 5).await;
    mark(&mut conn, MINUTE, NOW + HOUR + HOUR).await.unwrap();
    mark(&mut conn, MINUTE, NOW).await.unwrap();
    assert_eq!(due(&mut conn, HOUR, NOW + HOUR).await.unwrap(), Some(Due { from: 0, to: 5 }));
}
