//! Approvals where things happen at once, or end in between.

use std::time::Duration;

use countersign_client::v1;
use futures::future::join_all;
use tokio::time::sleep;
use tonic::Code;

use crate::{
    approvals::{ALLOWS, EXPIRED, approve, ask, events, get, no, refund, reject, said, with, world, world_with, yes},
    support::{Run, World, eventually, refused},
};

/// A run of a new sponsor, and the yes to its refund of 500.
async fn approved(world: &World, sponsor: &str) -> (Run, String) {
    world.sponsor(sponsor).await;
    let run = world.run_of(sponsor).await;
    let id = ask(&run, refund(500)).await.approval_id;
    approve(&world.oscar, yes(&id)).await.unwrap();
    (run, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_yes_is_used_once_however_many_ask_on_two_servers() {
    let world = world().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let run = world.run_of("alice").await;
    for round in 0..5 {
        let id = ask(&run, refund(round)).await.approval_id;
        approve(&world.oscar, yes(&id)).await.unwrap();
        let asks = (0..40).map(|number| {
            let run = run.on(if number % 2 == 0 { &world.rita } else { &elsewhere });
            let id = id.clone();
            tokio::spawn(async move { said(&with(&run, refund(round), &id).await) })
        });
        let answers: Vec<_> = join_all(asks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| **answer == ALLOWS).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| *answer == ALLOWS || *answer == EXPIRED), "{answers:?}");
        let allows = events(&world, &id).await.into_iter().filter(|event| event.text("effect") == "ALLOW").count();
        assert_eq!(allows, 1, "in the log too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_yes_and_a_no_at_once_one_stands() {
    let world = world().await;
    let second = world.second().await;
    let key = world.server.operator_key("oscar").unwrap();
    let elsewhere = second.connect(Some(&key)).await.unwrap();
    let run = world.run_of("alice").await;
    for round in 0..10 {
        let id = ask(&run, refund(round)).await.approval_id;
        let (yes, no) = tokio::join!(approve(&world.oscar, yes(&id)), reject(&elsewhere, no(&id)));
        let answer = said(&with(&run, refund(round), &id).await);
        match (yes, no) {
            (Ok(_), no) => {
                refused(no, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
                assert_eq!(answer, ALLOWS);
            }
            (yes, Ok(_)) => {
                refused(yes, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
                assert_eq!(answer, (v1::Effect::Deny, v1::DecisionReason::ApprovalRejected));
            }
            (yes, no) => panic!("nobody answered: {yes:?} {no:?}"),
        }
        let answers = events(&world, &id).await.into_iter().filter(|event| event.text("state_before") == "PENDING");
        assert_eq!(answers.count(), 1, "one answer is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_in_the_last_moment_counts_or_has_lapsed_and_never_both() {
    let world = world_with(&[("COUNTERSIGN_APPROVALS_LIFE_SECONDS", "5")]).await;
    let run = world.run_of("alice").await;
    let mut rounds = Vec::new();
    for round in 0..12_u32 {
        let id = ask(&run, refund(round)).await.approval_id;
        let (oscar, run) = (world.oscar.clone(), run.on(&world.rita));
        rounds.push(tokio::spawn(async move {
            sleep(Duration::from_millis(4_850 + u64::from(round) * 25)).await;
            let answered = approve(&oscar, yes(&id)).await;
            (answered.is_ok(), said(&with(&run, refund(round), &id).await), id)
        }));
    }
    for round in rounds {
        let (answered, decided, id) = round.await.unwrap();
        assert!(decided == EXPIRED || (answered && decided == ALLOWS), "{answered} {decided:?}");
        eventually("what was not used has lapsed", async || {
            let state = get(&world.oscar, &id).await.unwrap().state();
            state == if decided == ALLOWS { v1::ApprovalState::Used } else { v1::ApprovalState::Expired }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_does_not_outlive_what_the_run_stands_on() {
    let world = world().await;
    let reason = || "stop".to_owned();
    let not_active = (v1::Effect::Deny, v1::DecisionReason::SponsorNotActive);

    let (run, id) = approved(&world, "sue").await;
    let request = v1::RevokeSponsorRequest { sponsor_id: "sue".to_owned(), reason: reason(), ..Default::default() };
    world.oscar.sponsors().revoke_sponsor(request).await.unwrap();
    assert_eq!(said(&with(&run, refund(500), &id).await), not_active);
    assert_eq!(get(&world.oscar, &id).await.unwrap().state(), v1::ApprovalState::Approved, "not used");

    let (run, id) = approved(&world, "sid").await;
    let request = v1::SuspendSponsorRequest { sponsor_id: "sid".to_owned(), reason: reason(), ..Default::default() };
    world.oscar.sponsors().suspend_sponsor(request).await.unwrap();
    assert_eq!(said(&with(&run, refund(500), &id).await), not_active);

    let (run, id) = approved(&world, "sam").await;
    let request =
        v1::RevokeInstanceRequest { agent_instance_id: run.id.clone(), reason: reason(), ..Default::default() };
    world.oscar.instances().revoke_instance(request).await.unwrap();
    let stopped = (v1::Effect::Deny, v1::DecisionReason::InstanceNotLive);
    assert_eq!(said(&with(&run, refund(500), &id).await), stopped);

    let (run, id) = approved(&world, "kim").await;
    let scope = v1::KillSwitchScope::Tool.into();
    let request =
        v1::EngageKillSwitchRequest { scope, id: "billing".to_owned(), reason: reason(), ..Default::default() };
    world.oscar.policies().engage_kill_switch(request).await.unwrap();
    let killed = (v1::Effect::Deny, v1::DecisionReason::KillSwitch);
    assert_eq!(said(&with(&run, refund(500), &id).await), killed);
    assert_eq!(get(&world.oscar, &id).await.unwrap().state(), v1::ApprovalState::Approved, "not used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_question_answer_and_call_changes_nothing() {
    let mut world = world().await;
    let run = world.run_of("alice").await;
    let id = ask(&run, refund(500)).await.approval_id;
    let key = world.server.operator_key("oscar").unwrap();
    world.server.kill();
    let second = world.second().await;
    let approved = approve(&second.connect(Some(&key)).await.unwrap(), yes(&id)).await.unwrap();
    assert_eq!(approved.state(), v1::ApprovalState::Approved);
    drop(second);
    let third = world.second().await;
    let run = run.on(&third.connect(None).await.unwrap());
    assert_eq!(said(&with(&run, refund(500), &id).await), ALLOWS);
}
