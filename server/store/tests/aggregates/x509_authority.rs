use countersign_store::x509_authority::{StoredAuthority, insert, list, remove_expired};
use time::Duration;

use crate::support::{NOW, TICK, World, exists};

fn authority(id: &str, domain: &str, days: i64) -> StoredAuthority {
    let from = NOW + Duration::days(days);
    StoredAuthority {
        authority_id: id.to_owned(),
        trust_domain: domain.to_owned(),
        certificate: vec![0, 255],
        private_nonce: vec![1],
        private_key: vec![2],
        publish_time: NOW,
        sign_from: from,
        sign_until: from + Duration::DAY,
        expire_time: from + Duration::DAY + Duration::HOUR,
    }
}

#[tokio::test]
async fn authorities_sign_in_turn_and_leave_at_their_instant() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    for made in [authority("b", "x.example", 1), authority("a", "x.example", 0), authority("c", "y.example", 0)] {
        insert(&mut conn, &made).await.unwrap();
    }
    exists(insert(&mut conn, &authority("a", "y.example", 0)).await);
    let ids = async || {
        let listed = list(&mut *world.conn().await, "x.example").await.unwrap();
        listed.into_iter().map(|stored| stored.authority_id).collect::<String>()
    };
    assert_eq!(ids().await, "ab");
    let end = authority("a", "x.example", 0).expire_time;
    assert_eq!(remove_expired(&mut conn, end - TICK).await.unwrap(), [] as [String; 0]);
    let mut gone = remove_expired(&mut conn, end).await.unwrap();
    gone.sort();
    assert_eq!(gone, ["a", "c"], "of any trust domain");
    assert_eq!(ids().await, "b");
}
