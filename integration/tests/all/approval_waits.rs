//! Waiting for a person's answer: how long, who may, and across servers.

use std::time::{Duration, Instant};

use countersign_client::{Bearer, Connection, v1};
use countersign_integration::Server;
use tokio::time::sleep;
use tonic::{Code, transport::Endpoint};

use crate::{
    approvals::{ALLOWS, EXPIRED, approve, ask, get, refund, said, wait, with, world, world_with, yes},
    support::{eventually, fields, refused},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_answers_or_uses_in_time_lapses_once() {
    let world = world_with(&[("COUNTERSIGN_APPROVALS_LIFE_SECONDS", "5")]).await;
    let second = world.second().await;
    let run = world.run_of("alice").await;
    let (unanswered, unused) = (ask(&run, refund(1)).await.approval_id, ask(&run, refund(2)).await.approval_id);
    approve(&world.oscar, yes(&unused)).await.unwrap();
    let waited = Instant::now();
    let lapsed = wait(&run.connection, &unanswered, 9).await.unwrap();
    assert_eq!(lapsed.state(), v1::ApprovalState::Expired);
    assert!(waited.elapsed() < Duration::from_secs(8), "a wait ends with what it waits for");
    for id in [&unanswered, &unused] {
        // They were asked for one after the other.
        eventually("it lapses", async || get(&world.oscar, id).await.unwrap().state() == v1::ApprovalState::Expired)
            .await;
        refused(approve(&world.oscar, yes(id)).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    }
    assert_eq!(said(&with(&run, refund(1), &unanswered).await), EXPIRED);
    assert_eq!(said(&with(&run, refund(2), &unused).await), EXPIRED);
    let expired = async || {
        let log = world.log().await;
        log.into_iter().filter(|event| event.kind() == "approval_expired").collect::<Vec<_>>()
    };
    eventually("both have their event", async || expired().await.len() >= 2).await;
    sleep(Duration::from_millis(2_500)).await;
    let states: Vec<_> = expired().await.iter().map(|event| event.text("state_before").to_owned()).collect();
    assert_eq!(states.len(), 2, "of two servers one records it, once");
    assert!(states.contains(&"PENDING".to_owned()) && states.contains(&"APPROVED".to_owned()), "{states:?}");
    let listed = v1::ListApprovalsRequest { state: v1::ApprovalState::Expired.into(), ..Default::default() };
    assert_eq!(world.oscar.approvals().list_approvals(listed).await.unwrap().into_inner().approvals.len(), 2);
    drop(second);
}

/// A connection whose calls may take longer than those of [`Connection::connect`].
pub(crate) async fn patient(server: &Server, token: &str) -> Connection {
    let channel = Endpoint::from_shared(server.url()).unwrap().connect().await.unwrap();
    Connection::over(channel, Bearer::new(token).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_hears_of_an_answer_on_another_server_at_once() {
    let world = world().await;
    let second = world.second().await;
    let key = world.server.operator_key("oscar").unwrap();
    let elsewhere = second.connect(Some(&key)).await.unwrap();
    let run = world.run_of("alice").await;
    let id = ask(&run, refund(500)).await.approval_id;
    let gate = patient(&world.server, &world.server.operator_key("rita").unwrap()).await;
    let own = patient(&world.server, &run.token).await;

    let start = Instant::now();
    assert_eq!(wait(&own, &id, 1).await.unwrap().state(), v1::ApprovalState::Pending, "the wait ran out");
    assert!((900..3_000).contains(&start.elapsed().as_millis()));
    // Longer than requests may take.
    let start = Instant::now();
    // A chain may have eight of them, a gate as many as there are.
    let waits: Vec<_> = std::iter::repeat_n(&own, 8)
        .chain(std::iter::repeat_n(&gate, 42))
        .cloned()
        .map(|connection| {
            let id = id.clone();
            tokio::spawn(async move {
                let answered = wait(&connection, &id, 60).await.unwrap();
                (answered.state(), Instant::now())
            })
        })
        .collect();
    sleep(Duration::from_secs(12)).await;
    approve(&elsewhere, yes(&id)).await.unwrap();
    let answered = Instant::now();
    for wait in waits {
        let (state, woken) = wait.await.unwrap();
        assert_eq!(state, v1::ApprovalState::Approved);
        assert!(woken.duration_since(answered) < Duration::from_secs(2));
        assert!(start.elapsed() > Duration::from_secs(12));
    }
    assert_eq!(said(&with(&run, refund(500), &id).await), ALLOWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_chain_and_gates_may_wait_and_no_longer_than_they_live() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let id = ask(&run, refund(500)).await.approval_id;
    let other = world.run_of("alice").await;
    refused(wait(&other.connection, &id, 1).await, Code::NotFound, "NOT_FOUND");
    refused(wait(&world.oscar, &id, 1).await, Code::PermissionDenied, "ROLE_REQUIRED");
    assert_eq!(fields(&wait(&run.connection, &id, 61).await.unwrap_err()), ["wait"]);
    assert_eq!(wait(&run.child().await.connection, &id, 0).await.unwrap().state(), v1::ApprovalState::Pending);

    let own = patient(&world.server, &run.token).await;
    let waiting = tokio::spawn({
        let id = id.clone();
        async move { wait(&own, &id, 60).await }
    });
    sleep(Duration::from_secs(1)).await;
    let reason = "stop".to_owned();
    let request = v1::RevokeInstanceRequest { agent_instance_id: run.id.clone(), reason, ..Default::default() };
    world.oscar.instances().revoke_instance(request).await.unwrap();
    let revoked = Instant::now();
    refused(waiting.await.unwrap(), Code::Unauthenticated, "UNAUTHENTICATED");
    assert!(revoked.elapsed() < Duration::from_secs(5));
}
