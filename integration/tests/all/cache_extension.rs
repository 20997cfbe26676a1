//! While an incident lasts, caches that follow both streams may keep an ALLOW for up to five minutes: two people say so, it ends by
//! itself, and it is on record.

use std::time::Duration;

use countersign_client::{Connection, v1};
use tokio::time::timeout;
use tonic::{Code, Response, Status};

use crate::{
    operators::{add, admin},
    support::{Run, World, decide, eventually, fields, refused, seconds},
};

async fn propose(by: &Connection, extend_to: i64, life: i64) -> Result<v1::CacheExtension, Status> {
    let request = v1::ProposeCacheExtensionRequest {
        extend_to: Some(seconds(extend_to)),
        life: (life > 0).then(|| seconds(life)),
        reason: "the database is slow".to_owned(),
        ..Default::default()
    };
    Ok(by.policies().propose_cache_extension(request).await?.into_inner().cache_extension.unwrap())
}

async fn confirm(by: &Connection, extension: &v1::CacheExtension) -> Result<v1::CacheExtension, Status> {
    let request = v1::ConfirmCacheExtensionRequest {
        cache_extension_id: extension.cache_extension_id.clone(),
        reason: "seen".to_owned(),
        etag: extension.etag.clone(),
        ..Default::default()
    };
    Ok(by.policies().confirm_cache_extension(request).await?.into_inner().cache_extension.unwrap())
}

async fn end(by: &Connection, extension: &v1::CacheExtension) -> Result<v1::CacheExtension, Status> {
    let request = v1::EndCacheExtensionRequest {
        cache_extension_id: extension.cache_extension_id.clone(),
        reason: "it is over".to_owned(),
        ..Default::default()
    };
    Ok(by.policies().end_cache_extension(request).await?.into_inner().cache_extension.unwrap())
}

/// What an ALLOW says of caches: of any, and of one that follows both streams.
async fn told(run: &Run) -> (i64, Option<i64>) {
    let answer = run.decide("billing", "refund").await.unwrap();
    assert_eq!(answer.effect(), v1::Effect::Allow);
    (answer.cache_ttl.unwrap().seconds, answer.extended_cache_ttl.map(|ttl| ttl.seconds))
}

/// The newest `cache_generation` that WatchPolicy tells.
async fn generation(world: &World) -> String {
    let mut watch = world.rita.policies().watch_policy(v1::WatchPolicyRequest::default()).await.unwrap().into_inner();
    timeout(Duration::from_secs(5), watch.message()).await.unwrap().unwrap().unwrap().cache_generation
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_extend_it_and_who_ends_it_ends_what_is_cached() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    assert_eq!(told(&run).await, (30, None));
    let proposed = propose(&world.rita, 240, 0).await.unwrap();
    assert_eq!((proposed.state(), proposed.life.unwrap().seconds), (v1::CacheExtensionState::Pending, 1_800));
    assert_eq!(told(&run).await, (30, None), "nobody has confirmed it");
    refused(confirm(&world.rita, &proposed).await, Code::FailedPrecondition, "FOUR_EYES");
    refused(propose(&world.oscar, 60, 0).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");

    let before = generation(&world).await;
    let active = confirm(&world.oscar, &proposed).await.unwrap();
    assert_eq!((active.state(), active.confirmed_by.as_str()), (v1::CacheExtensionState::Active, "oscar"));
    assert_eq!(told(&run).await, (30, Some(240)), "who follows no stream keeps it no longer than before");
    assert_eq!(generation(&world).await, before, "nothing that is cached ends with its beginning");
    refused(confirm(&world.oscar, &active).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    let second = world.second().await;
    let there = run.on(&second.connect(None).await.unwrap());
    assert_eq!(told(&there).await, (30, Some(240)), "another server knows it");

    let ended = end(&world.rita, &active).await.unwrap();
    assert_eq!(ended.state(), v1::CacheExtensionState::Ended);
    assert_eq!(told(&run).await, (30, None));
    assert_eq!(told(&there).await, (30, None));
    assert_ne!(generation(&world).await, before, "what was cached by it is good no more");
    refused(end(&world.rita, &active).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");

    let listed = world.oscar.policies().list_cache_extensions(v1::ListCacheExtensionsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().cache_extensions, [ended]);
    let events = world.log().await;
    let standings: Vec<_> = events
        .iter()
        .filter(|event| event.kind() == "cache_extension_changed")
        .map(|event| {
            let changes = event.leaf["changes"].as_array().unwrap();
            let standing = changes.iter().find(|change| change["field"] == "standing").unwrap();
            (event.text("operator_id"), standing["after"].as_str().unwrap())
        })
        .collect();
    assert_eq!(standings, [("rita", "PENDING"), ("oscar", "ACTIVE"), ("rita", "ENDED")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_itself_and_nothing_is_cached_past_its_end() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let active = confirm(&world.oscar, &propose(&world.rita, 300, 60).await.unwrap()).await.unwrap();
    let (usual, extended) = told(&run).await;
    assert!(usual == 30 && extended.is_some_and(|ttl| (31..=60).contains(&ttl)), "{extended:?}");
    // Its last half a minute: no longer than without it.
    let mut connection = world.database.connect().await.unwrap();
    let statement = "UPDATE cache_extension SET end_time = now() + interval '20 seconds'";
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    // A change of what may be allowed makes servers read it again.
    let switch = v1::EngageKillSwitchRequest {
        scope: v1::KillSwitchScope::Tool.into(),
        id: "search".to_owned(),
        reason: "a test".to_owned(),
        ..Default::default()
    };
    world.rita.policies().engage_kill_switch(switch).await.unwrap();
    eventually("it is as without it", async || told(&run).await == (30, None)).await;
    let listed = world.rita.policies().list_cache_extensions(v1::ListCacheExtensionsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().cache_extensions[0].state(), v1::CacheExtensionState::Active);
    sqlx::query("UPDATE cache_extension SET end_time = now()").execute(&mut connection).await.unwrap();
    refused(end(&world.rita, &active).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    // Then there may be another.
    propose(&world.oscar, 31, 14_400).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_a_short_credential_and_a_withdrawn_proposal_extend_nothing() {
    let world = World::start().await;
    let withdrawn = propose(&world.rita, 300, 0).await.unwrap();
    end(&world.oscar, &withdrawn).await.unwrap();
    refused(confirm(&world.oscar, &withdrawn).await, Code::Aborted, "ETAG_MISMATCH");
    for (extend_to, life, field) in
        [(30, 0, "extend_to"), (301, 0, "extend_to"), (60, 59, "life"), (60, 14_401, "life")]
    {
        assert_eq!(fields(&propose(&world.rita, extend_to, life).await.unwrap_err()), [field]);
    }
    confirm(&world.oscar, &propose(&world.rita, 300, 0).await.unwrap()).await.unwrap();
    let run = world.run_of("alice").await;
    let denied = run.connection.decisions().decide(decide("billing", "erase")).await.unwrap().into_inner();
    assert_eq!((denied.effect(), denied.extended_cache_ttl), (v1::Effect::Deny, None));
    let short = v1::IssueCredentialRequest { ttl: Some(seconds(60)), ..crate::support::issue("alice") };
    let (_, extended) = told(&world.run_with(short, &["billing"]).await).await;
    assert!(extended.is_some_and(|ttl| ttl <= 60), "no longer than the credential: {extended:?}");
    let (issuer, _) = add(&world.server, &admin(&world.server).await, "ingo", &["issuer"]).await;
    refused(propose(&issuer, 60, 0).await, Code::PermissionDenied, "ROLE_REQUIRED");
    let listed = issuer.policies().list_cache_extensions(v1::ListCacheExtensionsRequest::default()).await;
    refused(listed.map(Response::into_inner), Code::PermissionDenied, "ROLE_REQUIRED");
}
