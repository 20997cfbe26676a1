//! AdvanceRollout: grows a rollout, on a person's word, if its gates pass and it has soaked, or by force; at 100 % it
//! completes and the candidate is active. And the daily increments, by which the servers grow one up to the step that a
//! person comes to next.

use countersign_core::{
    ids::RolloutId,
    rollout::{Baseline, Percent, Rollout, RolloutState},
};
use countersign_ledger::leaf::{Change as LeafChange, Figure, Kind, Leaf};
use countersign_store::{policy, rollout};

use super::rollout_change::{By, Changed, RolloutInspection, checked, leaf_of, part, tell, unchanged};
use crate::{
    App, Error, Idempotency, OperatorCaller, RolloutChanged, Topic,
    engine::transaction::{Change, ChangeTx},
    policies::activate_policy::set_active,
};

/// The reason code of a daily increment.
const INCREMENT: &str = "DAILY_INCREMENT";

/// How far, and why.
#[derive(Debug, Clone)]
pub struct AdvanceRollout {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The new percentage; none: the next step.
    pub percent: Option<Percent>,
    /// Why, in words.
    pub reason: String,
    /// Pass over the minimum soak and gates that do not pass.
    pub force: bool,
    /// The rollout's etag as last read; none: no check.
    pub etag: Option<String>,
}

struct Advance<'a> {
    caller: &'a OperatorCaller,
    command: &'a AdvanceRollout,
    look: &'a RolloutInspection,
}

impl Change for Advance<'_> {
    const METHOD: &'static str = "AdvanceRollout";
    type Answer = Changed;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Changed, Error> {
        let command = self.command;
        let rollout = checked(tx, command.rollout_id, command.etag.as_deref()).await?;
        let now = tx.now();
        let to = command.percent.unwrap_or_else(|| rollout.next_step());
        rollout.check_advance(to, now, command.force)?;
        if rollout.revision != self.look.rollout.revision {
            return Err(Error::Conflict("the rollout changed meanwhile: read it again, then decide again".to_owned()));
        }
        let not_passed = self.look.not_passed();
        if !command.force && !not_passed.is_empty() {
            return Err(Error::GateNotPassed(not_passed));
        }
        let said =
            |field: String, after: String| LeafChange { after: Some(after.into()), before: None, field: field.into() };
        // In rising order of their fields.
        let mut changes = vec![said("forced".to_owned(), command.force.to_string())];
        let verdicts = not_passed.iter();
        changes.extend(verdicts.map(|reading| {
            said(format!("gate_{}", reading.gate.as_str().to_ascii_lowercase()), reading.verdict.to_string())
        }));
        changes.sort_by(|a, b| a.field.cmp(&b.field));
        let by = By::Person(&self.caller.operator_id, &command.reason);
        grow(tx, rollout, to, &by, changes, self.look.figures()).await
    }
}

/// The next of the daily increments.
struct Increment<'a> {
    look: &'a RolloutInspection,
}

impl Change for Increment<'_> {
    const METHOD: &'static str = "IncrementRollout";
    /// None: there was nothing to do any more.
    type Answer = Option<Changed>;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Option<Changed>, Error> {
        let Some(rollout) = unchanged(tx, self.look).await? else { return Ok(None) };
        let Some(to) = rollout.due_increment(tx.now()) else { return Ok(None) };
        grow(tx, rollout, to, &By::Server(INCREMENT), Vec::new(), self.look.figures()).await.map(Some)
    }
}

/// Grows `rollout` to a percentage. The event states `changes` and `figures`.
async fn grow(
    tx: &mut ChangeTx,
    mut rollout: Rollout,
    to: Percent,
    by: &By<'_>,
    changes: Vec<LeafChange<'static>>,
    figures: Vec<Figure<'static>>,
) -> Result<Changed, Error> {
    let (state, percent) = (rollout.state, rollout.percent);
    rollout.advance(to, tx.now(), matches!(by, By::Person(..)));
    let completes = rollout.state == RolloutState::Completed;
    tx.changes_authority();
    rollout::update(tx.conn(), &rollout).await?;
    let (kind, topic) = if completes {
        (Kind::RolloutCompleted, Topic::RolloutCompleted)
    } else {
        (Kind::RolloutAdvanced, Topic::RolloutAdvanced)
    };
    let leaf = Leaf { changes, figures, ..leaf_of(tx, kind, by, &rollout, state, Some(percent)) };
    let (log_index, _) = tx.append(leaf, by.reason())?;
    tell(tx, topic, by, &rollout, percent, log_index)?;
    if completes {
        let stored = policy::get(tx.conn(), rollout.candidate).await?;
        let stored = stored.ok_or_else(|| Error::not_found("policy", rollout.candidate))?;
        let leaf = Leaf {
            policy_hash: Some(stored.content_hash.into()),
            policy_version: Some(rollout.candidate.to_string().into()),
            rollout: Some(part(&rollout, None)),
            ..by.leaf(tx, Kind::PolicyActivated)
        };
        set_active(tx, Baseline::Version(rollout.candidate), leaf, &by.id()?, by.reason()).await?;
    }
    Ok(Changed { rollout_id: rollout.rollout_id, log_index })
}

impl App {
    /// Grows a rollout.
    pub async fn advance_rollout(
        &self,
        caller: &OperatorCaller,
        command: AdvanceRollout,
        idempotency: Option<Idempotency>,
    ) -> Result<RolloutChanged, Error> {
        // Before the head is held, so that no other change waits for it.
        let look = self.inspect(command.rollout_id).await?;
        let change = Advance { caller, command: &command, look: &look };
        let changed = self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        self.rollout_changed(changed).await
    }

    /// Grows the rollout by what a day allows. Says whether it did: another server may have been quicker.
    pub(crate) async fn increment_rollout(&self, look: &RolloutInspection) -> Result<bool, Error> {
        Ok(self.change("server", None, &Increment { look }).await?.is_some())
    }
}
