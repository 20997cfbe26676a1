//! ValidatePolicy, GetPolicy and ListPolicies.

use countersign_core::{ids::PolicyVersion, rollout::Baseline};
use countersign_policy::{CompiledPolicy, Rule, Violation};
pub use countersign_store::policy::{PolicyFilter, PolicyState};
use countersign_store::{Store, policy};

use super::{
    compile::try_compile,
    record::{PolicyRecord, record},
};
use crate::{App, Error, Page, PageRequest};

/// A document that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidPolicy {
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Constructs that are permitted but are probably a mistake.
    pub warnings: Vec<Violation>,
}

impl App {
    /// Checks a document, and stores nothing. The outer error is an internal error.
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

    /// One version with its document; `None` for the active one.
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
