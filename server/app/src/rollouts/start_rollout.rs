//! StartRollout: begins to move callers from a baseline to a candidate. One is open at a time. Decides what a request
//! that does not name them gets: baseline, steps, first percentage, soak.

use countersign_core::{
    clock::{random, uuid_v7},
    ids::{PolicyVersion, RolloutId},
    names::OperatorId,
    rollout::{Baseline, DEFAULT_MIN_SOAK, DEFAULT_STEPS, Gates, Percent, Rollout, RolloutState, Scope, StickyKey},
};
use countersign_ledger::leaf::{Change as LeafChange, Digest, Kind, Leaf};
use countersign_store::{
    policy::{self, StoredPolicy},
    rollout,
};

use super::rollout_change::{Changed, part};
use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller, RolloutChanged,
    engine::sha256::sha256,
    engine::transaction::{Change, ChangeTx},
};

/// From where to where, and how.
#[derive(Debug, Clone)]
pub struct StartRollout {
    /// What answers outside; none: what answers now, or `observe` where nothing does.
    pub baseline: Option<Baseline>,
    /// The version to move to.
    pub candidate: PolicyVersion,
    /// First percentage; none: the first step.
    pub percent: Option<Percent>,
    /// Which id decides a caller's side.
    pub sticky_key: StickyKey,
    /// Rising percentages up to 100; empty: the default path.
    pub steps: Vec<Percent>,
    /// Percentage points a day that automation may add; none: only a person advances.
    pub increment_per_day: Option<Percent>,
    /// When it stops by itself.
    pub gates: Gates,
    /// Shortest stay on a step; none: the default.
    pub min_soak_seconds: Option<u64>,
    /// Whom it concerns.
    pub scope: Scope,
    /// Why, in words.
    pub reason: String,
}

/// A rollout that is started by this operator; none where the policy document at start asks for it.
pub(crate) struct Start<'a> {
    pub(crate) operator_id: &'a OperatorId,
    pub(crate) by_person: bool,
    pub(crate) four_eyes: FourEyes,
    pub(crate) command: &'a StartRollout,
}

impl Change for Start<'_> {
    const METHOD: &'static str = "StartRollout";
    type Answer = Changed;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Changed, Error> {
        let command = self.command;
        let candidate = known(tx, command.candidate, "candidate").await?;
        self.four_eyes.of_policy(tx, self.operator_id, &candidate.created_by).await?;
        if let Some(open) = rollout::open(tx.conn()).await? {
            return Err(Error::RolloutOpen(open.rollout_id));
        }
        let active = policy::active_baseline(tx.conn()).await?;
        let baseline = command.baseline.or(active).unwrap_or(Baseline::Observe);
        if let Baseline::Version(version) = baseline {
            known(tx, version, "baseline").await?;
            if version == command.candidate {
                return Err(Error::invalid(
                    "candidate",
                    format!("{version} is the baseline already: nothing would move"),
                ));
            }
        }
        let steps = if command.steps.is_empty() { DEFAULT_STEPS.to_vec() } else { command.steps.clone() };
        let now = tx.now();
        let percent = command.percent.or(steps.first().copied()).unwrap_or_default();
        let rollout = Rollout {
            rollout_id: RolloutId(uuid_v7(tx.now(), tx.entropy())),
            baseline,
            candidate: command.candidate,
            percent,
            sticky_key: command.sticky_key,
            state: RolloutState::Running,
            steps,
            increment_per_day: command.increment_per_day,
            gates: command.gates.clone(),
            min_soak_seconds: command.min_soak_seconds.unwrap_or(DEFAULT_MIN_SOAK.whole_seconds().unsigned_abs()),
            scope: command.scope.clone(),
            salt: random(tx.entropy()),
            create_time: now,
            advance_time: now,
            gates_since: now,
            person_percent: percent,
            rollback_reason: None,
            revision: 1,
            created_by: self.by_person.then(|| self.operator_id.clone()),
            end_time: None,
        };
        tx.changes_authority();
        rollout::insert(tx.conn(), &rollout).await?;
        let leaf = Leaf {
            changes: definition(&rollout),
            content_hash: Some(definition_hash(&rollout)?),
            policy_hash: Some(Digest(candidate.content_hash)),
            policy_version: Some(rollout.candidate.to_string().into()),
            rollout: Some(part(&rollout, None)),
            state_after: Some(rollout.state.as_str().into()),
            ..tx.leaf(Kind::RolloutStarted, self.operator_id)
        };
        let (log_index, _) = tx.append(leaf, &command.reason)?;
        Ok(Changed { rollout_id: rollout.rollout_id, log_index })
    }
}

/// The content hash of a stored version.
async fn known(tx: &mut ChangeTx, version: PolicyVersion, what: &'static str) -> Result<StoredPolicy, Error> {
    let stored = policy::get(tx.conn(), version).await?;
    stored.ok_or_else(|| Error::NotFound {
        what: if what == "baseline" { "policy for the baseline" } else { "policy for the candidate" },
        id: version.to_string(),
    })
}

fn definition(rollout: &Rollout) -> Vec<LeafChange<'static>> {
    let set = |field: &'static str, after: String| LeafChange {
        after: Some(after.into()),
        before: None,
        field: field.into(),
    };
    let steps: Vec<_> = rollout.steps.iter().map(ToString::to_string).collect();
    vec![
        set("baseline", rollout.baseline.to_string()),
        set("candidate", rollout.candidate.to_string()),
        set("min_soak_seconds", rollout.min_soak_seconds.to_string()),
        set("steps", steps.join(",")),
        set("sticky_key", rollout.sticky_key.as_str().to_owned()),
    ]
}

/// SHA-256 of everything that was set, the salt's hash in the salt's place: the salt itself stays a secret.
fn definition_hash(rollout: &Rollout) -> Result<Digest, Error> {
    let mut definition =
        serde_json::to_value(rollout).map_err(|error| Error::internal("a rollout is not valid JSON", error))?;
    definition["salt"] = Digest(sha256(&rollout.salt)).to_string().into();
    Ok(Digest(sha256(definition.to_string().as_bytes())))
}

impl App {
    /// Starts a rollout. One is open at a time.
    pub async fn start_rollout(
        &self,
        caller: &OperatorCaller,
        command: StartRollout,
        idempotency: Option<Idempotency>,
    ) -> Result<RolloutChanged, Error> {
        // Compiled before the head is held, so that no other change waits for it.
        let baseline = command.baseline.and_then(Baseline::version);
        self.inner.authority.policy(command.candidate).await?.may_begin()?;
        if let Some(version) = baseline {
            self.inner.authority.policy(version).await?;
        }
        let change = Start {
            operator_id: &caller.operator_id,
            by_person: true,
            four_eyes: self.inner.engine.config.four_eyes,
            command: &command,
        };
        let changed = self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        self.rollout_changed(changed).await
    }
}
