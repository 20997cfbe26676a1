//! PauseRollout and ResumeRollout: holds a rollout where it is, and lets it go on.

use countersign_core::{ids::RolloutId, rollout::Rollout};
use countersign_ledger::leaf::{Figure, Kind, Leaf};
use countersign_store::rollout;

use super::rollout_change::{By, Changed, checked, leaf_of, tell};
use crate::{
    App, Error, Idempotency, OperatorCaller, RolloutChanged, Topic,
    engine::transaction::{Change, ChangeTx},
};

/// Which rollout, and why.
#[derive(Debug, Clone)]
pub struct HoldRollout {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// Why, in words.
    pub reason: String,
    /// The rollout's etag as last read; none: no check.
    pub etag: Option<String>,
}

struct Pause<'a> {
    caller: &'a OperatorCaller,
    command: &'a HoldRollout,
}

impl Change for Pause<'_> {
    const METHOD: &'static str = "PauseRollout";
    type Answer = Changed;

    fn stops(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Changed, Error> {
        let rollout = checked(tx, self.command.rollout_id, self.command.etag.as_deref()).await?;
        hold(tx, rollout, &By::Person(&self.caller.operator_id, &self.command.reason), Vec::new()).await
    }
}

struct Resume<'a> {
    caller: &'a OperatorCaller,
    command: &'a HoldRollout,
}

impl Change for Resume<'_> {
    const METHOD: &'static str = "ResumeRollout";
    type Answer = Changed;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Changed, Error> {
        let mut rollout = checked(tx, self.command.rollout_id, self.command.etag.as_deref()).await?;
        let (before, now) = (rollout.state, tx.now());
        rollout.resume(now)?;
        // Who answers stays as it is; servers and followers are to know at once that it runs.
        tx.changes_authority();
        rollout::update(tx.conn(), &rollout).await?;
        let by = By::Person(&self.caller.operator_id, &self.command.reason);
        let leaf = leaf_of(tx, Kind::RolloutResumed, &by, &rollout, before, None);
        let (log_index, _) = tx.append(leaf, by.reason())?;
        Ok(Changed { rollout_id: rollout.rollout_id, log_index })
    }
}

/// Holds `rollout` where it is. The event states `figures`.
pub(crate) async fn hold(
    tx: &mut ChangeTx,
    mut rollout: Rollout,
    by: &By<'_>,
    figures: Vec<Figure<'static>>,
) -> Result<Changed, Error> {
    let before = rollout.state;
    rollout.pause()?;
    tx.changes_authority();
    rollout::update(tx.conn(), &rollout).await?;
    let leaf = Leaf { figures, ..leaf_of(tx, Kind::RolloutPaused, by, &rollout, before, None) };
    let (log_index, _) = tx.append(leaf, by.reason())?;
    tell(tx, Topic::RolloutPaused, by, &rollout, rollout.percent, log_index)?;
    Ok(Changed { rollout_id: rollout.rollout_id, log_index })
}

impl App {
    /// Holds a rollout where it is.
    pub async fn pause_rollout(
        &self,
        caller: &OperatorCaller,
        command: HoldRollout,
        idempotency: Option<Idempotency>,
    ) -> Result<RolloutChanged, Error> {
        let change = Pause { caller, command: &command };
        let changed = self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        self.rollout_changed(changed).await
    }

    /// Lets a paused rollout go on. Its gates begin anew.
    pub async fn resume_rollout(
        &self,
        caller: &OperatorCaller,
        command: HoldRollout,
        idempotency: Option<Idempotency>,
    ) -> Result<RolloutChanged, Error> {
        let change = Resume { caller, command: &command };
        let changed = self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        self.rollout_changed(changed).await
    }
}
