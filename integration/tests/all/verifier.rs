//! The Rust client's verifier against real servers: how fast it learns, and what it does when it cannot.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_client::{
    Connection, v1,
    verify::{Denied, Reason, STALENESS_BOUND, Verifier},
};
use countersign_integration::Launch;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::support::{Island, World, issue};

/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(2);

/// Follows the installation at the other end, whose issuer and audience `token` names.
pub(crate) async fn verifier(connection: &Connection, token: &str) -> Verifier {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let text = |claim: &str| claims[claim].as_str().unwrap().to_owned();
    let verifier = Verifier::follow(connection.clone(), &text("iss"), &text("aud"));
    timeout(Duration::from_secs(10), verifier.ready()).await.unwrap();
    verifier
}

/// Waits until the verifier says so of `token`; how long that took.
pub(crate) async fn until(verifier: &Verifier, token: &str, wanted: impl Fn(&Option<Denied>) -> bool) -> Duration {
    let start = Instant::now();
    loop {
        let said = verifier.verify(token).err();
        if wanted(&said) {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it still says {said:?}; trouble: {:?}", verifier.trouble());
        sleep(Duration::from_millis(5)).await;
    }
}

async fn suspend(oscar: &Connection, sponsor: &str) {
    let (sponsor_id, reason) = (sponsor.to_owned(), "away".to_owned());
    let request = v1::SuspendSponsorRequest { sponsor_id, reason, ..Default::default() };
    oscar.sponsors().suspend_sponsor(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_revokes_a_verifier_at_another_refuses_within_the_bound() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(Some(&world.server.operator_key("rita").unwrap())).await.unwrap();
    let (run, other) = (world.run_of("alice").await, world.run_with(issue("alice"), &["search"]).await);
    let child = run.child().await;
    let verifier = verifier(&elsewhere, &run.token).await;
    for token in [&run.token, &child.token, &other.token] {
        verifier.verify(token).unwrap();
    }
    let child_says = verifier.verify(&child.token).unwrap();
    assert_eq!((child_says.sponsor_id.as_str(), child_says.depth()), ("alice", 1));

    let scope = Some(v1::revoke_credentials_request::Scope::ToolId("billing".to_owned()));
    let request = v1::RevokeCredentialsRequest { scope, reason: "leaked".to_owned(), ..Default::default() };
    world.oscar.credentials().revoke_credentials(request).await.unwrap();
    let dead = |said: &Option<Denied>| *said == Some(Denied::Revoked(Reason::CredentialRevoked));
    let took = until(&verifier, &run.token, dead).await;
    assert!(took < STALENESS_BOUND, "{took:?}");
    assert_eq!(verifier.verify(&child.token), Err(Denied::Revoked(Reason::CredentialRevoked)));
    verifier.verify(&other.token).unwrap();

    suspend(&world.oscar, "alice").await;
    until(&verifier, &other.token, |said| *said == Some(Denied::Revoked(Reason::SponsorNotActive))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_is_cut_off_denies_everything_and_learns_what_it_missed() {
    let mut world = World::start().await;
    let second = world.second().await;
    let oscar = second.connect(Some(&world.server.operator_key("oscar").unwrap())).await.unwrap();
    world.sponsor("bob").await;
    let (alices, bobs) = (world.run_of("alice").await, world.run_of("bob").await);
    let verifier = verifier(&world.rita, &alices.token).await;
    verifier.verify(&bobs.token).unwrap();

    let address = world.server.address();
    world.server.kill();
    let killed = Instant::now();
    sleep(Duration::from_secs(1)).await;
    verifier.verify(&bobs.token).expect("what it knows is not old yet");
    until(&verifier, &bobs.token, |said| *said == Some(Denied::CutOff)).await;
    let took = killed.elapsed();
    assert!(took <= STALENESS_BOUND + SLACK, "{took:?}");
    assert_eq!(verifier.verify(&alices.token), Err(Denied::CutOff));
    assert!(verifier.trouble().is_some());

    // Entered while it was away, by another server.
    suspend(&oscar, "bob").await;
    assert_eq!(verifier.verify(&bobs.token), Err(Denied::CutOff));
    let again = Launch::dev().database(&world.database).variable("COUNTERSIGN_LISTEN", &address.to_string());
    let _again = again.start().await.unwrap();
    until(&verifier, &alices.token, Option::is_none).await;
    assert_eq!(verifier.verify(&bobs.token), Err(Denied::Revoked(Reason::SponsorNotActive)));
    assert_eq!(verifier.trouble(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_database_does_not_pretend_to_know_the_present() {
    let mut island = Island::start().await;
    let token = island.dev.credentials().issue_credential(issue("alice")).await.unwrap().into_inner().token;
    let verifier = verifier(&island.dev, &token).await;
    verifier.verify(&token).unwrap();

    island.cluster.stop().await.unwrap();
    let stopped = Instant::now();
    until(&verifier, &token, |said| *said == Some(Denied::CutOff)).await;
    assert!(stopped.elapsed() <= STALENESS_BOUND + SLACK, "{:?}", stopped.elapsed());
    assert!(
        island.server.http(None).get("/healthz").await.unwrap().status.is_success(),
        "the server lives, and is silent"
    );

    island.cluster.start_again().await.unwrap();
    until(&verifier, &token, Option::is_none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instances_own_credential_is_enough_to_follow_what_concerns_it() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let child = run.child().await;
    let verifier = verifier(&run.connection, &run.token).await;
    verifier.verify(&child.token).unwrap();
    suspend(&world.oscar, "alice").await;
    until(&verifier, &child.token, |said| *said == Some(Denied::Revoked(Reason::SponsorNotActive))).await;
    // Its stream has ended with it, and soon it knows nothing.
    until(&verifier, &child.token, |said| *said == Some(Denied::CutOff)).await;
    assert!(verifier.trouble().unwrap().contains("SPONSOR_NOT_ACTIVE"), "{:?}", verifier.trouble());
}
