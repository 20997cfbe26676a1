//! The gates of the open rollout. Every server reads them every two seconds, from what all servers counted, and does
//! what a breach asks for (pause or rollback), once. Where the baseline only observes, a rollback becomes a pause.
//! Where the figures cannot be read nothing is done, and nothing advances.
//!
//! A breach is answered under the log head: so it is done once, by the first server that sees it.

use countersign_core::{
    ids::RolloutId,
    rollout::{Baseline, Gate, OnBreach, Percent, Reading, Rollout, RolloutState, Verdict},
};
use countersign_store::{gate_reading, rollout};
use time::OffsetDateTime;

use super::{
    gate_figures::seen,
    pause_rollout::hold,
    rollback_rollout::undo,
    rollout_change::{By, Changed, RolloutInspection, unchanged},
};
use crate::{
    App, Error,
    engine::{
        retry::retried,
        timekeeper::Compared,
        transaction::{Change, ChangeTx},
    },
};

/// A gate that failed, and what it asks for.
struct Breach<'a> {
    look: &'a RolloutInspection,
    failed: Reading,
}

impl Change for Breach<'_> {
    const METHOD: &'static str = "Breach";
    /// None: there was nothing to do any more.
    type Answer = Option<Changed>;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Option<Changed>, Error> {
        let Some(rollout) = unchanged(tx, self.look).await? else { return Ok(None) };
        let by = By::Server(self.failed.gate.breach());
        let changed = match answer_to_breach(&rollout) {
            OnBreach::Rollback => undo(tx, rollout, &by, format!("gate {}", self.failed), self.look).await?,
            OnBreach::Pause => hold(tx, rollout, &by, self.look.figures()).await?,
        };
        Ok(Some(changed))
    }
}

/// What a breach asks for. A server by itself never ends all enforcement: where the baseline only observes, a rollback would
/// let through what the candidate holds back, and that is a person's to do. So such a rollout is held where it is.
fn answer_to_breach(rollout: &Rollout) -> OnBreach {
    let holds_callers_back = rollout.percent > Percent::NONE;
    match rollout.gates.on_breach {
        OnBreach::Rollback if rollout.baseline == Baseline::Observe && holds_callers_back => OnBreach::Pause,
        on_breach => on_breach,
    }
}

impl App {
    /// Reads the gates of a rollout.
    pub(crate) async fn inspect(&self, rollout_id: RolloutId) -> Result<RolloutInspection, Error> {
        retried(|| self.read_gates(rollout_id)).await
    }

    async fn read_gates(&self, rollout_id: RolloutId) -> Result<RolloutInspection, Error> {
        let mut tx = self.inner.engine.store.begin_snapshot().await?;
        let found = rollout::get(&mut tx, rollout_id).await?;
        let rollout = found.ok_or_else(|| Error::not_found("rollout", rollout_id))?;
        let (seen, _) = seen(&mut tx, &rollout, self.inner.engine.config.one_caller).await?;
        Ok(RolloutInspection { readings: rollout.gates.read(&seen), seen, rollout })
    }

    /// Reads the gates of the open rollout, keeps what they say, and does what that asks for.
    pub(crate) async fn watch_gates(&self) -> Result<(), Error> {
        let mut tx = self.inner.engine.store.begin_snapshot().await?;
        let Some(rollout) = rollout::open(&mut tx).await? else {
            show(Percent::NONE, &[]);
            return Ok(());
        };
        let sent = self.inner.engine.clock.now();
        let (seen, at) = seen(&mut tx, &rollout, self.inner.engine.config.one_caller).await?;
        drop(tx);
        // The window was counted by the database's clock.
        Compared::new(sent, at, self.inner.engine.clock.now()).agree()?;
        let look = RolloutInspection { readings: rollout.gates.read(&seen), seen, rollout };
        let mut conn = self.inner.engine.store.writing().await?;
        gate_reading::keep(&mut conn, look.rollout.rollout_id, &look.readings, at).await?;
        conn.done().await?;
        show(look.rollout.percent, &look.readings);
        self.tell_readings(look.rollout.rollout_id).await?;
        let failed = look.readings.iter().find(|reading| reading.verdict == Verdict::Fail);
        match failed {
            Some(failed) => self.on_breach(&look, *failed).await,
            None => self.increment_where_due(&look, at).await,
        }
    }

    async fn on_breach(&self, look: &RolloutInspection, failed: Reading) -> Result<(), Error> {
        let on_breach = answer_to_breach(&look.rollout);
        if on_breach == OnBreach::Pause && look.rollout.state == RolloutState::Paused {
            return Ok(());
        }
        let Some(changed) = self.change("server", None, &Breach { look, failed }).await? else { return Ok(()) };
        let (rollout_id, log_index) = (changed.rollout_id, changed.log_index);
        let action = match on_breach {
            OnBreach::Rollback => "rollback",
            OnBreach::Pause => "pause",
        };
        metrics::counter!("countersign_rollout_breaches_total", "gate" => failed.gate.as_str(), "action" => action)
            .increment(1);
        match on_breach {
            OnBreach::Rollback => {
                let new_allows = look.seen.recent.held_back;
                tracing::error!(%rollout_id, log_index, new_allows, "rolled back: gate {failed}. The baseline answers for everyone");
            }
            OnBreach::Pause if on_breach == look.rollout.gates.on_breach => {
                tracing::error!(%rollout_id, log_index, "paused: gate {failed}");
            }
            OnBreach::Pause => tracing::error!(
                %rollout_id, log_index, percent = %look.rollout.percent,
                "paused and not rolled back: gate {failed}. The baseline observes, so a rollback would let every \
                 call through: a policy-admin decides (RollbackRollout, or ResumeRollout)"
            ),
        }
        Ok(())
    }

    async fn increment_where_due(&self, look: &RolloutInspection, now: OffsetDateTime) -> Result<(), Error> {
        if look.rollout.due_increment(now).is_some()
            && look.not_passed().is_empty()
            && self.increment_rollout(look).await?
        {
            tracing::info!(rollout_id = %look.rollout.rollout_id, "every gate passes: grown by the daily increment");
        }
        Ok(())
    }
}

/// Shows where the open rollout and its gates stand.
fn show(percent: Percent, readings: &[Reading]) {
    metrics::gauge!("countersign_rollout_percent").set(f64::from(percent.get()));
    for gate in Gate::ALL {
        let said = readings.iter().find(|reading| reading.gate == gate).map(|reading| reading.verdict);
        let value = match said {
            Some(Verdict::Pass) => 1.0,
            Some(Verdict::Fail) => -1.0,
            Some(Verdict::Inconclusive) | None => 0.0,
        };
        metrics::gauge!("countersign_rollout_gate", "gate" => gate.as_str()).set(value);
    }
}
