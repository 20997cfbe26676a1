//! A rollout with what its gates last said, where its sides disagree, and a notice if no caller is inside.

use countersign_core::{
    ids::RolloutId,
    rollout::{Comparison, Enrolment, Gate, KeptReading, Rollout, Verdict},
};
use countersign_store::{Connection, comparison, gate_reading, rollout};
use time::OffsetDateTime;

use crate::Error;

/// A rollout and what is known of how it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutReport {
    /// The rollout.
    pub rollout: Rollout,
    /// What each gate last said.
    pub readings: Vec<KeptReading>,
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
        let of_candidate = self.readings.iter().find(|kept| kept.reading.gate == Gate::PolicyError);
        let evaluations = of_candidate.map_or(0, |kept| kept.reading.samples);
        let notice = self.rollout.nobody_inside(self.comparison.enrolment.or(never), evaluations, now);
        Self { notices: notice.into_iter().collect(), ..self }
    }

    pub(crate) fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.readings.iter().map(|kept| kept.reading.verdict)
    }
}

/// Reports on `rollouts`, in their order.
pub(crate) async fn reports(
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
pub(crate) async fn report(conn: &mut Connection, id: &RolloutId, now: OffsetDateTime) -> Result<RolloutReport, Error> {
    let found = rollout::get(conn, *id).await?.ok_or_else(|| Error::not_found("rollout", id))?;
    let mut reports = reports(conn, vec![found], now).await?;
    reports.pop().ok_or_else(|| Error::not_found("rollout", id))
}
