//! ProposeCacheExtension, ConfirmCacheExtension, EndCacheExtension, ListCacheExtensions: how long an ALLOW may be
//! cached during an incident. There is one at a time, and a second person confirms it; ended early, its cached answers
//! end too.

use std::borrow::Cow;

use countersign_core::{
    cache_extension::{CacheExtension, CacheExtensionState, PATIENCE},
    clock::uuid_v7,
    ids::CacheExtensionId,
};
use countersign_ledger::leaf::{Change as LeafChange, Kind, Leaf, Subject};
use countersign_store::cache_extension;
use serde::{Deserialize, Serialize};
use time::Duration;

use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller, Page, PageRequest,
    engine::{
        custody_leaf::timestamp,
        transaction::{Change, ChangeTx},
    },
};

/// A proposal.
#[derive(Debug, Clone)]
pub struct ProposeCacheExtension {
    /// How long an ALLOW may be cached, in seconds.
    pub extend_to_seconds: u32,
    /// How long the extension lasts, in seconds.
    pub life_seconds: u32,
    /// The reason, in words.
    pub reason: String,
}

/// The extension, the step, and the reason.
#[derive(Debug, Clone)]
pub struct ChangeCacheExtension {
    /// The extension.
    pub cache_extension_id: CacheExtensionId,
    /// Whether it is confirmed or ended.
    pub step: CacheExtensionStep,
    /// The reason, in words.
    pub reason: String,
    /// The extension's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

/// A step in the life of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheExtensionStep {
    /// A second person confirms it, and it becomes active.
    Confirm,
    /// It ends early.
    End,
}

/// An extension after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheExtensionChanged {
    /// The extension.
    pub cache_extension: CacheExtension,
    /// The log index of the event.
    pub log_index: i64,
}

struct Propose<'a> {
    caller: &'a OperatorCaller,
    command: &'a ProposeCacheExtension,
}

struct Step<'a> {
    caller: &'a OperatorCaller,
    four_eyes: FourEyes,
    command: &'a ChangeCacheExtension,
}

impl Change for Propose<'_> {
    const METHOD: &'static str = "ProposeCacheExtension";
    type Answer = CacheExtensionChanged;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<CacheExtensionChanged, Error> {
        let now = tx.now();
        if let Some(last) = cache_extension::newest(tx.conn()).await? {
            let id = last.cache_extension_id;
            let why = match last.state(now) {
                CacheExtensionState::Ended => None,
                CacheExtensionState::Active => {
                    Some(format!("{id} holds: end it with EndCacheExtension, or wait for its end"))
                }
                CacheExtensionState::Pending => Some(format!(
                    "{id} waits for a second person, who confirms it with ConfirmCacheExtension; EndCacheExtension \
                     withdraws it, and it lapses after {} minutes",
                    PATIENCE.whole_minutes()
                )),
            };
            if let Some(why) = why {
                return Err(Error::IllegalTransition(why));
            }
        }
        let ProposeCacheExtension { extend_to_seconds, life_seconds, reason } = self.command;
        let cache_extension = CacheExtension {
            cache_extension_id: CacheExtensionId(uuid_v7(now, tx.entropy())),
            extend_to_seconds: *extend_to_seconds,
            life_seconds: *life_seconds,
            reason: reason.clone(),
            proposed_by: self.caller.operator_id.clone(),
            propose_time: now,
            confirmed_by: None,
            end_time: None,
            stop_time: None,
        };
        cache_extension::insert(tx.conn(), &cache_extension).await?;
        let log_index = append(tx, self.caller, None, &cache_extension, Vec::new(), reason)?;
        Ok(CacheExtensionChanged { cache_extension, log_index })
    }
}

impl Change for Step<'_> {
    // Both verbs share one set of request ids; the fingerprint tells them apart.
    const METHOD: &'static str = "ChangeCacheExtension";
    type Answer = CacheExtensionChanged;

    fn stops(&self) -> bool {
        self.command.step == CacheExtensionStep::End
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<CacheExtensionChanged, Error> {
        let ChangeCacheExtension { cache_extension_id, step, reason, etag } = self.command;
        let found = cache_extension::get(tx.conn(), *cache_extension_id).await?;
        let before = found.ok_or_else(|| Error::not_found("cache extension", cache_extension_id))?;
        if etag.as_ref().is_some_and(|etag| *etag != before.etag()) {
            return Err(Error::EtagMismatch { what: "cache extension" });
        }
        let now = tx.now();
        let (state, by) = (before.state(now), &self.caller.operator_id);
        let mut alone = Vec::new();
        let after = match (step, state) {
            (_, CacheExtensionState::Ended) => {
                return Err(Error::IllegalTransition(format!("{cache_extension_id} is over: propose another one")));
            }
            (CacheExtensionStep::Confirm, CacheExtensionState::Active) => {
                return Err(Error::IllegalTransition(format!("{cache_extension_id} was confirmed already, and holds")));
            }
            (CacheExtensionStep::Confirm, CacheExtensionState::Pending) => {
                alone = self.four_eyes.of_two(tx, by, &before.proposed_by).await?.changes();
                let end_time = Some(now + Duration::seconds(before.life_seconds.into()));
                CacheExtension { confirmed_by: Some(by.clone()), end_time, ..before.clone() }
            }
            (CacheExtensionStep::End, _) => CacheExtension { stop_time: Some(now), ..before.clone() },
        };
        cache_extension::update(tx.conn(), &after).await?;
        tx.changes_authority();
        let log_index = append(tx, self.caller, Some(state), &after, alone, reason)?;
        Ok(CacheExtensionChanged { cache_extension: after, log_index })
    }
}

/// Appends the event of a step.
fn append(
    tx: &mut ChangeTx,
    caller: &OperatorCaller,
    before: Option<CacheExtensionState>,
    extension: &CacheExtension,
    more: Vec<LeafChange<'static>>,
    reason: &str,
) -> Result<i64, Error> {
    let now = tx.now();
    let state = |state: CacheExtensionState| -> Cow<'static, str> {
        match state {
            CacheExtensionState::Pending => "PENDING",
            CacheExtensionState::Active => "ACTIVE",
            CacheExtensionState::Ended => "ENDED",
        }
        .into()
    };
    let set = |field: &'static str, value: String| LeafChange {
        field: field.into(),
        after: Some(value.into()),
        ..LeafChange::default()
    };
    let end = extension.end_time.filter(|_| extension.stop_time.is_none());
    let mut changes: Vec<_> = end.map(|end| set("end_time", timestamp(end).to_string())).into_iter().collect();
    changes.push(set("extend_to_seconds", extension.extend_to_seconds.to_string()));
    changes.extend(more);
    changes.push(set("life_seconds", extension.life_seconds.to_string()));
    changes.push(LeafChange {
        field: "standing".into(),
        before: before.map(state),
        after: Some(state(extension.state(now))),
    });
    let id = extension.cache_extension_id.to_string();
    let leaf = Leaf {
        changes,
        subject: Some(Subject { id: Some(id.into()), kind: "cache_extension".into() }),
        ..tx.leaf(Kind::CacheExtensionChanged, &caller.operator_id)
    };
    Ok(tx.append(leaf, reason)?.0)
}

impl App {
    /// Proposes that an ALLOW may be cached longer for a while. A second person must confirm it.
    pub async fn propose_cache_extension(
        &self,
        caller: &OperatorCaller,
        command: ProposeCacheExtension,
        idempotency: Option<Idempotency>,
    ) -> Result<CacheExtensionChanged, Error> {
        let change = Propose { caller, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }

    /// Confirms an extension, or ends it early; then answers that were cached because of it are no longer valid.
    pub async fn change_cache_extension(
        &self,
        caller: &OperatorCaller,
        command: ChangeCacheExtension,
        idempotency: Option<Idempotency>,
    ) -> Result<CacheExtensionChanged, Error> {
        let change = Step { caller, four_eyes: self.inner.engine.config.four_eyes, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }

    /// One page of extensions, newest first, each with its current state.
    pub async fn list_cache_extensions(
        &self,
        page: PageRequest,
    ) -> Result<Page<(CacheExtension, CacheExtensionState)>, Error> {
        let found = cache_extension::list(&mut *self.inner.engine.store.for_reads().connection().await?, &page).await?;
        Ok(found.map(|extension| self.standing_of(extension)))
    }

    /// An extension with its current state.
    #[must_use]
    pub fn standing_of(&self, extension: CacheExtension) -> (CacheExtension, CacheExtensionState) {
        let state = extension.state(self.inner.engine.clock.now());
        (extension, state)
    }
}
