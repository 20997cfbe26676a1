//! A rollout of five people whose agents make a few hundred calls a day: never a hundred in five minutes.

use std::time::Instant;

use countersign_client::v1;
use countersign_integration::record;
use futures::future::join_all;
use tokio::time::sleep;
use tonic::Response;

use crate::{
    support::{World, document, eventually, issue, refused, seconds},
    watched::{ANEW, WITHIN, figure, of_run, whatever_it_takes},
};

const PEOPLE: [&str; 5] = ["ann", "ben", "cem", "dee", "eva"];

/// The team, and its rollout.
struct Team {
    world: World,
    rollout_id: String,
}

impl Team {
    /// With the shipped path, soak and thresholds, but for latency: how long a decision takes says more of the machine here.
    async fn start(candidate: &str) -> Self {
        let world = World::start().await;
        for person in PEOPLE {
            world.sponsor(person).await;
        }
        let request = v1::StartRolloutRequest {
            candidate: world.policy(candidate).await,
            increment_per_day: 2,
            gates: Some(whatever_it_takes()),
            reason: "new limits".to_owned(),
            ..Default::default()
        };
        let started = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
        assert_eq!((started.percent, started.min_soak), (10, Some(seconds(86_400))));
        sleep(ANEW).await;
        Self { world, rollout_id: started.rollout_id }
    }

    async fn sql(&self, statement: &'static str) {
        let mut connection = self.world.database.connect().await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    async fn read(&self) -> v1::Rollout {
        let request = v1::GetRolloutRequest { rollout_id: self.rollout_id.clone() };
        self.world.rita.rollouts().get_rollout(request).await.unwrap().into_inner().rollout.unwrap()
    }

    /// Everybody starts four short runs, each of which calls four times, all through the team's only gateway; and returns when
    /// that is counted.
    async fn works(&self, action: &str) {
        let starts = PEOPLE.iter().flat_map(|person| [*person; 4]).map(async |person| {
            let issued = self.world.rita.credentials().issue_credential(issue(person)).await.unwrap().into_inner();
            record::secret(&issued.token);
            issued.token
        });
        let runs = join_all(starts).await;
        let requests = runs.iter().flat_map(|token| vec![of_run(token, action); 4]).collect();
        let request = v1::BatchDecideRequest { requests, ..Default::default() };
        let answers = self.world.rita.decisions().batch_decide(request).await.unwrap().into_inner().responses;
        assert!(answers.iter().all(|answer| answer.effect() == v1::Effect::Allow));
        let recent = "SELECT coalesce(sum(decisions), 0)::bigint FROM indicator_slot WHERE end_time > now() - interval '4 minutes'";
        let mut connection = self.world.database.connect().await.unwrap();
        for _ in 0..100 {
            let counted: i64 = sqlx::query_scalar(recent).fetch_one(&mut connection).await.unwrap();
            assert!(counted < 100, "never a hundred in five minutes");
            if counted == 80 {
                return;
            }
            sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the calls are not counted");
    }

    /// Three hours pass.
    async fn rests(&self) {
        self.sql(
            "UPDATE indicator_slot SET begin_time = begin_time - interval '3 hours', end_time = end_time - interval '3 hours';
             UPDATE rollout SET create_time = create_time - interval '3 hours', advance_time = advance_time - interval '3 hours',
                 gates_since = gates_since - interval '3 hours'",
        )
        .await;
    }

    /// Works thrice, and sleeps until a day is over.
    async fn day(&self) {
        for _ in 0..3 {
            self.works("refund").await;
            self.rests().await;
        }
        self.sql(
            "UPDATE rollout SET create_time = create_time - interval '15 hours',
                 advance_time = advance_time - interval '15 hours 1 minute', gates_since = gates_since - interval '15 hours'",
        )
        .await;
    }

    async fn advance(&self) -> Result<v1::AdvanceRolloutResponse, tonic::Status> {
        let request = v1::AdvanceRolloutRequest {
            rollout_id: self.rollout_id.clone(),
            reason: "the figures are good".to_owned(),
            ..Default::default()
        };
        self.world.oscar.rollouts().advance_rollout(request).await.map(Response::into_inner)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_ten_per_cent_advances_by_increments_and_steps_to_the_end() {
    let team = Team::start(&document("charge, refund, probe")).await;
    team.works("refund").await;
    let status = team.advance().await.unwrap_err();
    refused::<()>(Err(status), tonic::Code::FailedPrecondition, "SOAK_NOT_OVER");
    team.rests().await;
    team.day().await;
    eventually("the increment of the first day", async || team.read().await.percent == 12).await;
    let log = team.world.log().await;
    let event = log.iter().find(|event| event.kind() == "rollout_advanced").unwrap();
    assert_eq!((event.text("reason"), event.text("operator_id")), ("DAILY_INCREMENT", ""));
    assert!(
        figure(event, "decisions") >= 100 && figure(event, "decisions_span_seconds") > 3 * 3600,
        "{:?}",
        event.leaf
    );
    assert!(figure(event, "candidate_evaluations_span_seconds") > 3 * 3600);

    // From here on a person does not wait for increments.
    for percent in [30, 60, 100] {
        team.day().await;
        let grown = team.advance().await.unwrap().rollout.unwrap();
        assert_eq!(grown.percent, percent);
    }
    let done = team.read().await;
    assert_eq!(done.state(), v1::RolloutState::Completed);
    assert!(done.enrolled_calls > 0 && done.last_enrolled_time.is_some(), "{done:?}");
    let run = team.world.run_of("ann").await;
    assert_eq!(run.decide("billing", "refund").await.unwrap().policy_version, done.candidate);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_policy_errors_of_a_small_team_roll_back_by_themselves() {
    let errs = document("charge").replace("allowed_actions", "when: context.amount_cents <= 1\n    allowed_actions");
    let errs = format!("{errs}  - id: plain\n    role: support\n    tool: billing\n    allowed_actions: [refund]\n");
    let team = Team::start(&errs).await;
    for _ in 0..2 {
        team.works("refund").await;
        team.rests().await;
    }
    let passes = async |reading: v1::RolloutGate| {
        let readings = team.read().await.gate_readings;
        readings.iter().any(|said| said.gate() == reading && said.verdict() == v1::GateVerdict::Pass)
    };
    eventually("the gate passes", async || passes(v1::RolloutGate::PolicyError).await).await;
    let run = team.world.run_of("ann").await;
    let begun = Instant::now();
    for _ in 0..3 {
        team.world.rita.decisions().decide(of_run(&run.token, "charge")).await.unwrap();
    }
    while team.read().await.state() != v1::RolloutState::RolledBack {
        assert!(begun.elapsed() < WITHIN, "not within {WITHIN:?}: {:?}", team.read().await);
        sleep(std::time::Duration::from_millis(100)).await;
    }
    let undone = team.read().await;
    assert!(undone.rollback_reason.starts_with("gate POLICY_ERROR is FAIL: "), "{undone:?}");
    assert!(undone.rollback_reason.contains("in the last 6 hours"), "{undone:?}");
    let log = team.world.log().await;
    let event = log.iter().find(|event| event.kind() == "rollout_rolled_back").unwrap();
    assert_eq!((event.text("reason"), event.text("operator_id")), ("GATE_POLICY_ERROR", ""));
    assert_eq!(figure(event, "candidate_evaluations"), 163);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_on_which_nobody_is_inside_is_told_with_what_helps() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let candidate = world.policy(&document("charge, refund, probe")).await;
    // Until the sponsor is outside.
    let (rollout_id, bucket) = loop {
        let request = v1::StartRolloutRequest {
            candidate: candidate.clone(),
            percent: Some(1),
            sticky_key: v1::StickyKey::Sponsor.into(),
            reason: "new limits".to_owned(),
            ..Default::default()
        };
        let rollout_id =
            world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap().rollout_id;
        let answer = world.rita.decisions().decide(of_run(&run.token, "refund")).await.unwrap().into_inner();
        if (100..9_900).contains(&answer.bucket) {
            break (rollout_id, answer.bucket);
        }
        let request = v1::RollbackRolloutRequest { rollout_id, reason: "again".to_owned(), ..Default::default() };
        world.oscar.rollouts().rollback_rollout(request).await.unwrap();
    };
    let read = async || {
        let request = v1::GetRolloutRequest { rollout_id: rollout_id.clone() };
        world.rita.rollouts().get_rollout(request).await.unwrap().into_inner().rollout.unwrap()
    };
    sleep(ANEW).await;
    world.rita.decisions().decide(of_run(&run.token, "refund")).await.unwrap();
    let evaluated = |rollout: &v1::Rollout| {
        rollout.gate_readings.iter().any(|said| said.gate() == v1::RolloutGate::PolicyError && said.sample_count > 0)
    };
    eventually("it is counted", async || evaluated(&read().await)).await;
    assert_eq!(read().await.notices, [""; 0]);
    let mut connection = world.database.connect().await.unwrap();
    let a_day_passes = "UPDATE rollout SET create_time = create_time - interval '25 hours',
             advance_time = advance_time - interval '25 hours', gates_since = gates_since - interval '25 hours';
         UPDATE rollout_comparison SET enrolled_since = enrolled_since - interval '25 hours'";
    sqlx::raw_sql(a_day_passes).execute(&mut connection).await.unwrap();
    let told = read().await;
    let [notice] = &told.notices[..] else { panic!("{told:?}") };
    for words in ["answered no call for 25 hours", "outside the 1 %", "A higher percentage helps", "ROOT_INSTANCE"] {
        assert!(notice.contains(words), "{words} is not in: {notice}");
    }
    assert_eq!((told.enrolled_calls, told.last_enrolled_time), (0, None));
    let seen = run
        .connection
        .rollouts()
        .watch_rollouts(v1::WatchRolloutsRequest {})
        .await
        .unwrap()
        .into_inner()
        .message()
        .await;
    assert_eq!(seen.unwrap().unwrap().rollouts[0].notices, [""; 0], "agents are not told");

    let request = v1::AdvanceRolloutRequest {
        rollout_id: rollout_id.clone(),
        percent: bucket / 100 + 1,
        reason: "nobody was inside".to_owned(),
        force: true,
        ..Default::default()
    };
    world.rita.rollouts().advance_rollout(request).await.unwrap();
    world.rita.decisions().decide(of_run(&run.token, "refund")).await.unwrap();
    eventually("somebody is inside", async || {
        let read = read().await;
        read.enrolled_calls == 1 && read.last_enrolled_time.is_some() && read.notices.is_empty()
    })
    .await;
}
