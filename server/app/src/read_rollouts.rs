//! GetRollout and ListRollouts: rollouts, what their gates last said, and where their sides disagree.

use std::sync::Arc;

use countersign_core::{
    ids::RolloutId,
    rollout::{Comparison, Reading, Rollout, Verdict},
};
pub use countersign_store::rollout::RolloutFilter;
use countersign_store::{Connection, comparison, gate_reading, rollout};
use time::OffsetDateTime;

use crate::{App, Error, Page, PageRequest};

/// A rollout and what is known of how it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutReport {
    /// The rollout.
    pub rollout: Rollout,
    /// What each gate last said, and when.
    pub readings: Vec<(Reading, OffsetDateTime)>,
    /// Where its sides disagree since the start.
    pub comparison: Comparison,
}

impl RolloutReport {
    /// A rollout of which nothing is known yet.
    pub(crate) fn new(rollout: Rollout) -> Self {
        Self { rollout, readings: Vec::new(), comparison: Comparison::default() }
    }

    fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.readings.iter().map(|(reading, _)| reading.verdict)
    }
}

/// Reports on `rollouts`, in their order.
async fn reports(conn: &mut Connection, rollouts: Vec<Rollout>) -> Result<Vec<RolloutReport>, Error> {
    let ids: Vec<_> = rollouts.iter().map(|rollout| rollout.rollout_id.0).collect();
    let mut readings = gate_reading::of(conn, &ids).await?;
    let mut comparisons = comparison::of(conn, &ids).await?;
    let report = |rollout: Rollout| RolloutReport {
        readings: readings.remove(&rollout.rollout_id).unwrap_or_default(),
        comparison: comparisons.remove(&rollout.rollout_id).unwrap_or_default(),
        rollout,
    };
    Ok(rollouts.into_iter().map(report).collect())
}

/// One rollout with its gate readings.
async fn report(conn: &mut Connection, id: &RolloutId) -> Result<RolloutReport, Error> {
    let found = rollout::get(conn, *id).await?.ok_or_else(|| Error::not_found("rollout", id))?;
    let mut reports = reports(conn, vec![found]).await?;
    reports.pop().ok_or_else(|| Error::not_found("rollout", id))
}

impl App {
    /// One rollout.
    pub async fn get_rollout(&self, id: &RolloutId) -> Result<RolloutReport, Error> {
        report(&mut *self.inner.store.for_reads().connection().await?, id).await
    }

    /// One rollout that was just changed: reads do not keep a stop from being answered.
    pub(crate) async fn changed_rollout(&self, id: &RolloutId) -> Result<RolloutReport, Error> {
        report(&mut *self.inner.store.for_authority().connection().await?, id).await
    }

    /// One page of rollouts, newest first.
    pub async fn list_rollouts(&self, filter: RolloutFilter, page: PageRequest) -> Result<Page<RolloutReport>, Error> {
        let mut conn = self.inner.store.for_reads().connection().await?;
        let found = rollout::list(&mut conn, &filter, &page).await?;
        Ok(Page { items: reports(&mut conn, found.items).await?, next: found.next })
    }

    /// Tells followers what the known snapshot holds of rollouts.
    pub(crate) fn tell_rollouts(&self) {
        self.inner.open_rollouts.send_if_modified(|told| {
            let snapshot = self.snapshot();
            let open = snapshot.rollout.as_ref().map(|open| &open.rollout);
            if told.iter().map(|report| &report.rollout).eq(open) {
                return false;
            }
            let report = |rollout: &Rollout| {
                let known = told.iter().find(|report| report.rollout.rollout_id == rollout.rollout_id);
                RolloutReport {
                    rollout: rollout.clone(),
                    ..known.cloned().unwrap_or_else(|| RolloutReport::new(rollout.clone()))
                }
            };
            *told = Arc::new(open.into_iter().map(report).collect());
            true
        });
    }

    /// Tells followers of an open rollout what its gates say; how the counts grow they learn with the next change.
    pub(crate) async fn tell_readings(&self, id: RolloutId) -> Result<(), Error> {
        let report = report(&mut *self.inner.store.connection().await?, &id).await?;
        self.inner.open_rollouts.send_if_modified(|told| {
            let Some(known) = told.iter().find(|known| known.rollout.rollout_id == id) else { return false };
            let changed = !known.verdicts().eq(report.verdicts());
            *told = Arc::new(vec![RolloutReport { rollout: known.rollout.clone(), ..report }]);
            changed
        });
        Ok(())
    }
}
