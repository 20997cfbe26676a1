//! Compiles the policy versions that are in use or may be used next, ahead of need; and a version that a caller names.

use std::sync::Arc;

use countersign_core::ids::PolicyVersion;
use countersign_store::policy;

use super::{
    Authority,
    compiled_policies::{LoadedPolicy, Missing, Need},
};
use crate::Error;

impl Authority {
    /// A stored version, compiled, for a caller that names it.
    pub(crate) async fn policy(&self, version: PolicyVersion) -> Result<Arc<LoadedPolicy>, Error> {
        Ok(self.loader.policies.get(&self.engine.store, version, Need::Asked).await?)
    }

    /// Compiles the versions that are in use or may be used next, so that no caller has to wait then.
    pub(crate) async fn compile_ahead(&self) -> Result<(), Error> {
        let (store, policies) = (&self.engine.store, &self.loader.policies);
        let mut versions = policy::likely(&mut *store.connection().await?).await?;
        versions.retain(|version| policies.ready(*version).is_none() && !policies.is_unusable(*version));
        policies.compile(store, Missing(versions), Need::Ahead).await
    }
}
