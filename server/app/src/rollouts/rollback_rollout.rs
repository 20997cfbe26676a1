//! RollbackRollout: ends a rollout; its baseline answers for everyone. Says how many calls that allows again, and warns
//! if nothing is enforced any more.

use countersign_core::{
    ids::RolloutId,
    rollout::{Baseline, Rollout},
};
use countersign_ledger::leaf::{Decimal, Figure, Kind, Leaf};
use countersign_store::{policy, rollout};
use serde::{Deserialize, Serialize};

use super::rollout_change::{By, Changed, RolloutInspection, checked, leaf_of, tell};
use crate::{
    App, Error, Idempotency, OperatorCaller, RolloutChanged, Topic,
    engine::transaction::{Change, ChangeTx},
    policies::activate_policy::set_active,
};

/// Which rollout, and why.
#[derive(Debug, Clone)]
pub struct RollbackRollout {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// Why, in words.
    pub reason: String,
    /// The rollout's etag as last read; none: no check.
    pub etag: Option<String>,
}

/// A rollout that was undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// The rollout, and where the custody log holds the change.
    pub changed: RolloutChanged,
    /// Calls in the gates' window that the candidate had refused and the baseline allows again: above zero, it loosened.
    pub new_allows: u64,
}

struct Rollback<'a> {
    caller: &'a OperatorCaller,
    command: &'a RollbackRollout,
    look: &'a RolloutInspection,
}

/// What is kept for a repeated request.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Undone {
    changed: Changed,
    #[serde(default)]
    new_allows: u64,
    #[serde(default)]
    observes: bool,
}

impl Change for Rollback<'_> {
    const METHOD: &'static str = "RollbackRollout";
    type Answer = Undone;

    fn stops(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Undone, Error> {
        let command = self.command;
        let rollout = checked(tx, command.rollout_id, command.etag.as_deref()).await?;
        let by = By::Person(&self.caller.operator_id, &command.reason);
        let observes = rollout.baseline == Baseline::Observe;
        let changed = undo(tx, rollout, &by, command.reason.clone(), self.look).await?;
        Ok(Undone { changed, new_allows: self.look.seen.recent.held_back, observes })
    }
}

/// Ends `rollout`. The event states what its gates had seen, and how many calls the baseline allows again.
pub(crate) async fn undo(
    tx: &mut ChangeTx,
    mut rollout: Rollout,
    by: &By<'_>,
    why: String,
    look: &RolloutInspection,
) -> Result<Changed, Error> {
    let (state, percent) = (rollout.state, rollout.percent);
    let now = tx.now();
    rollout.roll_back(now, why)?;
    tx.changes_authority();
    rollout::update(tx.conn(), &rollout).await?;
    let mut figures = look.figures();
    figures.push(Figure { name: "new_allows".into(), value: Decimal(look.seen.recent.held_back) });
    figures.sort_by(|a, b| a.name.cmp(&b.name));
    let leaf = Leaf { figures, ..leaf_of(tx, Kind::RolloutRolledBack, by, &rollout, state, Some(percent)) };
    let (log_index, _) = tx.append(leaf, by.reason())?;
    tell(tx, Topic::RolloutRolledBack, by, &rollout, percent, log_index)?;
    if policy::active_baseline(tx.conn()).await? != Some(rollout.baseline) {
        set_baseline_active(tx, rollout.baseline, by).await?;
    }
    Ok(Changed { rollout_id: rollout.rollout_id, log_index })
}

/// The baseline was not what stood before the rollout: from now on it is.
async fn set_baseline_active(tx: &mut ChangeTx, baseline: Baseline, by: &By<'_>) -> Result<(), Error> {
    let id = by.id()?;
    let Baseline::Version(version) = baseline else {
        let now = tx.now();
        return Ok(policy::set_standing(tx.conn(), baseline, &id, now).await?);
    };
    let stored = policy::get(tx.conn(), version).await?.ok_or_else(|| Error::not_found("policy", version))?;
    let leaf = Leaf {
        policy_hash: Some(stored.content_hash.into()),
        policy_version: Some(version.to_string().into()),
        ..by.leaf(tx, Kind::PolicyActivated)
    };
    set_active(tx, baseline, leaf, &id, by.reason()).await?;
    Ok(())
}

impl App {
    /// Ends a rollout; its baseline answers for everyone.
    pub async fn rollback_rollout(
        &self,
        caller: &OperatorCaller,
        command: RollbackRollout,
        idempotency: Option<Idempotency>,
    ) -> Result<RolledBack, Error> {
        let look = self.inspect(command.rollout_id).await?;
        let change = Rollback { caller, command: &command, look: &look };
        let undone = self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        if undone.new_allows > 0 {
            let new_allows = undone.new_allows;
            tracing::warn!(rollout_id = %command.rollout_id, new_allows, "the rollback allows calls again that the candidate had refused");
        }
        if undone.observes {
            tracing::warn!(
                rollout_id = %command.rollout_id,
                "nothing is enforced from now on: the rollout is undone and its baseline observes. Every call is recorded and \
                 let through until a policy is activated"
            );
        }
        Ok(RolledBack { changed: self.rollout_changed(undone.changed).await?, new_allows: undone.new_allows })
    }
}
