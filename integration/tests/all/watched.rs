//! A rollout on two servers, whose gates are watched.

use std::time::{Duration, Instant};

use countersign_client::{Connection, v1};
use countersign_integration::Server;
use tokio::time::sleep;
use tonic::Response;

use crate::support::{Event, World, counted, decide, eventually, seconds};

/// Longest from a breach to what follows it.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);

/// Until servers count anew: the second or so in which a rollout started, grew or was resumed counts for no gate.
pub(crate) const ANEW: Duration = Duration::from_millis(2_500);

/// The shipped gates, but for latency: how long a decision takes says more of the machine here.
pub(crate) fn whatever_it_takes() -> v1::RolloutGates {
    v1::RolloutGates { latency_p95: Some(seconds(10)), ..Default::default() }
}

/// Two servers, and a rollout on them.
pub(crate) struct Watched {
    pub(crate) world: World,
    pub(crate) second: Server,
    pub(crate) elsewhere: Connection,
    pub(crate) rollout: v1::Rollout,
}

impl Watched {
    /// Starts a rollout to `candidate` with these gates. No soak, so that only gates hold it.
    pub(crate) async fn start(candidate: &str, gates: v1::RolloutGates, more: v1::StartRolloutRequest) -> Self {
        let world = World::start().await;
        let second = world.second().await;
        let elsewhere = second.connect(None).await.unwrap();
        let request = v1::StartRolloutRequest {
            candidate: world.policy(candidate).await,
            gates: Some(gates),
            min_soak: Some(seconds(0)),
            reason: "try it".to_owned(),
            ..more
        };
        let started = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner();
        sleep(ANEW).await;
        Self { world, second, elsewhere, rollout: started.rollout.unwrap() }
    }

    pub(crate) async fn read(&self) -> v1::Rollout {
        let request = v1::GetRolloutRequest { rollout_id: self.rollout.rollout_id.clone() };
        self.world.rita.rollouts().get_rollout(request).await.unwrap().into_inner().rollout.unwrap()
    }

    /// Asks so often, half on each server, and returns the answers.
    pub(crate) async fn ask(&self, question: v1::DecideRequest, times: usize) -> Vec<v1::DecideResponse> {
        let half = |on: &Connection, times: usize| {
            let request = v1::BatchDecideRequest { requests: vec![question.clone(); times], ..Default::default() };
            let on = on.clone();
            async move { on.decisions().batch_decide(request).await.unwrap().into_inner().responses }
        };
        let (one, two) = tokio::join!(half(&self.world.rita, times / 2), half(&self.elsewhere, times - times / 2));
        [one, two].concat()
    }

    /// Waits until the rollout is in this state, and returns it. `begun` is when its cause was there.
    pub(crate) async fn becomes(&self, state: v1::RolloutState, begun: Instant) -> v1::Rollout {
        loop {
            let rollout = self.read().await;
            if rollout.state() == state {
                return rollout;
            }
            assert!(begun.elapsed() < WITHIN, "not {state:?} within {WITHIN:?}: {rollout:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The one event of this kind. Nobody ordered it, and only one server acted.
    pub(crate) async fn event(&self, kind: &str) -> Event {
        let log = self.world.log().await;
        let of_kind: Vec<_> = log.into_iter().filter(|event| event.kind() == kind).collect();
        assert_eq!(of_kind.len(), 1, "{of_kind:?}");
        assert_eq!(of_kind[0].text("operator_id"), "");
        of_kind.into_iter().next().unwrap()
    }

    /// How often the servers say that they acted on this gate.
    pub(crate) async fn acted(&self, gate: &str, action: &str) -> f64 {
        let series = format!("countersign_rollout_breaches_total{{gate=\"{gate}\",action=\"{action}\"}}");
        self.world.counted(&series).await + counted(&self.second, &series).await
    }

    pub(crate) async fn advance(&self, force: bool) -> Result<v1::AdvanceRolloutResponse, tonic::Status> {
        let request = v1::AdvanceRolloutRequest {
            rollout_id: self.rollout.rollout_id.clone(),
            reason: "the figures are good".to_owned(),
            force,
            ..Default::default()
        };
        self.world.rita.rollouts().advance_rollout(request).await.map(Response::into_inner)
    }

    pub(crate) async fn sql(&self, statement: &'static str) {
        let mut connection = self.world.database.connect().await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }

    /// Waits until every gate says this.
    pub(crate) async fn gates_say(&self, verdict: v1::GateVerdict) {
        eventually("the gates say so", async || {
            let readings = self.read().await.gate_readings;
            !readings.is_empty() && readings.iter().all(|reading| reading.verdict() == verdict)
        })
        .await;
    }
}

pub(crate) fn figure(event: &Event, name: &str) -> i64 {
    let figures = event.leaf["figures"].as_array().unwrap();
    let figure = figures.iter().find(|figure| figure["name"] == name).unwrap_or_else(|| panic!("{name}: {figures:?}"));
    figure["value"].as_str().unwrap().parse().unwrap()
}

pub(crate) fn of_run(token: &str, action: &str) -> v1::DecideRequest {
    v1::DecideRequest { token: token.to_owned(), ..decide("billing", action) }
}
