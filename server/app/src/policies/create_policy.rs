//! CreatePolicy: stores a valid document as a new version. The same content gives the same version.

use countersign_core::names::OperatorId;
use countersign_ledger::leaf::{Digest, Kind, Leaf};
use countersign_store::policy;

use super::{
    compile::compile,
    record::{Changed, PolicyRecord},
};
use crate::{
    App, Error, Idempotency, OperatorCaller,
    engine::transaction::{Change, ChangeTx},
};

/// A document to store.
#[derive(Debug, Clone)]
pub struct CreatePolicy {
    /// The YAML document.
    pub document: String,
    /// The Cedar text beside it; empty if there is none.
    pub cedar: String,
    /// What changed and why, in words.
    pub reason: Option<String>,
}

/// A stored version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyCreated {
    /// The version.
    pub policy: PolicyRecord,
    /// Whether this call stored it; false if the same content was stored before.
    pub created: bool,
    /// The log index of its creation.
    pub log_index: i64,
}

/// A document that this operator stores.
pub(crate) struct Create<'a> {
    pub(crate) operator_id: &'a OperatorId,
    pub(crate) command: &'a CreatePolicy,
    pub(crate) content_hash: [u8; 32],
    pub(crate) rule_count: usize,
}

impl Change for Create<'_> {
    const METHOD: &'static str = "CreatePolicy";
    type Answer = Changed;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Changed, Error> {
        if let Some((version, log_index)) = policy::by_content(tx.conn(), &self.content_hash).await? {
            return Ok(Changed { version, created: false, log_index });
        }
        let version = policy::next_version(tx.conn()).await?;
        let leaf = Leaf {
            policy_hash: Some(Digest(self.content_hash)),
            policy_version: Some(version.to_string().into()),
            ..tx.leaf(Kind::PolicyCreated, self.operator_id)
        };
        let (log_index, _) = tx.append(leaf, self.command.reason.as_deref().unwrap_or_default())?;
        let now = tx.now();
        let new = policy::NewPolicy {
            version,
            content_hash: self.content_hash,
            document: &self.command.document,
            cedar: &self.command.cedar,
            rule_count: i32::try_from(self.rule_count).unwrap_or(i32::MAX),
            created_by: self.operator_id,
            create_time: now,
            log_index,
        };
        policy::insert(tx.conn(), &new).await?;
        Ok(Changed { version, created: true, log_index })
    }
}

impl App {
    /// Stores a valid document as a new version. The same content gives the same version.
    pub async fn create_policy(
        &self,
        caller: &OperatorCaller,
        command: CreatePolicy,
        idempotency: Option<Idempotency>,
    ) -> Result<PolicyCreated, Error> {
        let compiled = compile(command.document.clone(), command.cedar.clone()).await?;
        let change = Create {
            operator_id: &caller.operator_id,
            command: &command,
            content_hash: compiled.content_hash(),
            rule_count: compiled.rules().len(),
        };
        let Changed { version, created, log_index } =
            self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        self.inner.authority.loader.policies.keep(version, compiled);
        let policy = self.policy_record(&self.inner.engine.store, Some(version)).await?;
        Ok(PolicyCreated { policy, created, log_index })
    }
}
