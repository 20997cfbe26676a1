//! Who takes whose place: a room for each kind of call, a share of it for each caller, and a port that closes in order.

use std::{convert::Infallible, net::TcpListener, time::Duration};

use bytes::Bytes;
use countersign_client::{Connection, v1};
use countersign_integration::Http;
use futures::stream;
use http::Request;
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tonic::Code;

use crate::support::{World, eventually, refused};

type Body = BoxBody<Bytes, Infallible>;

fn never() -> Body {
    StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()).boxed()
}

/// Keeps 400 calls under way, on a connection of their own, whose bodies do not come; what is refused is asked again a second
/// later, so that places are held, not processors.
async fn without_bodies(world: &World, path: &'static str, bearer: Option<&str>) -> JoinSet<()> {
    let address = world.server.address();
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut calls = JoinSet::new();
    calls.spawn(async move { drop(connection.await) });
    for _ in 0..400 {
        let (mut sender, bearer) = (sender.clone(), bearer.map(|bearer| format!("Bearer {bearer}")));
        calls.spawn(async move {
            while sender.ready().await.is_ok() {
                let request = Request::post(format!("http://{address}{path}"));
                let request = request.header("content-type", "application/grpc").header("te", "trailers");
                let request = bearer.iter().fold(request, |request, bearer| request.header("authorization", bearer));
                let _answer = sender.send_request(request.body(never()).unwrap()).await;
                sleep(Duration::from_secs(1)).await;
            }
        });
    }
    calls
}

async fn engage(by: &Connection, id: &str) {
    let scope = v1::KillSwitchScope::Tool.into();
    let request =
        v1::EngageKillSwitchRequest { scope, id: id.to_owned(), reason: "drill".to_owned(), ..Default::default() };
    by.policies().engage_kill_switch(request).await.unwrap();
}

async fn revoke(by: &Connection, id: &str) {
    let request = v1::RevokeInstanceRequest {
        agent_instance_id: id.to_owned(),
        reason: "drill".to_owned(),
        ..Default::default()
    };
    by.instances().revoke_instance(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_bodies_do_not_come_keep_nobody_out() {
    let world = World::start().await;
    let (dead, live, doomed) = (world.run_of("alice").await, world.run_of("alice").await, world.run_of("alice").await);
    revoke(&world.oscar, &dead.id).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(without_bodies(&world, "/grpc.health.v1.Health/Check", None).await);
    }
    held.push(without_bodies(&world, "/countersign.v1.DecisionService/Decide", Some(&dead.token)).await);
    held.push(without_bodies(&world, "/countersign.v1.PolicyService/EngageKillSwitch", Some(&live.token)).await);
    sleep(Duration::from_millis(500)).await;
    for nth in 0..3 {
        engage(&world.rita, &format!("tool-{nth}")).await;
        assert_eq!(live.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
        assert!(world.server.http(None).get("/healthz").await.unwrap().status.is_success());
    }
    revoke(&world.oscar, &doomed.id).await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_has_eight_streams_and_who_watches_for_others_has_their_own() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let child = run.child().await;
    let watch = async |by: &Connection| {
        by.credentials()
            .watch_revocations(v1::WatchRevocationsRequest { since: 0 })
            .await
            .map(tonic::Response::into_inner)
    };
    let mut streams = Vec::new();
    for nth in 0..8 {
        streams.push(watch(if nth % 2 == 0 { &run.connection } else { &child.connection }).await.unwrap());
    }
    let info = refused(watch(&child.connection).await.map(drop), Code::ResourceExhausted, "RATE_LIMITED");
    assert_eq!(info.metadata["limit"], "calls_at_a_time");
    let other = world.run_of("alice").await;
    streams.push(watch(&other.connection).await.unwrap());
    for _ in 0..20 {
        streams.push(watch(&world.rita).await.unwrap());
    }
    streams.truncate(1);
    eventually("the places are free again", async || watch(&child.connection).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_do_nothing_make_room() {
    let world = World::start_with(|launch| launch.variable("COUNTERSIGN_LIMITS_MAX_CONNECTIONS", "40")).await;
    let run = world.run_of("alice").await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.extend(TcpStream::connect(world.server.address()).await);
    }
    // Those that have just come are spared for a moment.
    eventually("there is room", async || {
        let answer = timeout(Duration::from_secs(2), world.server.http(None).get("/healthz")).await;
        matches!(answer, Ok(Ok(answer)) if answer.status.is_success())
    })
    .await;
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    assert!(world.counted("countersign_connections_replaced_total").await > 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_listener_answers_for_health_and_metrics_alone() {
    // Free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::start_with(|launch| launch.variable("COUNTERSIGN_HEALTH_LISTEN", &address.to_string())).await;
    let beside = Http::new(address, None);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(beside.get(path).await.unwrap().status.is_success(), "{path}");
    }
    for path in ["/.well-known/jwks.json", "/"] {
        assert!(!beside.get(path).await.unwrap().status.is_success(), "{path}");
    }
    let key = world.server.operator_key("rita").unwrap();
    for path in ["/issue", "/countersign.v1.OperatorService/WhoAmI", "/oauth/token", "/access/v1/evaluation"] {
        let answer = Http::new(address, Some(&key)).post(path, "{}").await.unwrap();
        assert!(!answer.status.is_success(), "{path}: {}", answer.text());
    }
    assert!(world.server.http(None).get("/healthz").await.unwrap().status.is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_is_not_ready_and_answers_until_its_delay_is_over() {
    let mut world = World::start_with(|launch| launch.variable("COUNTERSIGN_SHUTDOWN_DELAY_SECONDS", "3")).await;
    let run = world.run_of("alice").await;
    let begun = Instant::now();
    world.server.ask_to_stop().unwrap();
    world.server.becomes_ready(false).await.unwrap();
    let status = world.server.http(None).get("/readyz").await.unwrap();
    assert!(!status.status.is_success() && status.text().contains("stopping"), "{}", status.text());
    assert!(world.server.http(None).get("/healthz").await.unwrap().status.is_success(), "it lives");
    // Who comes anew is served, too.
    let fresh = run.on(&world.server.connect(None).await.unwrap());
    assert_eq!(fresh.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(world.server.ended().await.unwrap().success());
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
}
