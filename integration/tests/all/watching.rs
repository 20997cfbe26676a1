//! WatchRevocations: who is told what, and that nobody misses anything or is told it twice.

use std::time::{Duration, Instant};

use countersign_client::{Connection, v1};
use futures::future::join_all;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming};
use v1::{RevocationKind, WatchRevocationsResponse, revoke_credentials_request::Scope};

use crate::support::{Run, World, info};

async fn watch(connection: &Connection, since: i64) -> Streaming<WatchRevocationsResponse> {
    let request = v1::WatchRevocationsRequest { since };
    connection.credentials().watch_revocations(request).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<WatchRevocationsResponse>) -> WatchRevocationsResponse {
    let message = timeout(Duration::from_secs(10), stream.message()).await.expect("a heartbeat at least");
    message.unwrap().expect("the stream goes on")
}

/// The next message that is no heartbeat.
async fn news(stream: &mut Streaming<WatchRevocationsResponse>) -> WatchRevocationsResponse {
    loop {
        let message = next(stream).await;
        if !message.heartbeat {
            return message;
        }
    }
}

/// How a stream ends.
async fn end(mut stream: Streaming<WatchRevocationsResponse>) -> Status {
    let ended = async {
        loop {
            match stream.message().await {
                Ok(message) => assert!(message.is_some(), "it ended without a status"),
                Err(status) => return status,
            }
        }
    };
    timeout(Duration::from_secs(15), ended).await.expect("the stream ends")
}

fn seqs(message: &WatchRevocationsResponse) -> Vec<i64> {
    message.entries.iter().map(|entry| entry.seq).collect()
}

async fn revoke_tool(oscar: &Connection, tool: &str) -> i64 {
    let scope = Some(Scope::ToolId(tool.to_owned()));
    let request = v1::RevokeCredentialsRequest { scope, reason: "leaked".to_owned(), ..Default::default() };
    oscar.credentials().revoke_credentials(request).await.unwrap().into_inner().seq
}

async fn revoke_credential_of(world: &World, run: &Run) -> i64 {
    let asked = v1::IntrospectCredentialRequest::default();
    let said = run.connection.credentials().introspect_credential(asked).await.unwrap().into_inner();
    let (credential_id, reason) = (said.credential_id, "leaked".to_owned());
    let request = v1::RevokeCredentialRequest { credential_id, reason, ..Default::default() };
    world.rita.credentials().revoke_credential(request).await.unwrap().into_inner().seq
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_comes_first_then_each_entry_at_once_and_a_heartbeat_every_second() {
    let world = World::start().await;
    revoke_tool(&world.oscar, "mail").await;
    let mut stream = watch(&world.rita, 0).await;
    let first = next(&mut stream).await;
    assert_eq!((first.snapshot, seqs(&first), first.seq), (true, vec![1], 1));
    assert_eq!((first.entries[0].kind(), first.entries[0].id.as_str()), (RevocationKind::Tool, "mail"));

    assert_eq!(revoke_tool(&world.oscar, "search").await, 2);
    let told = timeout(Duration::from_secs(1), news(&mut stream)).await.expect("at once");
    assert_eq!((told.snapshot, seqs(&told), told.seq), (false, vec![2], 2));
    assert!(told.entries[0].create_time.is_some() && told.server_time.is_some());

    let start = Instant::now();
    for _ in 0..3 {
        let beat = next(&mut stream).await;
        assert!(beat.heartbeat && beat.entries.is_empty() && beat.seq == 2, "{beat:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());

    // Resumed: what is new since; at once even where that is nothing; everything where the number is none of this list.
    for (since, entries, snapshot) in [(1, vec![2], false), (2, vec![], false), (7, vec![1, 2], true)] {
        let message = next(&mut watch(&world.rita, since).await).await;
        assert_eq!((seqs(&message), message.snapshot, message.seq), (entries, snapshot, 2), "since {since}");
    }
    let request = v1::WatchRevocationsRequest { since: -1 };
    let status = world.rita.credentials().watch_revocations(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_changes_servers_all_the_time_is_told_every_entry_once_and_in_order() {
    const ENTRIES: i64 = 60;
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(Some(&world.server.operator_key("oscar").unwrap())).await.unwrap();
    let writers = [world.oscar.clone(), elsewhere.clone()].map(|server| {
        tokio::spawn(async move {
            for _ in 0..ENTRIES / 6 {
                join_all((0..3).map(|_| revoke_tool(&server, "mail"))).await;
            }
        })
    });
    let (mut known, mut told, mut turn) = (0, Vec::new(), 0);
    while known < ENTRIES {
        turn += 1;
        let mut stream = watch([&world.oscar, &elsewhere][turn % 2], known).await;
        for _ in 0..=turn % 3 {
            let message = next(&mut stream).await;
            if message.snapshot {
                assert_eq!(known, 0, "nobody here was away for long");
                told.clear();
            }
            told.extend(seqs(&message));
            known = message.seq;
        }
    }
    assert_eq!(told, (1..=ENTRIES).collect::<Vec<_>>());
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_told_what_concerns_it_and_of_nobody_else_and_its_stream_ends_with_it() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let (parent, other, bobs) = (world.run_of("alice").await, world.run_of("alice").await, world.run_of("bob").await);
    let child = parent.child().await;
    let mut stream = watch(&child.connection, 0).await;
    assert!(next(&mut stream).await.snapshot);

    // A neighbour's credential, another sponsor, a tool that it does not have.
    revoke_credential_of(&world, &other).await;
    let request =
        v1::RevokeSponsorRequest { sponsor_id: "bob".to_owned(), reason: "left".to_owned(), ..Default::default() };
    world.oscar.sponsors().revoke_sponsor(request).await.unwrap();
    assert_eq!(revoke_tool(&world.oscar, "mail").await, 3);
    let mut seq = 0;
    while seq < 3 {
        let message = next(&mut stream).await;
        assert!(message.heartbeat && message.entries.is_empty(), "told of others: {message:?}");
        seq = message.seq;
    }
    let snapshot = next(&mut watch(&child.connection, 0).await).await;
    assert_eq!((snapshot.snapshot, snapshot.entries.len(), snapshot.seq), (true, 0, 3));
    let status = bobs.connection.credentials().watch_revocations(v1::WatchRevocationsRequest::default()).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);

    // Its sponsor is its own business; and its end.
    let request =
        v1::SuspendSponsorRequest { sponsor_id: "alice".to_owned(), reason: "away".to_owned(), ..Default::default() };
    world.oscar.sponsors().suspend_sponsor(request).await.unwrap();
    let told = news(&mut stream).await;
    assert_eq!((told.entries[0].kind(), told.entries[0].id.as_str(), told.seq), (RevocationKind::Sponsor, "alice", 4));
    let start = Instant::now();
    let status = end(stream).await;
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
    assert!(status.message().contains("SPONSOR_NOT_ACTIVE"), "{}", status.message());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_stream_ends_soon_after_its_key_is_revoked() {
    let world = World::start().await;
    let stream = watch(&world.rita, 0).await;
    let open = world.rita.rollouts().watch_rollouts(v1::WatchRolloutsRequest {}).await.unwrap().into_inner();
    let mut database = world.database.connect().await.unwrap();
    sqlx::query("UPDATE api_key SET revoke_time = now() WHERE operator_id = 'rita'")
        .execute(&mut database)
        .await
        .unwrap();
    let status = end(stream).await;
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
    let mut open = open;
    let ended = async {
        loop {
            if let Err(status) = open.message().await {
                return status;
            }
        }
    };
    assert_eq!(timeout(Duration::from_secs(5), ended).await.unwrap().code(), Code::Unauthenticated, "as any other");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_costs_the_server_no_memory() {
    let world = World::start().await;
    let mut idle = watch(&world.rita, 0).await;
    assert!(next(&mut idle).await.snapshot);
    for _ in 0..40 {
        revoke_tool(&world.oscar, "mail").await;
    }
    sleep(Duration::from_millis(500)).await;
    // However it was cut into messages, it is all there once; what the connection has no room for is not made before.
    let (mut known, mut told) = (0, Vec::new());
    while known < 40 {
        let message = next(&mut idle).await;
        told.extend(seqs(&message));
        known = message.seq;
    }
    assert_eq!(told, (1..=40).collect::<Vec<_>>());
}
