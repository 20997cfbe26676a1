//! ValidatePolicy, which checks a document and stores nothing; GetPolicy and ListPolicies, newest first.

use countersign_core::{ids::PolicyVersion, rollout::Baseline};
use countersign_policy::{Rule, Violation};
pub use countersign_store::policy::{PolicyFilter, PolicyState};
use countersign_store::{Store, policy};

use super::{
    compile::{Compilation, try_compile},
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

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyValidation {
    /// It can be stored.
    Valid(ValidPolicy),
    /// It cannot: every reason.
    Invalid(Vec<Violation>),
}

impl App {
    /// Checks a document, and stores nothing.
    pub async fn validate_policy(&self, document: String, cedar: String) -> Result<PolicyValidation, Error> {
        Ok(match try_compile(document, cedar).await? {
            Compilation::Valid(policy) => {
                let (rules, warnings) = (policy.rules().to_vec(), policy.warnings().to_vec());
                PolicyValidation::Valid(ValidPolicy { rules, warnings })
            }
            Compilation::Invalid(violations) => PolicyValidation::Invalid(violations.into_iter().collect()),
        })
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
            None => match policy::active_baseline(&mut conn).await? {
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
