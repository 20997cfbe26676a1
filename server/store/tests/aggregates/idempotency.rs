use countersign_store::idempotency::{Answered, Key, get_all, insert, purge};

use crate::support::{NOW, TICK, World, exists};

fn key(caller: &str, request_id: &str) -> Key {
    Key { caller: caller.to_owned(), method: "Decide", request_id: request_id.to_owned() }
}

fn answered(key: &Key) -> Answered {
    Answered { key: key.clone(), fingerprint: [1; 32], answer: format!("{{\"of\":\"{}\"}}", key.caller) }
}

#[tokio::test]
async fn an_answer_is_found_by_caller_method_and_id_alone() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let [mine, yours] = [key("ann", "r\"1"), key("bea", "r\"1")];
    insert(&mut conn, &[answered(&mine), answered(&yours)], NOW).await.unwrap();
    let other = Key { method: "Issue", ..mine.clone() };
    let mut found = get_all(&mut conn, &[other, key("ann", "r2"), yours.clone(), mine.clone()]).await.unwrap();
    found.sort_by(|a, b| a.key.caller.cmp(&b.key.caller));
    assert_eq!(found, [answered(&mine), answered(&yours)]);
    assert_eq!(get_all(&mut conn, &[]).await.unwrap(), []);
    assert_eq!(
        exists(insert(&mut conn, &[answered(&key("cid", "1")), answered(&mine)], NOW).await),
        "idempotency_pkey"
    );
    assert_eq!(get_all(&mut conn, &[key("cid", "1")]).await.unwrap(), [], "none of them was stored");
    assert_eq!(purge(&mut conn, NOW).await.unwrap(), 0, "kept through its last instant");
    assert_eq!(purge(&mut conn, NOW + TICK).await.unwrap(), 2);
}
