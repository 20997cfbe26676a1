//! ValidatePolicy, GetPolicy and ListPolicies.

use countersign_core::{ids::PolicyVersion, names::OperatorId, rollout::Baseline};
use countersign_policy::{CompiledPolicy, Rule, Violation};
pub use countersign_store::policy::{PolicyFilter, PolicyState};
use countersign_store::{
    Store,
    policy::{self, StoredPolicy},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::create_policy::try_compile;
use crate::{App, Error, Page, PageRequest};

/// One stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// Its version.
    pub version: PolicyVersion,
    /// SHA-256 of document and Cedar.
    pub content_hash: [u8; 32],
    /// The YAML document; empty in lists.
    pub document: String,
    /// Raw Cedar beside it; empty in lists.
    pub cedar: String,
    /// What it is used for now.
    pub state: PolicyState,
    /// When stored.
    pub create_time: OffsetDateTime,
    /// Who stored it.
    pub created_by: OperatorId,
    /// When it last became active.
    pub activate_time: Option<OffsetDateTime>,
    /// Its rules in short; empty in lists.
    pub rules: Vec<Rule>,
    /// How many rules it holds.
    pub rule_count: u32,
}

/// A document that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidPolicy {
    /// Its rules in short.
    pub rules: Vec<Rule>,
    /// What may be meant, and probably is not.
    pub warnings: Vec<Violation>,
}

/// A version that a change is about, as it is kept for a repeated request: the version alone, read again then.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Changed {
    pub(crate) version: PolicyVersion,
    pub(crate) created: bool,
    pub(crate) log_index: i64,
}

impl App {
    /// Checks a document, and stores nothing. The outer error is a fault of the server.
    pub async fn validate_policy(
        &self,
        document: String,
        cedar: String,
    ) -> Result<Result<ValidPolicy, Vec<Violation>>, Error> {
        let compiled = try_compile(document, cedar).await?;
        let valid = |policy: CompiledPolicy| ValidPolicy {
            rules: policy.rules().to_vec(),
            warnings: policy.warnings().to_vec(),
        };
        Ok(compiled.map(valid).map_err(|violations| violations.into_iter().collect()))
    }

    /// One version with its document; none: the active one.
    pub async fn get_policy(&self, version: Option<PolicyVersion>) -> Result<PolicyRecord, Error> {
        self.policy_record(&self.inner.engine.store.for_reads(), version).await
    }

    pub(crate) async fn policy_record(
        &self,
        store: &Store,
        version: Option<PolicyVersion>,
    ) -> Result<PolicyRecord, Error> {
        let mut conn = store.connection().await?;
        let version = match version {
            Some(version) => version,
            None => match policy::standing(&mut conn).await? {
                Some(Baseline::Version(version)) => version,
                _ => return Err(Error::not_found("policy", "that is active")),
            },
        };
        let stored = policy::get(&mut conn, version).await?.ok_or_else(|| Error::not_found("policy", version))?;
        drop(conn);
        let rules = self.inner.authority.policy(version).await?.compiled.rules().to_vec();
        Ok(PolicyRecord { rules, ..record(stored, true) })
    }

    /// One page of versions, newest first, without their documents.
    pub async fn list_policies(&self, filter: PolicyFilter, page: PageRequest) -> Result<Page<PolicyRecord>, Error> {
        let found = policy::list(&mut *self.inner.engine.store.for_reads().connection().await?, &filter, &page).await?;
        Ok(found.map(|stored| record(stored, false)))
    }
}

pub(crate) fn record(stored: StoredPolicy, whole: bool) -> PolicyRecord {
    let text = |text: String| if whole { text } else { String::new() };
    PolicyRecord {
        version: stored.version,
        content_hash: stored.content_hash,
        document: text(stored.document),
        cedar: text(stored.cedar),
        state: stored.state,
        create_time: stored.create_time,
        created_by: stored.created_by,
        activate_time: stored.activate_time,
        rules: Vec::new(),
        rule_count: u32::try_from(stored.rule_count).unwrap_or(0),
    }
}
