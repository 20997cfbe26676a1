//! The database goes away and comes back: nothing is allowed meanwhile, everything says so, and nobody has to restart.

use std::time::{Duration, Instant};

use countersign_client::v1;
use tokio::time::{sleep, timeout};
use tonic::{Code, Response, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{Island, counted, decide, issue, register};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_nothing_is_allowed_and_all_recovers_when_it_returns() {
    let mut island = Island::start().await;
    let (server, dev) = (&island.server, &island.dev);
    let issued = dev.credentials().issue_credential(issue("alice")).await.unwrap().into_inner();
    let run = dev.with_token(&issued.token).unwrap();
    assert_eq!(
        run.decisions().decide(decide("billing", "refund")).await.unwrap().get_ref().effect(),
        v1::Effect::Allow
    );
    let channel = Endpoint::from_shared(server.url()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let mut watch = health
        .watch(HealthCheckRequest { service: "countersign.v1.DecisionService".to_owned() })
        .await
        .unwrap()
        .into_inner();
    told(&mut watch, ServingStatus::Serving).await;

    island.cluster.stop().await.unwrap();
    for _ in 0..20 {
        let start = Instant::now();
        let mut request = tonic::Request::new(decide("billing", "refund"));
        request.set_timeout(Duration::from_secs(4));
        let status = run.decisions().decide(request).await.map(Response::into_inner).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let info = crate::support::info(&status);
        assert_eq!(info.reason, "STORE_UNAVAILABLE");
    }
    let status = dev.sponsors().register_sponsor(register("bob")).await.unwrap_err();
    assert_eq!(crate::support::info(&status).reason, "STORE_UNAVAILABLE");
    // A credential that cannot be issued is a failure of ours and no refusal, and an operator sees it.
    let status = dev.credentials().issue_credential(issue("alice")).await.unwrap_err();
    assert_eq!(crate::support::info(&status).reason, "STORE_UNAVAILABLE");
    assert!(counted(server, "countersign_issuances_total{outcome=\"failed\"}").await >= 1.0);
    assert!(counted(server, "countersign_issuances_total{outcome=\"refused\"}").await < 1.0);
    server.becomes_ready(false).await.unwrap();
    assert!(counted(server, "countersign_issuance_failure_ratio").await > 0.005);
    let readiness = dev.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap().into_inner();
    let warnings = readiness.warnings;
    assert!(warnings.iter().any(|warning| warning.contains("failed on this server")), "{warnings:?}");
    told(&mut watch, ServingStatus::NotServing).await;
    // It lives, and its keys stay readable: tools verify receipts by them.
    assert!(server.http(None).get("/healthz").await.unwrap().status.is_success());
    assert!(server.http(None).get("/.well-known/jwks.json").await.unwrap().status.is_success());

    island.cluster.start_again().await.unwrap();
    server.ready().await.unwrap();
    told(&mut watch, ServingStatus::Serving).await;
    let answer = run.decisions().decide(decide("billing", "refund")).await.unwrap().into_inner();
    assert_eq!(answer.effect(), v1::Effect::Allow);
    dev.sponsors().register_sponsor(register("bob")).await.unwrap();
}

/// Returns when health says so; the state before may be said more than once.
async fn told(watch: &mut tonic::Streaming<HealthCheckResponse>, wanted: ServingStatus) {
    let told = async { while watch.message().await.unwrap().unwrap().status() != wanted {} };
    timeout(Duration::from_secs(10), told).await.unwrap_or_else(|_| panic!("health never became {wanted:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_cost_a_retry_and_no_restart() {
    let world = crate::support::World::start().await;
    let run = world.run_of("alice").await;
    let mut admin = world.database.connect().await.unwrap();
    for _ in 0..3 {
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            .execute(&mut admin)
            .await
            .unwrap();
        let start = Instant::now();
        loop {
            match run.decide("billing", "refund").await {
                Ok(answer) => break assert_eq!(answer.effect(), v1::Effect::Allow),
                Err(status) => assert_eq!(crate::support::info(&status).reason, "STORE_UNAVAILABLE"),
            }
            assert!(start.elapsed() < Duration::from_secs(5), "no recovery");
            sleep(Duration::from_millis(20)).await;
        }
    }
    let log = world.log().await;
    assert!(log.iter().enumerate().all(|(nth, event)| event.index == i64::try_from(nth).unwrap()));
}
