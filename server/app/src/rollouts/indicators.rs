//! Indicators: what all servers together counted in a window (rates, latency percentiles, open decisions), and the
//! storing of what this server counted.

use countersign_core::rollout::basis_points;
use countersign_store::{
    commit,
    indicator::{self, Counts},
};
use time::OffsetDateTime;

use crate::{App, Error, Issuance, engine::retry::retried, recorder::indicators::Latency};

/// The figures of a window, over all servers.
#[derive(Debug, Clone, PartialEq)]
pub struct IndicatorWindow {
    /// Where it begins, by the database's clock.
    pub start_time: OffsetDateTime,
    /// Where it ends.
    pub end_time: OffsetDateTime,
    /// Decisions.
    pub decisions: u64,
    /// Those without a sponsor, basis points.
    pub missing_sponsor_bp: u64,
    /// Those of them whose caller is unknown.
    pub unauthenticated: u64,
    /// Those that ended in a policy error, basis points.
    pub policy_error_bp: u64,
    /// Median, 95th and 99th percentile of their time, microseconds; none without decisions.
    pub latency_us: Option<[u64; 3]>,
    /// Issuances and delegations asked for.
    pub issuances: u64,
    /// Those that failed, basis points.
    pub issuance_failure_bp: u64,
    /// Decisions let through only because a baseline observes.
    pub observed: u64,
    /// Decisions of the window that allow and have no outcome yet.
    pub open: u64,
    /// Requests that were shed.
    pub shed: u64,
}

impl App {
    /// Counts a request that was shed.
    pub fn note_shed(&self) {
        self.inner.indicators.shed();
    }

    pub(crate) fn count_issuance(&self, issuance: Issuance) {
        self.inner.indicators.issued(issuance);
    }

    /// Stores what was counted since the last time. What cannot be stored now is stored the next time, once.
    pub(crate) async fn store_indicators(&self) -> Result<(), Error> {
        let indicators = &self.inner.indicators;
        let mut storing = indicators.storing.lock().await;
        // What could not be stored before, and after it what was gathered meanwhile.
        for _ in 0..=usize::from(storing.pending.is_some()) {
            let Some(slot) = storing.slot(indicators) else { break };
            let mut tx = self.inner.engine.store.begin().await?;
            let now = self.inner.engine.database_now(&mut tx).await?;
            indicator::insert(&mut tx, &slot, now).await?;
            commit(tx).await?;
            storing.pending = None;
        }
        Ok(())
    }

    /// What all servers counted in the last `seconds`.
    pub async fn indicators(&self, seconds: u32) -> Result<IndicatorWindow, Error> {
        retried(|| self.read_indicators(seconds)).await
    }

    async fn read_indicators(&self, seconds: u32) -> Result<IndicatorWindow, Error> {
        let mut tx = self.inner.engine.store.for_reads().begin_snapshot().await?;
        let window = indicator::window(&mut tx, seconds, None).await?;
        let open = indicator::open_decisions(&mut tx, window.start_time).await?;
        let latency = Latency::of(&window.latency);
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| latency.quantile(share));
        let Counts {
            decisions,
            missing_sponsor,
            unauthenticated,
            policy_errors,
            observed,
            shed,
            issuances,
            issuance_failures,
        } = window.counts;
        Ok(IndicatorWindow {
            start_time: window.start_time,
            end_time: window.end_time,
            decisions,
            missing_sponsor_bp: basis_points(missing_sponsor, decisions),
            unauthenticated,
            policy_error_bp: basis_points(policy_errors, decisions),
            latency_us: p50.zip(p95).zip(p99).map(|((p50, p95), p99)| [p50, p95, p99]),
            issuances,
            issuance_failure_bp: basis_points(issuance_failures, issuances),
            observed,
            open,
            shed,
        })
    }
}
