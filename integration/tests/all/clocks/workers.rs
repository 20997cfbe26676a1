//! What time alone does: nothing, as long as a clock is wrong, and everything that is due once two agree.

use std::time::Duration;

use countersign_client::v1;
use tokio::time::sleep;
use tonic::{Code, Response};

use super::{Clocks, allowed, at, launch, says, stops::Stop};
use crate::{
    approvals,
    support::{Run, decide, eventually, refused, seconds, sha256},
    watched::{ANEW, of_run},
};

/// 91 days: longer than everything that time ends.
pub(super) const QUARTER: f64 = 91.0 * 86_400.0;
/// 20 minutes: [`near`] makes one thing of each kind due within.
pub(super) const SHORTLY: f64 = 1200.0;

const POLICY: &str = "
rules:
  - {id: calls, role: support, tool: billing, allowed_actions: [charge, refund]}
  - {id: asks, role: support, tool: billing, allowed_actions: [close], require_approval: true}
";

/// Everything that time alone does, due in ten minutes; another review, and other orphans, later.
pub(super) async fn near(clocks: &Clocks) {
    clocks.activate(POLICY).await;
    for id in ["bob", "carol", "dora", "erin"] {
        clocks.sponsor(id).await;
    }
    let run = clocks.run("alice").await;
    for answer in [true, false] {
        // Two calls, each of its own.
        let call = v1::DecideRequest { request_hash: sha256(&answer.to_string()), ..decide("billing", "close") };
        let asked = run.connection.decisions().decide(call).await.unwrap().into_inner().approval_id;
        if answer {
            approvals::approve(&clocks.oscar, approvals::yes(&asked)).await.unwrap();
        }
    }
    for id in ["carol", "erin"] {
        clocks.run(id).await;
        let request =
            v1::DepartSponsorRequest { sponsor_id: id.into(), reason: "has left".into(), ..Default::default() };
        clocks.rita.sponsors().depart_sponsor(request).await.unwrap();
    }
    clocks
        .sql(
            "UPDATE sponsor SET review_due_at = now() + interval '10 minutes' WHERE sponsor_id = 'dora';
             UPDATE sponsor SET orphans_due_at = now() + interval '10 minutes' WHERE sponsor_id = 'carol';
             UPDATE approval SET expire_time = now() + interval '10 minutes';
             UPDATE signing_key SET activate_time = now() - interval '1 day' + interval '10 minutes' WHERE state = 'active';
             UPDATE x509_authority SET publish_time = publish_time - moved, sign_from = sign_from - moved,
                    sign_until = sign_until - moved, expire_time = expire_time - moved
             FROM (SELECT interval '1 day' - interval '10 minutes' AS moved) AS by;",
        )
        .await;
    // Begins an epoch, so that every server reads its keys anew.
    rollout(clocks, &run).await;
}

/// A rollout whose gates pass, and whose increment is due in ten minutes.
async fn rollout(clocks: &Clocks, run: &Run) {
    // How long a decision takes says more of the machine here.
    let gates = v1::RolloutGates {
        latency_p95: Some(seconds(10)),
        min_decisions: Some(20),
        window: Some(seconds(3600)),
        ..Default::default()
    };
    let request = v1::StartRolloutRequest {
        candidate: clocks.policy(&(POLICY.to_owned() + "# again\n")).await,
        reason: "try it".to_owned(),
        increment_per_day: 2,
        min_soak: Some(seconds(0)),
        gates: Some(gates),
        ..Default::default()
    };
    let rollout = clocks.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    sleep(ANEW).await;
    let requests = vec![of_run(&run.token, "refund"); 40];
    let batch = v1::BatchDecideRequest { requests, ..Default::default() };
    clocks.rita.decisions().batch_decide(batch).await.unwrap();
    eventually("the gates pass", async || {
        let request = v1::GetRolloutRequest { rollout_id: rollout.rollout_id.clone() };
        let read = clocks.rita.rollouts().get_rollout(request).await.unwrap().into_inner().rollout.unwrap();
        let readings = read.gate_readings;
        !readings.is_empty() && readings.iter().all(|reading| reading.verdict() == v1::GateVerdict::Pass)
    })
    .await;
    clocks.sql("UPDATE rollout SET advance_time = now() - interval '1 day' + interval '10 minutes'").await;
}

/// What time alone would have changed.
pub(super) async fn standing(clocks: &Clocks) -> Vec<String> {
    let mut connection = clocks.database.connect().await.unwrap();
    let statement = "SELECT 'sponsor ' || sponsor_id || state || coalesce(orphans_due_at::text, '') FROM sponsor
         UNION ALL SELECT 'key ' || kid || state || coalesce(activate_time::text, '') FROM signing_key
         UNION ALL SELECT 'authority ' || authority_id || sign_from FROM x509_authority
         UNION ALL SELECT 'approval ' || approval_id || state FROM approval
         UNION ALL SELECT 'rollout ' || state || percent FROM rollout
         UNION ALL SELECT 'floor ' || revocation_floor FROM log_head ORDER BY 1";
    sqlx::query_scalar(statement).fetch_all(&mut connection).await.unwrap()
}

/// How many rows of this kind were as they are not any more.
fn changed(kind: &str, before: &[String], now: &[String]) -> usize {
    before.iter().filter(|row| row.starts_with(kind) && !now.contains(row)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_lasts_is_done_by_a_clock_that_is_wrong() {
    let clocks = Clocks::start().await;
    near(&clocks).await;
    let before = standing(&clocks).await;
    assert!(before.iter().any(|row| row.starts_with("sponsor bobACTIVE")), "{before:?}");
    let size = clocks.log().await.len();

    // There and back, faster than anybody looks.
    for (clock, off) in [(&clocks.database_clock, SHORTLY), (&clocks.clock, QUARTER)] {
        for _ in 0..20 {
            clock.is_off_by(off).unwrap();
            sleep(Duration::from_millis(50)).await;
            clock.is_off_by(0.0).unwrap();
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(standing(&clocks).await, before, "there and back");
    }
    for server in [&clocks.good, &clocks.other] {
        says(server, true, "agrees").await;
    }

    // One server's: ahead for some seconds, or standing still.
    for off in [QUARTER, SHORTLY] {
        clocks.clock.is_off_by(off).unwrap();
        says(&clocks.other, false, "ahead of the database's").await;
        changes_wait(&clocks).await;
        sleep(Duration::from_secs(3)).await;
        clocks.clock.is_off_by(0.0).unwrap();
        says(&clocks.other, true, "agrees").await;
        assert_eq!(standing(&clocks).await, before, "{off}");
    }
    clocks.clock.is_frozen().unwrap();
    says(&clocks.other, false, "clock").await;
    clocks.clock.is_off_by(0.0).unwrap();
    says(&clocks.other, true, "agrees").await;
    assert_eq!(standing(&clocks).await, before, "frozen");

    // The database's: nobody can know which is right, so both say so, and go on stopping.
    for off in [QUARTER, SHORTLY, -SHORTLY] {
        let run = clocks.run("alice").await;
        clocks.database_clock.is_off_by(off).unwrap();
        for server in [&clocks.good, &clocks.other] {
            says(server, false, "that one is probably wrong").await;
        }
        refused(run.decide("billing", "refund").await, Code::Unavailable, "CLOCK_SKEW");
        Stop::Instance.ask(&clocks, &clocks.other, &run, "alice").await.unwrap();
        sleep(Duration::from_secs(3)).await;
        clocks.database_clock.is_off_by(0.0).unwrap();
        for server in [&clocks.good, &clocks.other] {
            says(server, true, "agrees").await;
        }
        assert!(!allowed(&run).await, "stopped meanwhile");
        assert_eq!(standing(&clocks).await, before, "{off}");
    }
    // Both together: they agree, and are not believed at once. As long as the slowest of these workers takes to look.
    clocks.clock.is_off_by(QUARTER).unwrap();
    clocks.database_clock.is_off_by(QUARTER).unwrap();
    says(&clocks.other, true, "agrees").await;
    says(&clocks.good, false, "that one is probably wrong").await;
    sleep(Duration::from_secs(11)).await;
    assert_eq!(standing(&clocks).await, before);

    // Nor when they agree in what makes one thing of each kind due; but a server that knows no other time does it all.
    clocks.clock.is_off_by(SHORTLY).unwrap();
    clocks.database_clock.is_off_by(SHORTLY).unwrap();
    says(&clocks.other, true, "agrees").await;
    assert_eq!(standing(&clocks).await, before);
    let log = clocks.log().await;
    let expected = ["credential_issued", "decision", "instance_revoked", "instance_orphaned"];
    for event in &log[size..] {
        assert!(expected.contains(&event.kind()), "done by a wrong clock: {}", event.leaf);
    }
    let third_clock = clocks.another_clock("third", SHORTLY);
    let third = third_clock.drive(launch(&clocks.database)).start().await.unwrap();
    let due = [("sponsor ", 2), ("key ", 2), ("authority ", 0), ("approval ", 2), ("rollout ", 1), ("floor ", 1)];
    eventually("what is due is done", async || {
        let now = standing(&clocks).await;
        let made = now.iter().filter(|row| row.starts_with("authority ") && !before.contains(row)).count();
        due.iter().all(|(kind, rows)| changed(kind, &before, &now) == *rows) && made == 1
    })
    .await;
    let now = standing(&clocks).await;
    for row in ["sponsor bobACTIVE", "sponsor doraSUSPENDED", "sponsor carolDEPARTED", "rollout RUNNING12"] {
        assert!(now.contains(&row.to_owned()), "{row}: {now:?}");
    }
    let late = before.iter().find(|row| row.starts_with("sponsor erinDEPARTED")).unwrap();
    assert!(now.contains(late), "their time is not over: {now:?}");
    drop(third);
}

/// Of what people may do, what widens waits, and what only stops does not.
async fn changes_wait(clocks: &Clocks) {
    let rita = at(&clocks.other, &clocks.key("rita")).await;
    let listed = rita.rollouts().list_rollouts(v1::ListRolloutsRequest::default()).await.unwrap().into_inner();
    let request = v1::AdvanceRolloutRequest {
        rollout_id: listed.rollouts[0].rollout_id.clone(),
        reason: "at once".to_owned(),
        force: true,
        ..Default::default()
    };
    let answer = rita.rollouts().advance_rollout(request).await.map(Response::into_inner);
    refused(answer, Code::Unavailable, "CLOCK_SKEW");
    let pending = v1::ListApprovalsRequest { state: v1::ApprovalState::Pending.into(), ..Default::default() };
    let oscar = at(&clocks.other, &clocks.key("oscar")).await;
    let listed = oscar.approvals().list_approvals(pending).await.unwrap().into_inner().approvals;
    assert_eq!(listed.len(), 1, "it has not lapsed for who reads either");
    let id = listed[0].approval_id.clone();
    refused(approvals::approve(&oscar, approvals::yes(&id)).await, Code::Unavailable, "CLOCK_SKEW");
}
