//! What one caller can take from the others is bounded, and nobody is locked out.

use std::time::Duration;

use countersign_client::{Connection, v1};
use futures::future::join_all;
use http::StatusCode;
use serde_json::json;
use tokio::time::sleep;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::support::{World, counted, info, issue, refused, seconds};

async fn who_am_i(connection: &Connection) -> Result<(), Status> {
    connection.operators().who_am_i(v1::WhoAmIRequest {}).await.map(drop)
}

/// Calls until the rate is used up; returns how many passed, and the refusal.
async fn until_refused(connection: &Connection) -> (u32, Status) {
    for passed in 0..1_000 {
        if let Err(status) = who_am_i(connection).await {
            return (passed, status);
        }
    }
    panic!("never refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_over_their_rate_waits_as_long_as_they_are_told_and_nobody_else_does() {
    let world = World::start_with(|launch| {
        launch
            .variable("COUNTERSIGN_LIMITS_OPERATOR_CALLS_PER_SECOND", "1")
            .variable("COUNTERSIGN_LIMITS_OPERATOR_CALLS_BURST", "5")
    })
    .await;
    // Whoever cannot say who they are uses up nobody's rate.
    let key = world.server.operator_key("rita").unwrap();
    let wrong = world.server.connect(Some(&format!("{}x", &key[..key.len() - 1]))).await.unwrap();
    for _ in 0..20 {
        refused(who_am_i(&wrong).await, Code::Unauthenticated, "UNAUTHENTICATED");
    }

    let (passed, status) = until_refused(&world.rita).await;
    assert!(passed >= 5, "{passed}");
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert_eq!(info(&status).metadata["limit"], "operator");
    assert!(status.message().starts_with("operator rita is over the rate"), "{}", status.message());
    let delay = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(delay <= Duration::from_secs(1), "{delay:?}");
    who_am_i(&world.oscar).await.unwrap();

    let json = world.server.http(Some(&key)).call("OperatorService/WhoAmI", &json!({})).await.unwrap();
    assert_eq!((json.status, &json.headers["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap()));
    assert!(counted(&world.server, "countersign_rate_limited_total{limit=\"operator\"}").await >= 2.0);
    assert!(world.server.log().contains("over the rate limit"));

    sleep(Duration::from_secs(1)).await;
    who_am_i(&world.rita).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sponsors_credentials_are_granted_at_their_rate_through_every_door() {
    let world = World::start_with(|launch| {
        launch
            .variable("COUNTERSIGN_LIMITS_SPONSOR_GRANTS_PER_SECOND", "1")
            .variable("COUNTERSIGN_LIMITS_SPONSOR_GRANTS_BURST", "2")
    })
    .await;
    world.sponsor("bob").await;
    let run = world.run_of("alice").await;
    let http = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    let issue_over_http = async || http.post("/issue", r#"{"tool":"billing","sponsor_id":"alice"}"#).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(issue_over_http().await);
    }
    let over = answers.iter().find(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).expect("a refusal");
    assert_eq!(over.json()["error"]["metadata"]["limit"], "sponsor");
    assert_eq!(over.json()["error"]["reason"], "RATE_LIMITED");
    // Delegating counts as well, and another sponsor has a rate of their own.
    let child = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
    let mut delegated = Vec::new();
    for _ in 0..3 {
        delegated.push(run.connection.credentials().delegate_credential(child.clone()).await.map(drop));
    }
    let delegated = delegated.into_iter().find(Result::is_err).expect("a refusal");
    assert_eq!(refused(delegated, Code::ResourceExhausted, "RATE_LIMITED").metadata["limit"], "sponsor");
    world.run_of("bob").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_bounded_by_itself() {
    let world = World::start_with(|launch| {
        launch
            .variable("COUNTERSIGN_LIMITS_CHAIN_CALLS_PER_SECOND", "1")
            .variable("COUNTERSIGN_LIMITS_CHAIN_CALLS_BURST", "3")
    })
    .await;
    let (wild, calm) = (world.run_of("alice").await, world.run_of("alice").await);
    let answers = join_all((0..10).map(|_| wild.decide("billing", "refund"))).await;
    let over = answers.into_iter().find(Result::is_err).expect("a refusal");
    assert_eq!(refused(over, Code::ResourceExhausted, "RATE_LIMITED").metadata["limit"], "chain");
    calm.decide("billing", "refund").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_on_live_instances_holds_exactly_over_two_servers_and_room_comes_back() {
    let ceiling = ("COUNTERSIGN_LIMITS_LIVE_INSTANCES_PER_SPONSOR", "5");
    let world = World::start_with(|launch| launch.variable(ceiling.0, ceiling.1)).await;
    let other = countersign_integration::Launch::dev()
        .database(&world.database)
        .variable(ceiling.0, ceiling.1)
        .start()
        .await
        .unwrap();
    world.sponsor("bob").await;
    let there = other.connect(None).await.unwrap();
    let short = v1::IssueCredentialRequest { ttl: Some(seconds(4)), ..issue("bob") };
    let issued = async |request: &v1::IssueCredentialRequest, n: u32| {
        let connection = if n.is_multiple_of(2) { &world.rita } else { &there };
        connection.credentials().issue_credential(request.clone()).await.map(Response::into_inner)
    };
    let answers = join_all((0..24).map(|n| issued(&short, n))).await;
    let (granted, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(granted.len(), 5);
    for refusal in refusals {
        let status = refusal.unwrap_err();
        let info = info(&status);
        assert_eq!((status.code(), info.reason.as_str()), (Code::ResourceExhausted, "LIVE_INSTANCES_EXCEEDED"));
        assert_eq!((info.metadata["limit"].as_str(), info.metadata["ceiling"].as_str()), ("sponsor", "5"));
        assert_eq!(info.metadata["live"], "5");
        let delay = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!((1..=5).contains(&delay.as_secs()), "{delay:?}");
    }
    // A renewal is no new instance, and alice has room of her own.
    let first = granted.into_iter().next().unwrap().unwrap();
    let renewal = v1::IssueCredentialRequest { agent_instance_id: first.agent_instance_id, ..short.clone() };
    issued(&renewal, 0).await.unwrap();
    world.run_of("alice").await;

    // What has expired does not count.
    sleep(Duration::from_secs(6)).await;
    let again = join_all((0..6).map(|n| issued(&short, n))).await;
    assert_eq!(again.iter().filter(|answer| answer.is_ok()).count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_has_a_ceiling_too_and_what_is_revoked_makes_room() {
    let world = World::start_with(|launch| {
        launch
            .variable("COUNTERSIGN_LIMITS_LIVE_INSTANCES_PER_CHAIN", "3")
            .variable("COUNTERSIGN_LIMITS_LIVE_INSTANCES_PER_SPONSOR", "4")
    })
    .await;
    world.sponsor("bob").await;
    let run = world.run_of("bob").await;
    let child = async || {
        let request = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
        run.connection.credentials().delegate_credential(request).await.map(drop)
    };
    child().await.unwrap();
    child().await.unwrap();
    let info = refused(child().await, Code::ResourceExhausted, "LIVE_INSTANCES_EXCEEDED");
    assert_eq!((info.metadata["limit"].as_str(), info.metadata["live"].as_str()), ("chain", "3"));

    let fourth = world.run_of("bob").await;
    refused(
        world.rita.credentials().issue_credential(issue("bob")).await,
        Code::ResourceExhausted,
        "LIVE_INSTANCES_EXCEEDED",
    );
    // Suspended and reinstated: their runs are dead for good, and count no more.
    let suspend =
        v1::SuspendSponsorRequest { sponsor_id: "bob".to_owned(), reason: "on leave".to_owned(), ..Default::default() };
    world.oscar.sponsors().suspend_sponsor(suspend).await.unwrap();
    let reinstate = v1::ReinstateSponsorRequest {
        sponsor_id: "bob".to_owned(),
        reason: "is back".to_owned(),
        ..Default::default()
    };
    world.oscar.sponsors().reinstate_sponsor(reinstate).await.unwrap();
    drop(fourth);
    for _ in 0..4 {
        world.run_of("bob").await;
    }
    refused(
        world.rita.credentials().issue_credential(issue("bob")).await,
        Code::ResourceExhausted,
        "LIVE_INSTANCES_EXCEEDED",
    );
}
