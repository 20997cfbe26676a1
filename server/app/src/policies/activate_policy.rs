//! ActivatePolicy: makes a version active for all callers at once. Refused while a rollout is open, or if the stored
//! content is damaged or fails a newer check.

use countersign_core::{ids::PolicyVersion, names::OperatorId, rollout::Baseline};
use countersign_ledger::leaf::{Change as LeafChange, Digest, Kind, Leaf};
use countersign_store::{policy, rollout};

use super::record::Changed;
use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller, PolicyRecord,
    authority::compiled_policies::intact,
    engine::transaction::{Change, ChangeTx},
};

/// The version, and the reason.
#[derive(Debug, Clone)]
pub struct ActivatePolicy {
    /// The version.
    pub version: PolicyVersion,
    /// The reason, in words.
    pub reason: String,
}

/// A version that became active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyActivated {
    /// The version.
    pub policy: PolicyRecord,
    /// The log index of the event.
    pub log_index: i64,
}

/// An activation by this operator.
pub(crate) struct Activate<'a> {
    pub(crate) operator_id: &'a OperatorId,
    pub(crate) four_eyes: FourEyes,
    pub(crate) command: &'a ActivatePolicy,
}

impl Change for Activate<'_> {
    const METHOD: &'static str = "ActivatePolicy";
    type Answer = Changed;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Changed, Error> {
        let version = self.command.version;
        let found = policy::get(tx.conn(), version).await?;
        let stored = found.ok_or_else(|| Error::not_found("policy", version))?;
        // This server may have it compiled from before the row was damaged; the next server that starts has only the
        // row.
        intact(&stored)?;
        self.four_eyes.of_policy(tx, self.operator_id, &stored.created_by).await?;
        if let Some(open) = rollout::open(tx.conn()).await? {
            return Err(Error::RolloutOpen(open.rollout_id));
        }
        tx.changes_authority();
        let answer = Baseline::Version(version);
        let leaf = Leaf {
            policy_hash: Some(Digest(stored.content_hash)),
            policy_version: Some(version.to_string().into()),
            ..tx.leaf(Kind::PolicyActivated, self.operator_id)
        };
        let log_index = set_active(tx, answer, leaf, self.operator_id, &self.command.reason).await?;
        Ok(Changed { version, created: false, log_index })
    }
}

/// Makes `answer` the baseline, and appends the leaf, which also states the previous baseline.
pub(crate) async fn set_active(
    tx: &mut ChangeTx,
    answer: Baseline,
    leaf: Leaf<'static>,
    operator_id: &OperatorId,
    reason: &str,
) -> Result<i64, Error> {
    let before = policy::active_baseline(tx.conn()).await?;
    let now = tx.now();
    policy::set_standing(tx.conn(), answer, operator_id, now).await?;
    let change = LeafChange {
        after: Some(answer.to_string().into()),
        before: before.map(|before| before.to_string().into()),
        field: "answers".into(),
    };
    let (log_index, _) = tx.append(Leaf { changes: vec![change], ..leaf }, reason)?;
    Ok(log_index)
}

impl App {
    /// Makes a version active for all callers at once.
    pub async fn activate_policy(
        &self,
        caller: &OperatorCaller,
        command: ActivatePolicy,
        idempotency: Option<Idempotency>,
    ) -> Result<PolicyActivated, Error> {
        // Compiled before the head is held, so that no one waits for it.
        self.inner.authority.policy(command.version).await?.may_begin()?;
        let change = Activate {
            operator_id: &caller.operator_id,
            four_eyes: self.inner.engine.config.four_eyes,
            command: &command,
        };
        let changed = self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        Ok(PolicyActivated {
            policy: self.policy_record(&self.inner.engine.store, Some(changed.version)).await?,
            log_index: changed.log_index,
        })
    }
}
