//! AdvanceRollout: grows a rollout, on a person's word; at 100 % it completes and the candidate is active.

use countersign_core::{
    ids::RolloutId,
    rollout::{Baseline, Rollout, RolloutState},
};
use countersign_ledger::leaf::{Change as LeafChange, Kind, Leaf};
use countersign_store::{policy, rollout};

use crate::{
    App, Error, Idempotency, OperatorCaller, RolloutChanged,
    activate_policy::stand,
    change::{Change, ChangeTx},
    start_rollout::{Changed, part},
};

/// How far, and why.
#[derive(Debug, Clone)]
pub struct AdvanceRollout {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The new percentage; none: the next step.
    pub percent: Option<u32>,
    /// Why, in words.
    pub reason: String,
    /// Pass over the minimum soak.
    pub force: bool,
    /// The rollout's etag as last read; none: no check.
    pub etag: Option<String>,
}

struct Advance<'a> {
    caller: &'a OperatorCaller,
    command: &'a AdvanceRollout,
}

impl Change for Advance<'_> {
    const METHOD: &'static str = "AdvanceRollout";
    type Answer = Changed;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Changed, Error> {
        let (command, operator) = (self.command, &self.caller.operator_id);
        let mut rollout = checked(tx, command.rollout_id, command.etag.as_deref()).await?;
        let (now, before) = (tx.now(), rollout.percent);
        let to = command.percent.unwrap_or_else(|| rollout.next_step());
        rollout.check_advance(to, now, command.force)?;
        let completes = to == 100;
        rollout.percent = to;
        rollout.advance_time = now;
        rollout.revision += 1;
        if completes {
            rollout.state = RolloutState::Completed;
            rollout.end_time = Some(now);
        }
        tx.changes_authority();
        rollout::update(tx.conn(), &rollout).await?;
        let forced = LeafChange { after: Some(command.force.to_string().into()), before: None, field: "forced".into() };
        let leaf = Leaf {
            changes: vec![forced],
            policy_version: Some(rollout.candidate.to_string().into()),
            rollout: Some(part(&rollout, Some(before))),
            state_after: Some(rollout.state.as_str().into()),
            state_before: Some(RolloutState::Running.as_str().into()),
            ..tx.leaf(if completes { Kind::RolloutCompleted } else { Kind::RolloutAdvanced }, operator)
        };
        let (log_index, _) = tx.append(leaf, &command.reason)?;
        if completes {
            let stored = policy::get(tx.conn(), rollout.candidate).await?;
            let stored = stored.ok_or_else(|| Error::not_found("policy", rollout.candidate))?;
            let leaf = Leaf {
                policy_hash: Some(stored.content_hash.into()),
                policy_version: Some(rollout.candidate.to_string().into()),
                rollout: Some(part(&rollout, None)),
                ..tx.leaf(Kind::PolicyActivated, operator)
            };
            stand(tx, Baseline::Version(rollout.candidate), leaf, operator, &command.reason).await?;
        }
        Ok(Changed { rollout_id: rollout.rollout_id, log_index })
    }
}

/// The rollout, if its etag is still this one.
pub(crate) async fn checked(tx: &mut ChangeTx, id: RolloutId, etag: Option<&str>) -> Result<Rollout, Error> {
    let rollout = rollout::get(tx.conn(), id).await?.ok_or_else(|| Error::not_found("rollout", id))?;
    if etag.is_some_and(|etag| etag != rollout.etag()) {
        return Err(Error::EtagMismatch { what: "rollout" });
    }
    Ok(rollout)
}

impl App {
    /// Grows a rollout.
    pub async fn advance_rollout(
        &self,
        caller: &OperatorCaller,
        command: AdvanceRollout,
        idempotency: Option<Idempotency>,
    ) -> Result<RolloutChanged, Error> {
        let change = Advance { caller, command: &command };
        let changed = self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        self.rollout_changed(changed).await
    }
}
