use countersign_core::{cache_extension::CacheExtension, ids::CacheExtensionId};
use countersign_store::cache_extension::{get, insert, list, newest, newest_stopped, update};

use crate::support::{NOW, TICK, World, id, is_listed};

fn extension(millis: i64) -> CacheExtension {
    CacheExtension {
        cache_extension_id: CacheExtensionId(id(millis)),
        extend_to_seconds: 300,
        life_seconds: 60,
        reason: "an outage".to_owned(),
        proposed_by: "gate".parse().unwrap(),
        propose_time: NOW,
        confirmed_by: None,
        end_time: None,
        stop_time: None,
    }
}

#[tokio::test]
async fn the_newest_one_that_was_stopped_is_one_that_held() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    assert_eq!((newest(&mut conn).await.unwrap(), newest_stopped(&mut conn).await.unwrap()), (None, None));
    let held = CacheExtension {
        confirmed_by: Some("oscar".parse().unwrap()),
        end_time: Some(NOW + TICK),
        stop_time: Some(NOW),
        ..extension(1)
    };
    let withdrawn = CacheExtension { stop_time: Some(NOW), ..extension(2) };
    let waits = extension(3);
    for extension in [&held, &withdrawn, &waits] {
        insert(&mut conn, extension).await.unwrap();
        update(&mut conn, extension).await.unwrap();
    }
    assert_eq!(get(&mut conn, held.cache_extension_id).await.unwrap(), Some(held.clone()));
    assert_eq!(newest(&mut conn).await.unwrap(), Some(waits.clone()));
    assert_eq!(newest_stopped(&mut conn).await.unwrap(), Some(held.cache_extension_id), "no answer stood on the other");
    let expected = [waits, withdrawn, held];
    is_listed(&expected, async |request| list(&mut *world.conn().await, &request).await).await;
}
