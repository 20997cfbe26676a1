//! Servers that start while a clock is wrong.

use std::time::Duration;

use countersign_client::v1;
use countersign_integration::{Database, Server};
use futures::future::join_all;
use tokio::time::sleep;

use super::{
    Clocks, allowed, at, doors, launch, says,
    stops::Stop,
    workers::{QUARTER, SHORTLY, near, standing},
};
use crate::{
    approvals,
    support::{Run, decide, eventually, issue},
    webhooks,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_by_a_wrong_clock_only_stops_until_it_is_right() {
    let clocks = Clocks::start().await;
    // A key that has just retired, and is published for as long as what it signed may live.
    let admin = at(&clocks.good, &clocks.good.admin_key().unwrap()).await;
    let request = v1::RotateSigningKeyRequest { reason: "drill".to_owned(), ..Default::default() };
    admin.signing_keys().rotate_signing_key(request).await.unwrap();
    near(&clocks).await;
    let before = standing(&clocks).await;

    // Its own.
    let offs = [SHORTLY, -SHORTLY, QUARTER];
    let own: Vec<_> = offs.iter().map(|off| clocks.another_clock(&format!("late{off}"), *off)).collect();
    let late = own.iter().map(|clock| clock.drive(launch(&clocks.database)).unready().start());
    let late: Vec<_> = join_all(late).await.into_iter().map(Result::unwrap).collect();
    for (server, off) in late.iter().zip(offs) {
        let run = clocks.run("alice").await;
        let side = if off < 0.0 { "behind the database's" } else { "ahead of the database's" };
        only_stops(&clocks, server, side, &run).await;
        assert!(!allowed(&run).await, "{off}");
    }
    sleep(Duration::from_millis(2_500)).await;
    stands(&clocks, &before).await;
    for (server, clock) in late.iter().zip(&own) {
        clock.is_off_by(0.0).unwrap();
        serves(&clocks, server).await;
    }
    drop(late);

    // A port that nothing listens on.
    let hook = webhooks::configured(&[("on-call", "http://127.0.0.1:9/", "kill_switch.engaged")]);
    // The database's. It cannot know that that one is probably wrong, as those can that ran before.
    for (off, side) in [(QUARTER, "behind the database's"), (-SHORTLY, "ahead of the database's")] {
        let run = clocks.run("alice").await;
        let asked = run.decide("billing", "close").await.unwrap().approval_id;
        let admin = clocks.good.admin_key().unwrap();
        let request = v1::CreateApiKeyRequest { operator_id: "rita".to_owned(), ..Default::default() };
        let key = at(&clocks.good, &admin).await.operators().create_api_key(request).await.unwrap().into_inner();
        let key_id = key.api_key.unwrap().key_id;
        clocks.sql(MESSAGE).await;
        clocks.database_clock.is_off_by(off).unwrap();
        let late = webhooks::with(launch(&clocks.database), &hook).unready().start().await.unwrap();
        let fresh = if off > 0.0 { Some(first_start_waits(&clocks).await) } else { None };
        says(&clocks.good, false, "that one is probably wrong").await;
        only_stops(&clocks, &late, side, &run).await;
        // What is over by one of the two clocks alone is stopped all the same.
        Stop::KillSwitch.ask(&clocks, &late, &run, if off > 0.0 { "bob" } else { "dora" }).await.unwrap();
        let oscar = at(&late, &clocks.key("oscar")).await;
        approvals::reject(&oscar, approvals::no(&asked)).await.unwrap();
        let request = v1::RevokeApiKeyRequest { key_id, reason: "drill".to_owned(), ..Default::default() };
        at(&late, &admin).await.operators().revoke_api_key(request).await.unwrap();
        sleep(Duration::from_millis(2_500)).await;
        stands(&clocks, &before).await;
        clocks.database_clock.is_off_by(0.0).unwrap();
        serves(&clocks, &late).await;
        says(&clocks.good, true, "agrees").await;
        assert!(!allowed(&run).await, "{off}");
        eventually("messages are tried on", async || waits(&clocks).await).await;
        drop(late);
        clocks.sql("DELETE FROM webhook_outbox").await;
        if let Some(fresh) = fresh {
            launch(&fresh).start().await.unwrap();
        }
    }
}

/// A message from before.
const MESSAGE: &str = "INSERT INTO webhook_outbox (message_id, endpoint, topic, body, create_time, next_time)
     VALUES (gen_random_uuid(), 'on-call', 'kill_switch.engaged', '{}', now(), now())";

/// Whether both messages are to be tried soon: none was given up, or put off until a time that was wrong.
async fn waits(clocks: &Clocks) -> bool {
    let mut connection = clocks.database.connect().await.unwrap();
    let soon = "SELECT count(*) FROM webhook_outbox WHERE attempts > 0 AND next_time < now() + interval '1 hour'";
    sqlx::query_scalar::<_, i64>(soon).fetch_one(&mut connection).await.unwrap() == 2
}

/// Nothing was done by time alone.
async fn stands(clocks: &Clocks, before: &[String]) {
    let now = standing(clocks).await;
    let gone: Vec<_> = before.iter().filter(|row| !now.contains(row)).collect();
    // Approvals are asked for meanwhile.
    let more: Vec<_> = now.iter().filter(|row| !row.starts_with("approval ") && !before.contains(row)).collect();
    assert!(gone.is_empty() && more.is_empty(), "{gone:?} is now {more:?}");
}

/// This server, which has just started, says why it is not ready, and takes stops alone.
async fn only_stops(clocks: &Clocks, late: &Server, side: &str, run: &Run) {
    says(late, false, side).await;
    assert_eq!(published(late).await, published(&clocks.good).await);
    doors::do_nothing_but_stop(clocks, late, run).await;
    Stop::Instance.ask(clocks, late, run, "alice").await.unwrap();
    Stop::Credential.ask(clocks, late, run, "alice").await.unwrap();
}

/// The keys that verify what was signed.
async fn published(server: &Server) -> serde_json::Value {
    server.http(None).get("/.well-known/jwks.json").await.unwrap().json()
}

/// Its clock is right: it decides and issues.
async fn serves(clocks: &Clocks, late: &Server) {
    says(late, true, "agrees").await;
    let rita = at(late, &clocks.key("rita")).await;
    let issued = rita.credentials().issue_credential(issue("alice")).await.unwrap().into_inner();
    let asked = v1::DecideRequest { token: issued.token, ..decide("billing", "refund") };
    assert_eq!(rita.decisions().decide(asked).await.unwrap().into_inner().effect(), v1::Effect::Allow);
}

/// The first start of an installation waits for clocks that agree: its keys would be dated by one that is wrong.
async fn first_start_waits(clocks: &Clocks) -> Database {
    let fresh = clocks.cluster.database().await.unwrap();
    let failure = launch(&fresh).start().await.expect_err("a first start by a wrong clock").to_string();
    assert!(failure.contains("behind the database's"), "{failure}");
    let mut connection = fresh.connect().await.unwrap();
    let keys = "SELECT count(*) FROM signing_key";
    assert_eq!(sqlx::query_scalar::<_, i64>(keys).fetch_one(&mut connection).await.unwrap(), 0);
    fresh
}
