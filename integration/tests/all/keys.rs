//! Signing keys from outside: rotation without a refusal, compromise that bites, one rotator among replicas.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_client::{Connection, v1};
use countersign_integration::{Launch, Server};
use futures::future::join_all;
use tokio::{task::JoinHandle, time::sleep};
use tonic::{Code, Response, Status};

use crate::support::{Event, Run, World, counted, decide, eventually, issue, refused};

/// The first admin, who alone may touch keys.
async fn admin(world: &World, server: &Server) -> Connection {
    server.connect(Some(&world.server.admin_key().unwrap())).await.unwrap()
}

async fn rotate(admin: &Connection) -> Result<v1::SigningKey, Status> {
    let request = v1::RotateSigningKeyRequest { reason: "drill".to_owned(), ..Default::default() };
    admin.signing_keys().rotate_signing_key(request).await.map(|answer| answer.into_inner().key.unwrap())
}

fn mark(kid: &str) -> v1::MarkKeyCompromisedRequest {
    v1::MarkKeyCompromisedRequest { kid: kid.to_owned(), reason: "found in a dump".to_owned(), ..Default::default() }
}

async fn list(admin: &Connection, state: v1::SigningKeyState) -> Vec<v1::SigningKey> {
    let request = v1::ListSigningKeysRequest { state: state.into(), ..Default::default() };
    admin.signing_keys().list_signing_keys(request).await.unwrap().into_inner().keys
}

async fn the(admin: &Connection, state: v1::SigningKeyState) -> v1::SigningKey {
    let mut keys = list(admin, state).await;
    assert_eq!(keys.len(), 1, "of {state:?}");
    keys.remove(0)
}

async fn published(server: &Server) -> BTreeSet<String> {
    let jwks = server.http(None).get("/.well-known/jwks.json").await.unwrap().json();
    let keys = jwks["keys"].as_array().unwrap().clone();
    for key in &keys {
        assert_eq!((key["alg"].as_str(), key["use"].as_str()), (Some("ES256"), Some("sig")));
        assert!(key.get("d").is_none(), "a private half is published");
    }
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// The kid in a token's header.
fn kid(token: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn allowed(answer: &Result<v1::DecideResponse, Status>) -> bool {
    matches!(answer, Ok(answer) if answer.effect() == v1::Effect::Allow)
}

/// Issues at one server, delegates and decides at the other, until told to stop; counts in `rounds` how often. Returns what was
/// refused.
fn busy(
    issuer: &Connection,
    elsewhere: &Connection,
    stop: &Arc<AtomicBool>,
    rounds: &Arc<AtomicUsize>,
) -> JoinHandle<Vec<String>> {
    let (issuer, elsewhere, stop, rounds) = (issuer.clone(), elsewhere.clone(), stop.clone(), rounds.clone());
    tokio::spawn(async move {
        let mut refusals = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            if let Err(refusal) = once_around(&issuer, &elsewhere).await {
                refusals.push(refusal);
            }
            rounds.fetch_add(1, Ordering::Relaxed);
        }
        refusals
    })
}

async fn once_around(here: &Connection, elsewhere: &Connection) -> Result<(), String> {
    let failed = |status: Status| status.to_string();
    let issued = here.credentials().issue_credential(issue("alice")).await.map_err(failed)?.into_inner();
    let parent = elsewhere.with_token(&issued.token).unwrap();
    let request = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
    let child = parent.credentials().delegate_credential(request).await.map_err(failed)?.into_inner();
    for token in [&issued.token, &child.token] {
        for server in [here, elsewhere] {
            let run = server.with_token(token).unwrap();
            let answer = run.decisions().decide(decide("billing", "refund")).await.map(Response::into_inner);
            if !allowed(&answer) {
                return Err(format!("{answer:?}"));
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_rotations_in_a_row_are_met_by_no_refusal_anywhere() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(Some(&world.server.operator_key("rita").unwrap())).await.unwrap();
    let admins = [admin(&world, &world.server).await, admin(&world, &second).await];
    let before = world.run_of("alice").await;

    let stop = Arc::new(AtomicBool::new(false));
    let rounds: Vec<_> = (0..4).map(|_| Arc::<AtomicUsize>::default()).collect();
    let done = |times: usize| rounds.iter().all(|rounds| rounds.load(Ordering::Relaxed) > times);
    let ways = [(&world.rita, &elsewhere), (&elsewhere, &world.rita)];
    let callers: Vec<_> = ways
        .into_iter()
        .cycle()
        .zip(&rounds)
        .map(|((issuer, other), rounds)| busy(issuer, other, &stop, rounds))
        .collect();
    let mut signed = vec![kid(&before.token)];
    for n in 0..10 {
        let next = the(&admins[0], v1::SigningKeyState::Next).await;
        let key = rotate(&admins[n % 2]).await.unwrap();
        assert_eq!((&key.kid, key.state()), (&next.kid, v1::SigningKeyState::Active), "the next key signs now");
        assert!(key.activate_time.is_some() && key.retire_time.is_none());
        signed.push(key.kid);
        eventually("everybody has gone around once more", async || done(n + 1)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let refusals: Vec<_> = join_all(callers).await.into_iter().flat_map(Result::unwrap).collect();
    assert!(refusals.is_empty(), "{} refusals: {:?}", refusals.len(), refusals.first());

    // What was issued before the first rotation holds at both, and the keys are published: those that signed, and the next.
    for server in [&world.rita, &elsewhere] {
        assert!(allowed(&before.on(server).decide("billing", "refund").await));
    }
    let next = the(&admins[1], v1::SigningKeyState::Next).await;
    let expected: BTreeSet<_> = signed.iter().chain([&next.kid]).cloned().collect();
    for server in [&world.server, &second] {
        let start = std::time::Instant::now();
        while published(server).await != expected && start.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(published(server).await, expected);
    }
    let listed = list(&admins[0], v1::SigningKeyState::Unspecified).await;
    let newest_first: Vec<_> = signed.iter().chain([&next.kid]).rev().collect();
    assert_eq!(listed.len(), 12);
    assert_eq!(listed.iter().take(10).map(|key| &key.kid).collect::<Vec<_>>(), newest_first[..10]);
    let kinds = kinds(&world.log().await);
    for (kind, times) in [("key_created", 12), ("key_activated", 11), ("key_retired", 10)] {
        assert_eq!(kinds.iter().filter(|known| *known == kind).count(), times, "{kind}");
    }
    let rotations = join_all(
        [&world.server, &second]
            .map(|server| counted(server, r#"countersign_signing_key_rotations_total{cause="request"}"#)),
    );
    assert_eq!(rotations.await, [5.0, 5.0]);
    no_private_half_is_left_but_of_keys_that_sign(&world).await;
}

/// What happened to signing keys; X.509 authorities have events of the same kinds.
fn kinds(log: &[Event]) -> Vec<String> {
    let of_keys = log.iter().filter(|event| event.leaf["subject"]["type"] == "key");
    of_keys.map(|event| event.kind().to_owned()).collect()
}

async fn no_private_half_is_left_but_of_keys_that_sign(world: &World) {
    let mut connection = world.database.connect().await.unwrap();
    let with: Vec<String> = sqlx::query_scalar(
        "SELECT state FROM signing_key WHERE length(private_key) > 0 OR length(private_nonce) > 0 ORDER BY state",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(with, ["active", "next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compromised_keys_tokens_are_refused_everywhere_by_log_order_and_issuing_goes_on() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(Some(&world.server.operator_key("rita").unwrap())).await.unwrap();
    let admin = admin(&world, &world.server).await;
    let run = world.run_of("alice").await;
    let (active, next) = (the(&admin, v1::SigningKeyState::Active).await, the(&admin, v1::SigningKeyState::Next).await);
    assert_eq!(active.kid, kid(&run.token));

    // Callers at both servers, all the while.
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..20)
        .map(|n| {
            let (run, stop) = (run.on(if n % 2 == 0 { &world.rita } else { &elsewhere }), stop.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    answers.extend(run.decide("billing", "refund").await);
                }
                answers
            })
        })
        .collect();
    sleep(Duration::from_millis(200)).await;
    let request = v1::MarkKeyCompromisedRequest { etag: active.etag.clone(), ..mark(&active.kid) };
    let marked = admin.signing_keys().mark_key_compromised(request).await.unwrap().into_inner();
    // New credentials hold at once, at both.
    for (issuer, other) in [(&world.rita, &elsewhere), (&elsewhere, &world.rita)] {
        let issued = issuer.credentials().issue_credential(issue("alice")).await.unwrap().into_inner();
        assert_eq!(kid(&issued.token), next.kid, "the next key signs");
        let run = Run { token: issued.token, id: String::new(), connection: issuer.clone(), log_index: 0 };
        assert!(allowed(&run.on(other).decide("billing", "refund").await));
    }
    sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    let answers: Vec<_> = join_all(callers).await.into_iter().flat_map(Result::unwrap).collect();
    let (before, after): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.log_index < marked.log_index);
    assert!(before.iter().all(|answer| answer.effect() == v1::Effect::Allow) && !before.is_empty());
    for answer in &after {
        assert_eq!(answer.reason.as_ref().unwrap().code(), v1::DecisionReason::CredentialRevoked, "{answer:?}");
    }
    assert!(!after.is_empty());

    // Gone from what is published, replaced, and dead for good.
    let key = marked.key.unwrap();
    assert_eq!((key.kid.as_str(), key.state()), (active.kid.as_str(), v1::SigningKeyState::Compromised));
    let fresh = the(&admin, v1::SigningKeyState::Next).await;
    assert_eq!(the(&admin, v1::SigningKeyState::Active).await.kid, next.kid);
    for server in [&world.server, &second] {
        assert_eq!(published(server).await, BTreeSet::from([next.kid.clone(), fresh.kid.clone()]));
    }
    let event = world.log().await.into_iter().find(|event| event.index == marked.log_index).unwrap();
    assert_eq!(
        (event.kind(), event.text("state_before"), event.text("state_after")),
        ("key_compromised", "ACTIVE", "COMPROMISED")
    );
    assert_eq!((event.leaf["subject"]["id"].as_str(), event.text("operator_id")), (Some(active.kid.as_str()), "admin"));
    assert!(!event.text("revocation_seq").is_empty() && !event.text("authority_epoch").is_empty());
    let answer = admin.signing_keys().mark_key_compromised(mark(&active.kid)).await;
    refused(answer, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    no_private_half_is_left_but_of_keys_that_sign(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_marked_and_rotated_once_and_only_as_they_were_read() {
    let world = World::start().await;
    let admin = admin(&world, &world.server).await;
    let mut keys = admin.signing_keys();
    let answer = keys.mark_key_compromised(mark("nobodys-key")).await;
    refused(answer, Code::NotFound, "NOT_FOUND");
    let next = the(&admin, v1::SigningKeyState::Next).await;
    let request = v1::MarkKeyCompromisedRequest { etag: "active".to_owned(), ..mark(&next.kid) };
    refused(keys.mark_key_compromised(request).await, Code::Aborted, "ETAG_MISMATCH");

    // A next key is replaced, and the active one goes on.
    let active = the(&admin, v1::SigningKeyState::Active).await;
    let request = v1::MarkKeyCompromisedRequest { request_id: "mark-1".to_owned(), ..mark(&next.kid) };
    let first = keys.mark_key_compromised(request.clone()).await.unwrap().into_inner();
    assert_eq!(keys.mark_key_compromised(request).await.unwrap().into_inner(), first);
    assert_eq!(the(&admin, v1::SigningKeyState::Active).await, active);
    assert_ne!(the(&admin, v1::SigningKeyState::Next).await.kid, next.kid);

    // One request id, one rotation; and so for a retired key, whose tokens die with it.
    let run = world.run_of("alice").await;
    let request = v1::RotateSigningKeyRequest { reason: "quarterly".to_owned(), request_id: "rotate-1".to_owned() };
    let first = keys.rotate_signing_key(request.clone()).await.unwrap().into_inner();
    assert_eq!(keys.rotate_signing_key(request).await.unwrap().into_inner(), first);
    assert!(allowed(&run.decide("billing", "refund").await));
    keys.mark_key_compromised(mark(&active.kid)).await.unwrap();
    let answer = run.decide("billing", "refund").await.unwrap();
    assert_eq!(answer.reason.unwrap().code(), v1::DecisionReason::CredentialRevoked);
    let active_now = the(&admin, v1::SigningKeyState::Active).await;
    assert_eq!(Some(active_now.kid), first.key.map(|key| key.kid));

    // Pages, newest first.
    let mut request = v1::ListSigningKeysRequest { page_size: 2, ..Default::default() };
    let mut paged = Vec::new();
    loop {
        let page = keys.list_signing_keys(request.clone()).await.unwrap().into_inner();
        paged.extend(page.keys);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(paged, list(&admin, v1::SigningKeyState::Unspecified).await);
    assert_eq!(paged.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_clock_one_replica_rotates_once_however_long_nobody_did() {
    let world = World::start().await;
    let admin = admin(&world, &world.server).await;
    let next = the(&admin, v1::SigningKeyState::Next).await;
    // As if everything had stood still for ten rotation periods, and now three servers look.
    let mut connection = world.database.connect().await.unwrap();
    sqlx::query("UPDATE signing_key SET activate_time = activate_time - interval '240 hours' WHERE state = 'active'")
        .execute(&mut connection)
        .await
        .unwrap();
    // A key is published for ten minutes before it signs by the clock.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(the(&admin, v1::SigningKeyState::Next).await.kid, next.kid);
    sqlx::query("UPDATE signing_key SET create_time = create_time - interval '10 minutes' WHERE state = 'next'")
        .execute(&mut connection)
        .await
        .unwrap();
    let start = || Launch::dev().database(&world.database).start();
    let (one, two) = tokio::join!(start(), start());
    let (one, two) = (one.unwrap(), two.unwrap());
    let start = std::time::Instant::now();
    while the(&admin, v1::SigningKeyState::Active).await.kid != next.kid {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody rotated");
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(1)).await;
    let log = world.log().await;
    let retired: Vec<_> = log.iter().filter(|event| event.kind() == "key_retired").collect();
    assert_eq!(retired.len(), 1, "one rotation");
    assert_eq!(retired[0].text("operator_id"), "", "by nobody's order");
    let mut rotations = 0.0;
    for server in [&world.server, &one, &two] {
        rotations += counted(server, r#"countersign_signing_key_rotations_total{cause="clock"}"#).await;
        assert!(counted(server, "countersign_signing_key_age_seconds").await < 60.0);
    }
    assert!((rotations - 1.0).abs() < f64::EPSILON, "{rotations} rotations were counted");

    // A clock that went back rotates nothing.
    sqlx::query("UPDATE signing_key SET activate_time = activate_time + interval '240 hours' WHERE state = 'active'")
        .execute(&mut connection)
        .await
        .unwrap();
    let third = Launch::dev().database(&world.database).start().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(the(&admin, v1::SigningKeyState::Active).await.kid, next.kid);
    assert!(counted(&third, "countersign_signing_key_age_seconds").await.abs() < f64::EPSILON);
}
