//! SimulatePolicy: the answers that a policy would have given to recorded decisions. Decides the default range of time,
//! the size of a batch, and how many simulations run at a time on one server.
//!
//! The log is read in batches, each in a separate statement, and not faster than the caller takes the pieces. Nothing
//! is held that grows with the range, no snapshot or lock lasts longer than a batch, and a caller who disconnects ends
//! the simulation. Evaluation runs on a separate thread, so that decisions never wait for it, while the next batch is
//! read.

mod recorded;
mod replay;
mod result;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use countersign_core::{
    ids::{InstanceId, PolicyVersion},
    names::{SponsorId, ToolId},
};
use countersign_store::recorded::{Filter, RecordedDecision, Stretch, facts, read_on};
use futures::{Stream, stream};
use time::{Duration, OffsetDateTime};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::compile::compile;
use crate::{App, Error, authority::compiled_policies::LoadedPolicy, engine::aside::aside};
use replay::Replayer;
pub use result::{PolicyDifference, SimulationCounts};

/// The default range of a simulation.
const DEFAULT_RANGE: Duration = Duration::HOUR.saturating_mul(24);
/// Events in one batch: at most a few megabytes, and a few milliseconds.
const BATCH: u32 = 4_000;
/// Limit of the simulations at a time on one server: each takes a core while it runs.
static PLACES: Semaphore = Semaphore::const_new(2);

/// What to simulate.
#[derive(Debug, Clone)]
pub enum SimulatedPolicy {
    /// A stored version.
    Version(PolicyVersion),
    /// A document that is not stored, and the raw Cedar beside it.
    Document {
        /// YAML.
        document: String,
        /// Empty if there is none.
        cedar: String,
    },
}

/// A simulation request. A field that is `None` does not restrict it.
#[derive(Debug, Clone)]
pub struct SimulatePolicy {
    /// What to simulate.
    pub policy: SimulatedPolicy,
    /// Decisions at or after this instant. `None` for 24 h before the end.
    pub start_time: Option<OffsetDateTime>,
    /// Decisions before this instant. `None` for now.
    pub end_time: Option<OffsetDateTime>,
    /// Of this sponsor.
    pub sponsor_id: Option<SponsorId>,
    /// Of this instance.
    pub agent_instance_id: Option<InstanceId>,
    /// On this tool.
    pub tool_id: Option<ToolId>,
}

/// A piece of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulationPiece {
    /// The counts so far.
    pub counts: SimulationCounts,
    /// The differences since the last piece, oldest first.
    pub differences: Vec<PolicyDifference>,
    /// Everything before this instant was evaluated.
    pub reached: OffsetDateTime,
    /// Whether it is the last one.
    pub done: bool,
}

/// Some events of the log.
struct Batch {
    decisions: Vec<RecordedDecision>,
    /// The rest of the range after them.
    stretch: Stretch,
    more: bool,
}

type Reading = AbortOnDropHandle<Result<Batch, Error>>;

/// A running simulation.
struct Simulation {
    app: App,
    replayer: Replayer,
    filter: Arc<Filter>,
    /// The next batch. `None` if there is no more.
    reading: Option<Reading>,
    end_time: OffsetDateTime,
    /// Its permit.
    _place: SemaphorePermit<'static>,
}

impl App {
    /// Simulates a policy over recorded decisions. A piece is read when the previous one was taken; dropping the stream
    /// ends the simulation. Changes nothing.
    pub async fn simulate_policy(
        &self,
        command: SimulatePolicy,
    ) -> Result<impl Stream<Item = Result<SimulationPiece, Error>> + Send + 'static, Error> {
        let end_time = command.end_time.unwrap_or_else(|| self.inner.engine.clock.now());
        let start_time = command.start_time.unwrap_or(end_time - DEFAULT_RANGE);
        if start_time >= end_time {
            return Err(Error::invalid("start_time", "must be before end_time"));
        }
        let place = PLACES.try_acquire().map_err(|_| Error::Overloaded)?;
        let policy = self.simulated(command.policy).await?;
        let filter = Arc::new(Filter {
            sponsor_id: command.sponsor_id,
            agent_instance_id: command.agent_instance_id,
            tool_id: command.tool_id,
            with_purpose: policy.compiled.reads_purpose(),
        });
        let simulation = Simulation {
            app: self.clone(),
            replayer: Replayer::new(policy),
            reading: Some(self.read_recorded(Stretch::new(start_time, end_time), filter.clone())),
            filter,
            end_time,
            _place: place,
        };
        Ok(stream::try_unfold(simulation, Simulation::next))
    }

    /// Starts to read the first part of `stretch`.
    fn read_recorded(&self, mut stretch: Stretch, filter: Arc<Filter>) -> Reading {
        let app = self.clone();
        let read = async move {
            let mut conn = app.inner.engine.store.for_reads().connection().await?;
            let (decisions, more) = read_on(&mut conn, &mut stretch, &filter, BATCH).await?;
            Ok(Batch { decisions, stretch, more })
        };
        AbortOnDropHandle::new(tokio::spawn(read.in_current_span()))
    }

    async fn simulated(&self, policy: SimulatedPolicy) -> Result<Arc<LoadedPolicy>, Error> {
        match policy {
            SimulatedPolicy::Version(version) => self.inner.authority.policy(version).await,
            SimulatedPolicy::Document { document, cedar } => {
                // No stored version has this number.
                Ok(Arc::new(LoadedPolicy { version: PolicyVersion(0), compiled: compile(document, cedar).await? }))
            }
        }
    }
}

impl Simulation {
    async fn next(mut self) -> Result<Option<(SimulationPiece, Self)>, Error> {
        let Some(reading) = self.reading.take() else { return Ok(None) };
        let Batch { decisions, stretch, more } = reading.await.map_err(broken_off)??;
        self.reading = more.then(|| self.app.read_recorded(stretch, self.filter.clone()));
        let unknown = self.replayer.unknown_runs(&decisions);
        if !unknown.is_empty() {
            let mut conn = self.app.inner.engine.store.for_reads().connection().await?;
            self.replayer.learn(facts(&mut conn, &unknown).await?);
        }
        let mut replayer = self.replayer;
        let (replayer, differences) = aside(BROKEN_OFF, move || {
            let differences = replayer.weigh(&decisions);
            (replayer, differences)
        })
        .await?;
        self.replayer = replayer;
        let reached = if more { stretch.reached().unwrap_or(self.end_time) } else { self.end_time };
        let piece = SimulationPiece { counts: self.replayer.counts(), differences: differences?, reached, done: !more };
        Ok(Some((piece, self)))
    }
}

const BROKEN_OFF: &str = "a simulation broke off";

fn broken_off(error: tokio::task::JoinError) -> Error {
    Error::internal(BROKEN_OFF, error)
}
