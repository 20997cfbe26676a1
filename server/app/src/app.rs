//! [`App`], of which every use case is a method: its parts, the published keys (JWKS), and what followers watch
//! (rollouts, revocations, the policy in use).

use std::sync::{Arc, atomic::Ordering};

use countersign_core::{
    clock::{Clock, Entropy},
    revocation::RevocationLog,
};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::{
    Error, Feed, Idempotency, PolicyStatus, RolloutReport,
    approvals::waits::Waits,
    authn::{Authn, known_grants::KnownGrants},
    authority::{Authority, snapshot::Snapshot},
    custody::checkpoints::{Checkpoints, log_key::LogKey},
    decisions::refusal_limits::Refusals,
    engine::{context::Context, transaction::Change},
    keys::past_keys::PastKeys,
    recorder::Recorder,
    recorder::indicators::Indicators,
    status::Status,
};

/// The use cases. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Arc<Context>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) recorder: Recorder,
    pub(crate) authn: Authn,
    pub(crate) status: Status,
    pub(crate) refusals: Refusals,
    pub(crate) indicators: Arc<Indicators>,
    /// The callers that wait for an answer to an approval.
    pub(crate) approval_waits: Waits,
    pub(crate) past_keys: PastKeys,
    pub(crate) custody: Checkpoints,
}

impl App {
    pub(crate) fn new(authority: Authority, recorder: Recorder, grants: KnownGrants, log_key: LogKey) -> Self {
        let engine = authority.engine.clone();
        let inner = Inner {
            authority: Arc::new(authority),
            recorder,
            authn: Authn::new(&engine.config, grants),
            status: Status::default(),
            refusals: Refusals::new(engine.config.refusals),
            indicators: Arc::new(Indicators::new(engine.server_id)),
            approval_waits: Waits::default(),
            past_keys: PastKeys::default(),
            custody: Checkpoints::new(log_key, engine.config.checkpoints.clone()),
            engine,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The authorization snapshot of this server.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.authority.snapshot()
    }

    /// Makes a change, once per request id.
    pub(crate) async fn change<C: Change>(
        &self,
        caller: &str,
        idempotency: Option<&Idempotency>,
        change: &C,
    ) -> Result<C::Answer, Error> {
        self.inner.authority.change(caller, idempotency, change).await
    }

    /// The open rollouts, and every change of them.
    #[must_use]
    pub fn watch_rollouts(&self) -> watch::Receiver<Arc<Vec<RolloutReport>>> {
        self.inner.authority.open_rollouts.subscribe()
    }

    /// The revocation entries, and every new one.
    #[must_use]
    pub fn watch_revocations(&self) -> Feed<RevocationLog> {
        self.inner.authority.watch_revocations()
    }

    /// The active version and the kill switches, and every change of what is in use.
    #[must_use]
    pub fn watch_policy(&self) -> Feed<PolicyStatus> {
        self.inner.authority.watch_policy()
    }

    /// A time that advances evenly while the server runs. Followers compare it with what they were told before.
    #[must_use]
    pub fn even_now(&self) -> OffsetDateTime {
        self.inner.engine.clock.even_now()
    }

    /// Whether the database answered last and the clock is trusted, and every change of that.
    #[must_use]
    pub fn fit(&self) -> watch::Receiver<bool> {
        self.inner.status.fit.subscribe()
    }

    /// Announces that the server will stop soon: it is no longer ready, but continues to serve.
    pub fn stop_serving(&self) {
        self.inner.status.leaving.store(true, Ordering::Relaxed);
    }

    /// The keys with which credentials and receipts are verified, as an RFC 7517 set.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.snapshot().keys.verifying.to_jwks()
    }

    /// The `iss` of everything that is signed.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.inner.engine.config.issuer
    }

    /// The `aud` of credentials.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.inner.engine.config.audience
    }

    /// The clock against which every rule here is checked. It does not jump when the machine's clock does.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.engine.clock
    }

    /// The source of ids and salts.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.inner.engine.entropy
    }
}
