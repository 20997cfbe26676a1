//! RollbackRollout: ends a rollout; its baseline answers for everyone.

use countersign_core::{
    ids::RolloutId,
    rollout::{Baseline, RolloutState},
};
use countersign_ledger::leaf::{Kind, Leaf};
use countersign_store::{policy, rollout};

use crate::{
    App, Error, Idempotency, OperatorCaller, RolloutChanged, Topic,
    activate_policy::stand,
    advance_rollout::checked,
    change::{Change, ChangeTx},
    start_rollout::{Changed, part},
    webhook::RolloutNotice,
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

struct Rollback<'a> {
    caller: &'a OperatorCaller,
    command: &'a RollbackRollout,
}

impl Change for Rollback<'_> {
    const METHOD: &'static str = "RollbackRollout";
    type Answer = Changed;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Changed, Error> {
        let (command, operator) = (self.command, &self.caller.operator_id);
        let mut rollout = checked(tx, command.rollout_id, command.etag.as_deref()).await?;
        rollout.check_rollback()?;
        let (now, before, percent) = (tx.now(), rollout.state, rollout.percent);
        rollout.state = RolloutState::RolledBack;
        rollout.percent = 0;
        rollout.rollback_reason = Some(command.reason.clone());
        rollout.end_time = Some(now);
        rollout.revision += 1;
        tx.changes_authority();
        rollout::update(tx.conn(), &rollout).await?;
        let leaf = Leaf {
            rollout: Some(part(&rollout, Some(percent))),
            state_after: Some(rollout.state.as_str().into()),
            state_before: Some(before.as_str().into()),
            ..tx.leaf(Kind::RolloutRolledBack, operator)
        };
        let (log_index, _) = tx.append(leaf, &command.reason)?;
        let notice = RolloutNotice {
            rollout_id: rollout.rollout_id,
            state: rollout.state,
            percent_before: percent,
            operator_id: Some(operator),
            log_index,
        };
        tx.notify(Topic::RolloutRolledBack, &notice)?;
        if policy::standing(tx.conn()).await? != Some(rollout.baseline) {
            self.stand_by_baseline(tx, rollout.baseline).await?;
        }
        Ok(Changed { rollout_id: rollout.rollout_id, log_index })
    }
}

impl Rollback<'_> {
    /// The baseline was not what stood before the rollout: from now on it is.
    async fn stand_by_baseline(&self, tx: &mut ChangeTx, baseline: Baseline) -> Result<(), Error> {
        let operator = &self.caller.operator_id;
        let Baseline::Version(version) = baseline else {
            let now = tx.now();
            return Ok(policy::set_standing(tx.conn(), baseline, operator, now).await?);
        };
        let stored = policy::get(tx.conn(), version).await?.ok_or_else(|| Error::not_found("policy", version))?;
        let leaf = Leaf {
            policy_hash: Some(stored.content_hash.into()),
            policy_version: Some(version.to_string().into()),
            ..tx.leaf(Kind::PolicyActivated, operator)
        };
        stand(tx, baseline, leaf, operator, &self.command.reason).await?;
        Ok(())
    }
}

impl App {
    /// Ends a rollout; its baseline answers for everyone.
    pub async fn rollback_rollout(
        &self,
        caller: &OperatorCaller,
        command: RollbackRollout,
        idempotency: Option<Idempotency>,
    ) -> Result<RolloutChanged, Error> {
        let change = Rollback { caller, command: &command };
        let changed = self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        self.rollout_changed(changed).await
    }
}
