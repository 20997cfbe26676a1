//! GetRollout and ListRollouts: rollouts, what their gates last said, and where their sides disagree.

use std::sync::Arc;

use countersign_core::{
    ids::RolloutId,
    rollout::{Comparison, Enrolment, Gate, Reading, Rollout, Verdict},
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
    /// What there is to know beside, in whole sentences.
    pub notices: Vec<String>,
}

impl RolloutReport {
    /// A rollout of which nothing is known yet.
    pub(crate) fn new(rollout: Rollout) -> Self {
        Self { rollout, readings: Vec::new(), comparison: Comparison::default(), notices: Vec::new() }
    }

    /// With what there is to know at `now`.
    fn noticed(self, now: OffsetDateTime) -> Self {
        // Nothing was compared, so nothing is counted: since the start.
        let never =
            (self.comparison.compared == 0).then_some(Enrolment { since: self.rollout.create_time, last: None });
        let of_candidate = self.readings.iter().find(|(reading, _)| reading.gate == Gate::PolicyError);
        let evaluations = of_candidate.map_or(0, |(reading, _)| reading.samples);
        let notice = self.rollout.nobody_inside(self.comparison.enrolment.or(never), evaluations, now);
        Self { notices: notice.into_iter().collect(), ..self }
    }

    fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.readings.iter().map(|(reading, _)| reading.verdict)
    }
}

/// Reports on `rollouts`, in their order.
async fn reports(
    conn: &mut Connection,
    rollouts: Vec<Rollout>,
    now: OffsetDateTime,
) -> Result<Vec<RolloutReport>, Error> {
    let ids: Vec<_> = rollouts.iter().map(|rollout| rollout.rollout_id.0).collect();
    let mut readings = gate_reading::of(conn, &ids).await?;
    let mut comparisons = comparison::of(conn, &ids).await?;
    let report = |rollout: Rollout| {
        let report = RolloutReport {
            readings: readings.remove(&rollout.rollout_id).unwrap_or_default(),
            comparison: comparisons.remove(&rollout.rollout_id).unwrap_or_default(),
            ..RolloutReport::new(rollout)
        };
        report.noticed(now)
    };
    Ok(rollouts.into_iter().map(report).collect())
}

/// One rollout with its gate readings.
async fn report(conn: &mut Connection, id: &RolloutId, now: OffsetDateTime) -> Result<RolloutReport, Error> {
    let found = rollout::get(conn, *id).await?.ok_or_else(|| Error::not_found("rollout", id))?;
    let mut reports = reports(conn, vec![found], now).await?;
    reports.pop().ok_or_else(|| Error::not_found("rollout", id))
}

impl App {
    /// One rollout.
    pub async fn get_rollout(&self, id: &RolloutId) -> Result<RolloutReport, Error> {
        report(&mut *self.inner.store.for_reads().connection().await?, id, self.inner.clock.now()).await
    }

    /// One rollout that was just changed: reads do not keep a stop from being answered.
    pub(crate) async fn changed_rollout(&self, id: &RolloutId) -> Result<RolloutReport, Error> {
        report(&mut *self.inner.store.for_authority().connection().await?, id, self.inner.clock.now()).await
    }

    /// One page of rollouts, newest first.
    pub async fn list_rollouts(&self, filter: RolloutFilter, page: PageRequest) -> Result<Page<RolloutReport>, Error> {
        let mut conn = self.inner.store.for_reads().connection().await?;
        let found = rollout::list(&mut conn, &filter, &page).await?;
        Ok(Page { items: reports(&mut conn, found.items, self.inner.clock.now()).await?, next: found.next })
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
        let report = report(&mut *self.inner.store.connection().await?, &id, self.inner.clock.now()).await?;
        self.inner.open_rollouts.send_if_modified(|told| {
            let Some(known) = told.iter().find(|known| known.rollout.rollout_id == id) else { return false };
            let changed =
                !known.verdicts().eq(report.verdicts()) || known.notices.is_empty() != report.notices.is_empty();
            *told = Arc::new(vec![RolloutReport { rollout: known.rollout.clone(), ..report }]);
            changed
        });
        Ok(())
    }
}
