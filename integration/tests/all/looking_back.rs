//! How far back gates look where their window holds too few samples, by slots of old that are put into the database.

use std::{collections::BTreeMap, time::Duration};

use countersign_client::v1;
use countersign_core::{ids::RolloutId, rollout::Comparison};
use countersign_store::{
    Store, commit, database_time,
    indicator::{self, Counts, RolloutSlot, Slot},
};
use sqlx::types::Uuid;
use tonic::{Code, Response};

use crate::{
    support::{World, document, eventually, refused, seconds},
    watched::whatever_it_takes,
};

/// A rollout that began two days ago, and nobody calls.
struct Quiet {
    world: World,
    rollout_id: RolloutId,
    store: Store,
    slots: i64,
}

/// What a slot holds, and how long ago that was.
#[derive(Clone, Copy)]
struct Seen {
    ago: Duration,
    calls: u64,
    errors: u64,
    issuances: u64,
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

const fn calls(calls: u64, ago: Duration) -> Seen {
    Seen { ago, calls, errors: 0, issuances: 0 }
}

impl Quiet {
    async fn start(gates: v1::RolloutGates) -> Self {
        let world = World::start().await;
        let request = v1::StartRolloutRequest {
            candidate: world.policy(&document("charge")).await,
            gates: Some(gates),
            min_soak: Some(seconds(0)),
            reason: "try it".to_owned(),
            ..Default::default()
        };
        let started = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner();
        let rollout_id = started.rollout.unwrap().rollout_id.parse().unwrap();
        let store = world.database.store().unwrap();
        let mut quiet = Self { world, rollout_id, store, slots: 0 };
        quiet.begins(48).await;
        quiet
    }

    /// The rollout, and its last step, were so many hours ago.
    async fn begins(&mut self, hours: i32) {
        let statement = "UPDATE rollout SET create_time = at, advance_time = at, gates_since = at \
                         FROM (SELECT now() - make_interval(hours => $1) AS at) AS begun";
        sqlx::query(statement).bind(hours).execute(&mut *self.store.writing().await.unwrap()).await.unwrap();
    }

    async fn saw(&mut self, seen: Seen) {
        let Seen { ago: age, calls, errors, issuances } = seen;
        let mut tx = self.store.begin().await.unwrap();
        let now = database_time(&mut tx).await.unwrap();
        let comparison = Comparison { compared: calls, ..Comparison::default() };
        let of = RolloutSlot { rollout_id: self.rollout_id, candidate_errors: errors, held_back: 0, comparison };
        let slot = Slot {
            server_id: Uuid::from_u128(7),
            number: self.slots,
            span: Duration::from_secs(1),
            age,
            counts: Counts { decisions: calls, issuances, ..Counts::default() },
            latency: [(900, calls)].into(),
            without_sponsor: BTreeMap::new(),
            rollouts: if calls > 0 { vec![of] } else { Vec::new() },
        };
        indicator::insert(&mut tx, &slot, now).await.unwrap();
        commit(tx).await.unwrap();
        self.slots += 1;
    }

    async fn read(&self) -> v1::Rollout {
        let request = v1::GetRolloutRequest { rollout_id: self.rollout_id.to_string() };
        self.world.rita.rollouts().get_rollout(request).await.unwrap().into_inner().rollout.unwrap()
    }

    /// What the first gate says once so many samples are seen.
    async fn says(&self, gate: v1::RolloutGate, samples: i64) -> v1::GateReading {
        let find = async || self.read().await.gate_readings.into_iter().find(|reading| reading.gate() == gate);
        eventually("the gate is read", async || find().await.is_some_and(|said| said.sample_count == samples)).await;
        find().await.unwrap()
    }

    async fn advance(&self) -> Result<v1::AdvanceRolloutResponse, tonic::Status> {
        let request = v1::AdvanceRolloutRequest {
            rollout_id: self.rollout_id.to_string(),
            reason: "the figures are good".to_owned(),
            ..Default::default()
        };
        self.world.rita.rollouts().advance_rollout(request).await.map(Response::into_inner)
    }

    async fn kept(&mut self) -> i64 {
        let now = database_time(&mut self.store.writing().await.unwrap()).await.unwrap();
        indicator::purge(&mut self.store.writing().await.unwrap(), now).await.unwrap();
        let count = "SELECT count(*) FROM indicator_slot WHERE server_id = $1";
        sqlx::query_scalar(count)
            .bind(Uuid::from_u128(7))
            .fetch_one(&mut *self.store.writing().await.unwrap())
            .await
            .unwrap()
    }
}

/// Of a span that a slot began, which is a second or so longer.
fn about(span: Option<prost_types::Duration>, hours: u64) -> bool {
    let begun = i64::try_from(hours * 3600).unwrap();
    span.is_some_and(|span| (begun..begun + 60).contains(&span.seconds))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shortest_span_with_enough_is_read_and_none_from_before_the_last_step() {
    let mut quiet = Quiet::start(whatever_it_takes()).await;
    for (ago, errors) in [(2, 0), (4, 0), (6, 60)] {
        quiet.saw(Seen { errors, ..calls(60, hours(ago)) }).await;
    }
    for gate in [v1::RolloutGate::MissingSponsor, v1::RolloutGate::PolicyError, v1::RolloutGate::LatencyP95] {
        let said = quiet.says(gate, 120).await;
        assert_eq!(said.verdict(), v1::GateVerdict::Pass, "the errors of six hours ago are not read: {said:?}");
        assert!(about(said.span, 4) && said.missing_count == 0, "{said:?}");
        assert!(said.message.contains("over 120") && said.message.contains("in the last 4 hours"), "{}", said.message);
    }
    quiet.begins(3).await;
    let said = quiet.says(v1::RolloutGate::PolicyError, 60).await;
    assert_eq!((said.verdict(), said.missing_count), (v1::GateVerdict::Inconclusive, 40));
    assert!(about(said.span, 3) && !said.waiting_will_not_help, "{said:?}");
    // The window alone, where it holds enough.
    quiet.saw(calls(100, Duration::from_secs(30))).await;
    let said = quiet.says(v1::RolloutGate::PolicyError, 100).await;
    assert_eq!((said.verdict(), said.span), (v1::GateVerdict::Pass, Some(seconds(300))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_and_whether_waiting_helps() {
    let mut quiet = Quiet::start(v1::RolloutGates { issuance_failure_bp: Some(50), ..whatever_it_takes() }).await;
    quiet.saw(Seen { issuances: 5, ..calls(37, hours(20)) }).await;
    quiet.saw(calls(50, Duration::from_mins(25 * 60 - 1))).await;
    let said = quiet.says(v1::RolloutGate::MissingSponsor, 37).await;
    assert_eq!((said.missing_count, said.needed_count, said.waiting_will_not_help), (63, 100, true));
    assert_eq!(said.span, Some(seconds(86_400)));
    let issuance = quiet.says(v1::RolloutGate::IssuanceFailure, 5).await;
    assert_eq!(issuance.missing_count, 95);
    let status = quiet.advance().await.unwrap_err();
    let needs = "MISSING_SPONSOR is INCONCLUSIVE: needs 63 more decisions: 37 in the last 24 hours";
    for words in [needs, "needs 95 more issuances: 5 in the last 24 hours", "Waiting will not help"] {
        assert!(status.message().contains(words), "{words} is not in: {}", status.message());
    }
    let info = refused::<()>(Err(status), Code::FailedPrecondition, "GATE_NOT_PASSED");
    assert_eq!(info.metadata["missing"], "63,63,63,95");
    let listed = quiet.world.rita.rollouts().list_rollouts(v1::ListRolloutsRequest::default()).await.unwrap();
    assert!(listed.into_inner().rollouts[0].gate_readings[0].message.starts_with(needs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_fault_is_not_hidden_by_good_calls_of_hours_ago() {
    let mut quiet = Quiet::start(whatever_it_takes()).await;
    quiet.saw(calls(1_000, hours(1))).await;
    quiet.says(v1::RolloutGate::PolicyError, 1_000).await;
    quiet.saw(Seen { errors: 1, ..calls(3, Duration::from_secs(20)) }).await;
    let said = quiet.says(v1::RolloutGate::PolicyError, 1_003).await;
    assert_eq!((said.verdict(), said.observed_bp), (v1::GateVerdict::Inconclusive, Some(10)), "{said:?}");
    let status = quiet.advance().await.unwrap_err();
    assert!(
        status.message().contains("but 33.34 % seen over 3 evaluations of the candidate in the last 5 minutes"),
        "{status}"
    );
    refused::<()>(Err(status), Code::FailedPrecondition, "GATE_NOT_PASSED");
    // Once the window no longer shows it.
    let later = "UPDATE indicator_slot SET begin_time = begin_time - interval '10 minutes', \
                 end_time = end_time - interval '10 minutes' WHERE end_time > now() - interval '5 minutes'";
    sqlx::query(later).execute(&mut *quiet.store.writing().await.unwrap()).await.unwrap();
    assert_eq!(quiet.advance().await.unwrap().rollout.unwrap().percent, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_old_slots_as_many_are_kept_as_an_open_rollout_may_look_back_for() {
    let mut quiet = Quiet::start(v1::RolloutGates { min_decisions: Some(20), ..whatever_it_takes() }).await;
    for nth in 0..60 {
        quiet.saw(calls(1, hours(3) + nth * Duration::from_mins(10))).await;
    }
    quiet.saw(Seen { issuances: 1, ..calls(0, hours(23)) }).await;
    quiet.saw(calls(5, hours(26))).await;
    assert_eq!(quiet.kept().await, 21);
    let oldest = "SELECT max(extract(epoch FROM now() - end_time))::bigint FROM indicator_slot WHERE decisions > 0";
    let oldest: i64 = sqlx::query_scalar(oldest).fetch_one(&mut *quiet.store.writing().await.unwrap()).await.unwrap();
    assert!((22_000..23_000).contains(&oldest), "{oldest}");
    let said = quiet.says(v1::RolloutGate::LatencyP95, 20).await;
    assert_eq!(said.verdict(), v1::GateVerdict::Pass);
    let request = v1::RollbackRolloutRequest {
        rollout_id: quiet.rollout_id.to_string(),
        reason: "enough".to_owned(),
        ..Default::default()
    };
    quiet.world.oscar.rollouts().rollback_rollout(request).await.unwrap();
    assert_eq!(quiet.kept().await, 0);
}
