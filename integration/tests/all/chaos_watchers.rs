//! Who follows a server and is cut off from it knows that soon, and acts on nothing old.

use std::time::{Duration, Instant};

use countersign_client::{
    Connection, v1,
    verify::{Denied, STALENESS_BOUND},
};
use countersign_integration::{Proxy, Weather};
use tokio::time::{sleep, timeout};

use crate::{
    support::World,
    verifier::{until, verifier},
};

/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_hears_nothing_denies_and_the_server_lets_go_of_it() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let proxy = Proxy::to(world.server.address()).await.unwrap();
    let key = world.server.operator_key("rita").unwrap();
    let through = Connection::connect(&format!("http://{}", proxy.address()), Some(&key)).await.unwrap();
    let mut policy = through.policies().watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    assert!(!policy.message().await.unwrap().unwrap().heartbeat);
    let verifier = verifier(&through, &run.token).await;
    verifier.verify(&run.token).unwrap();

    proxy.becomes(Weather::Stalled);
    let stalled = Instant::now();
    until(&verifier, &run.token, |said| *said == Some(Denied::CutOff)).await;
    assert!(stalled.elapsed() <= STALENESS_BOUND + SLACK, "{:?}", stalled.elapsed());
    // What was under way may still arrive, and then nothing does.
    while timeout(Duration::from_secs(2), policy.message()).await.is_ok() {}

    // The server asks for a sign of life, and ends the streams of who gives none.
    let ended = async || {
        let page = world.server.http(None).get("/metrics").await.unwrap().text();
        page.lines().any(|line| line.starts_with("countersign_requests_total") && line.contains("WatchPolicy"))
    };
    let start = Instant::now();
    while !ended().await {
        assert!(start.elapsed() < Duration::from_secs(75), "the server still keeps its stream");
        sleep(Duration::from_millis(500)).await;
    }
    proxy.becomes(Weather::Cut);
    proxy.becomes(Weather::Fair);
    until(&verifier, &run.token, Option::is_none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_cannot_read_the_head_its_watchers_hear_nothing() {
    let (world, proxy) = World::start_behind_proxy().await;
    let mut policy = world.rita.policies().watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    assert!(!policy.message().await.unwrap().unwrap().heartbeat);
    assert!(policy.message().await.unwrap().unwrap().heartbeat);
    proxy.becomes(Weather::Stalled);
    // One that was true when it was made may be on its way.
    let _last = timeout(Duration::from_millis(1_500), policy.message()).await;
    assert!(timeout(Duration::from_secs(4), policy.message()).await.is_err(), "a heartbeat from nowhere");
    proxy.becomes(Weather::Fair);
    let beat = timeout(Duration::from_secs(20), policy.message()).await.unwrap().unwrap().unwrap();
    assert!(beat.heartbeat, "nothing has changed");
}
