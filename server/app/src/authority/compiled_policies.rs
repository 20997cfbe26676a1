//! A cache of compiled policies, with its size. They are compiled ahead of need, one at a time, and never while the log
//! head is held, because a large document takes seconds. A stored policy whose content does not match its recorded hash
//! is not used; one that fails a newer check may not become active again.

use std::{sync::Arc, time::Duration};

use countersign_core::ids::PolicyVersion;
use countersign_policy::{CompiledPolicy, content_hash};
use countersign_store::{
    Store,
    policy::{self, StoredPolicy},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use tokio::sync::Mutex;
use tracing::Span;

use crate::Error;

/// Limit of the cached policies, besides those that the snapshot holds.
const KEPT: u64 = 16;
/// How long a row without a usable policy is not tried again.
const UNUSABLE_FOR: Duration = Duration::from_mins(1);

/// A stored policy in compiled form.
#[derive(Debug)]
pub(crate) struct LoadedPolicy {
    pub(crate) version: PolicyVersion,
    pub(crate) compiled: CompiledPolicy,
}

/// Versions that must be compiled before a snapshot can be made. The caller must release the head first.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) Vec<PolicyVersion>);

impl Missing {
    /// The error for a caller that cannot release the head.
    pub(crate) fn not_yet(&self) -> Error {
        let versions: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        Error::NotReady(format!("policy {} is being compiled: retry in a moment", versions.join(", ")))
    }
}

/// The row of a version does not match its recorded hash, so it cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unusable(pub(crate) PolicyVersion);

/// Why a version is not compiled.
#[derive(Debug)]
pub(crate) enum NotCompiled {
    /// It never will be.
    Unusable(Unusable),
    /// It could not be read, or compiling it was cut off.
    Failed(Error),
}

impl From<Error> for NotCompiled {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<NotCompiled> for Error {
    fn from(why: NotCompiled) -> Self {
        match why {
            NotCompiled::Unusable(unusable) => unusable.into(),
            NotCompiled::Failed(error) => error,
        }
    }
}

impl From<Unusable> for Error {
    fn from(Unusable(version): Unusable) -> Self {
        Self::IllegalTransition(format!(
            "policy {version} cannot be used: its stored content does not match its recorded hash. Activate another \
             version, or store the document again with a changed comment and activate that"
        ))
    }
}

/// Why versions are compiled, for the metric.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// They may be needed soon.
    Ahead,
    /// A caller names them, and only it waits.
    Asked,
    /// Decisions wait for them.
    Waited,
}

/// The cached compiled policies.
#[derive(Debug)]
pub(crate) struct CompiledPolicies {
    ready: Cache<PolicyVersion, Arc<LoadedPolicy>>,
    unusable: Cache<PolicyVersion, ()>,
    /// Only one is compiled at a time, because it takes a processor and much memory.
    turn: Arc<Mutex<()>>,
}

impl Default for CompiledPolicies {
    fn default() -> Self {
        Self {
            // With the default eviction policy, a policy that was just compiled could be dropped in favour of a more
            // frequently used one.
            ready: Cache::builder().max_capacity(KEPT).eviction_policy(EvictionPolicy::lru()).build(),
            unusable: Cache::builder().max_capacity(KEPT).time_to_live(UNUSABLE_FOR).build(),
            turn: Arc::default(),
        }
    }
}

impl CompiledPolicies {
    /// The version, if it is compiled already.
    pub(crate) fn ready(&self, version: PolicyVersion) -> Option<Arc<LoadedPolicy>> {
        self.ready.get(&version)
    }

    /// Whether the row of a version was recently found to be unusable.
    pub(crate) fn is_unusable(&self, version: PolicyVersion) -> bool {
        self.unusable.contains_key(&version)
    }

    /// Caches a policy that was compiled for another purpose.
    pub(crate) fn keep(&self, version: PolicyVersion, compiled: CompiledPolicy) {
        self.ready.insert(version, Arc::new(LoadedPolicy { version, compiled }));
    }

    /// A stored version, compiled. Call this without an open transaction.
    pub(crate) async fn get(
        &self,
        store: &Store,
        version: PolicyVersion,
        need: Need,
    ) -> Result<Arc<LoadedPolicy>, NotCompiled> {
        if let Some(policy) = self.ready(version) {
            return Ok(policy);
        }
        let turn = self.turn.clone().lock_owned().await;
        if let Some(policy) = self.ready(version) {
            return Ok(policy);
        }
        let stored = read(store, version).await?;
        let when = match need {
            Need::Ahead => "ahead",
            Need::Asked => "asked",
            Need::Waited => "waited",
        };
        metrics::counter!("countersign_policy_compilations_total", "when" => when).increment(1);
        let (ready, unusable) = (self.ready.clone(), self.unusable.clone());
        // On a separate thread, where it is finished and cached even if the caller has disconnected.
        let span = Span::current();
        let compiling = tokio::task::spawn_blocking(move || {
            let (_turn, _within) = (turn, span.entered());
            let compiled = compile(&stored);
            match &compiled {
                Ok(policy) => ready.insert(version, policy.clone()),
                Err(_) => unusable.insert(version, ()),
            }
            compiled
        });
        let compiled = compiling.await.map_err(|error| Error::internal("a policy could not be compiled", error))?;
        compiled.map_err(NotCompiled::Unusable)
    }

    /// Compiles the missing versions. Those that cannot be compiled are marked as unusable.
    pub(crate) async fn compile(&self, store: &Store, Missing(versions): Missing, need: Need) -> Result<(), Error> {
        for version in versions {
            match self.get(store, version, need).await {
                Ok(_) | Err(NotCompiled::Unusable(_)) => {}
                Err(NotCompiled::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn read(store: &Store, version: PolicyVersion) -> Result<StoredPolicy, Error> {
    let stored = policy::get(&mut *store.connection().await?, version).await?;
    stored.ok_or_else(|| Error::not_found("policy", version))
}

fn compile(stored: &StoredPolicy) -> Result<Arc<LoadedPolicy>, Unusable> {
    let version = stored.version;
    intact(stored)?;
    let compiled = CompiledPolicy::load_stored(&stored.document, &stored.cedar).map_err(|violations| {
        tracing::error!(%version, %violations, "a stored policy cannot be loaded, and is not used");
        Unusable(version)
    })?;
    Ok(Arc::new(LoadedPolicy { version, compiled }))
}

/// Whether a row still has the content that was checked and logged when it was stored.
pub(crate) fn intact(stored: &StoredPolicy) -> Result<(), Unusable> {
    if content_hash(&stored.document, &stored.cedar) == stored.content_hash {
        return Ok(());
    }
    tracing::error!(version = %stored.version, "the content of a stored policy does not match its recorded hash: it \
                                                is not used");
    Err(Unusable(stored.version))
}

impl LoadedPolicy {
    /// Whether it may become active. A version that was stored before a check existed stays in use, but may not become
    /// active again.
    pub(crate) fn may_begin(&self) -> Result<(), Error> {
        let faults = self.compiled.faults();
        if faults.is_empty() { Ok(()) } else { Err(Error::PolicyInvalid(faults.to_vec())) }
    }
}
