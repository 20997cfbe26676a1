//! What may be allowed, in memory: policies, the open rollout, revocations, keys, as of one authority epoch.
//!
//! A decision is evaluated against a snapshot and recorded only while the log head is still at the snapshot's epoch.

use std::sync::Arc;

use countersign_core::{
    credential::{LEEWAY, Verified},
    decision::Reason,
    ids::PolicyVersion,
    revocation::{ENTRIES_KEPT, RevocationLog, Revocations},
    rollout::{Baseline, Rollout},
    spiffe::TrustDomain,
};
use countersign_policy::CompiledPolicy;
use countersign_store::{Connection, head::Head, policy, revocation, rollout, signing_key, x509_authority};
use moka::sync::Cache;
use time::{Duration, OffsetDateTime};

use crate::{Error, create_policy::try_compile, key_ring::KeyRing, secrets::Secrets, x509::Authorities};

/// How long a retired key stays published: as long as a revocation entry, until nothing that it signed can be good.
const RETIRED_KEYS_KEPT: Duration = ENTRIES_KEPT;

/// A stored policy, ready to answer.
#[derive(Debug)]
pub(crate) struct LoadedPolicy {
    pub(crate) version: PolicyVersion,
    pub(crate) compiled: CompiledPolicy,
}

/// What answers for a caller.
#[derive(Debug, Clone)]
pub(crate) enum Answerer {
    Policy(Arc<LoadedPolicy>),
    Observe,
    Deny,
}

/// The open rollout, ready to answer.
#[derive(Debug)]
pub(crate) struct OpenRollout {
    pub(crate) rollout: Rollout,
    pub(crate) candidate: Arc<LoadedPolicy>,
    pub(crate) baseline: Answerer,
}

/// What may be allowed, as of one authority epoch.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) epoch: i64,
    /// What answers where no rollout does; none before the first activation.
    pub(crate) standing: Option<Answerer>,
    pub(crate) rollout: Option<OpenRollout>,
    pub(crate) revocations: Revocations,
    /// The same entries in their order, for who follows them.
    pub(crate) revocation_log: Arc<RevocationLog>,
    pub(crate) keys: KeyRing,
    /// What signs X.509-SVIDs; none without a trust domain.
    pub(crate) authorities: Authorities,
}

impl Snapshot {
    /// Whose roles and tools bound new credentials: the standing policy, or where only a baseline stands, the candidate.
    pub(crate) fn granting_policy(&self) -> Option<&CompiledPolicy> {
        match (&self.standing, &self.rollout) {
            (Some(Answerer::Policy(policy)), _) => Some(&policy.compiled),
            (_, Some(open)) => Some(&open.candidate.compiled),
            _ => None,
        }
    }

    /// Why a credential that holds may no longer act at `now`: its time is over, or it was revoked.
    pub(crate) fn dead(&self, credential: &Verified, now: OffsetDateTime) -> Option<Reason> {
        if now >= credential.expire_time + Duration::seconds(LEEWAY) {
            return Some(Reason::CredentialExpired);
        }
        self.revocations.kill(credential)
    }

    /// Whether any call can be answered.
    pub(crate) const fn answers(&self) -> bool {
        self.standing.is_some() || self.rollout.is_some()
    }
}

/// Makes snapshots; remembers compiled policies, which never change.
#[derive(Debug)]
pub(crate) struct Loader {
    policies: Cache<PolicyVersion, Arc<LoadedPolicy>>,
    trust_domain: Option<TrustDomain>,
}

impl Loader {
    pub(crate) fn new(trust_domain: Option<TrustDomain>) -> Self {
        Self { policies: Cache::new(16), trust_domain }
    }

    /// Loads what stands at `head`. `conn` is a transaction that holds the head, or that sees one state throughout.
    pub(crate) async fn load(
        &self,
        conn: &mut Connection,
        head: &Head,
        before: Option<&Snapshot>,
        secrets: &Secrets,
        now: OffsetDateTime,
    ) -> Result<Snapshot, Error> {
        let standing = match policy::standing(conn).await? {
            Some(answer) => Some(self.answerer(conn, answer).await?),
            None => None,
        };
        let rollout = match rollout::open(conn).await? {
            Some(rollout) => Some(OpenRollout {
                candidate: self.policy(conn, rollout.candidate).await?,
                baseline: self.answerer(conn, rollout.baseline).await?,
                rollout,
            }),
            None => None,
        };
        let entries = revocation::since(conn, now - ENTRIES_KEPT).await?;
        let revocations =
            Revocations::new(&entries).map_err(|error| Error::internal("a revocation entry cannot be read", error))?;
        let keys = signing_key::known(conn, now - RETIRED_KEYS_KEPT).await?;
        let keys = KeyRing::new(keys, before.map(|snapshot| &snapshot.keys), secrets)?;
        let authorities = match &self.trust_domain {
            Some(domain) => {
                let stored = x509_authority::list(conn, domain.as_str()).await?;
                Authorities::open(stored, before.map(|snapshot| &snapshot.authorities), secrets)?
            }
            None => Authorities::default(),
        };
        Ok(Snapshot {
            epoch: head.authority_epoch,
            standing,
            rollout,
            revocations,
            revocation_log: Arc::new(RevocationLog::new(head.revocation_seq, entries)),
            keys,
            authorities,
        })
    }

    async fn answerer(&self, conn: &mut Connection, answer: Baseline) -> Result<Answerer, Error> {
        Ok(match answer {
            Baseline::Version(version) => Answerer::Policy(self.policy(conn, version).await?),
            Baseline::Observe => Answerer::Observe,
            Baseline::Deny => Answerer::Deny,
        })
    }

    /// A stored version, compiled. A row that no longer compiles answers nobody.
    pub(crate) async fn policy(
        &self,
        conn: &mut Connection,
        version: PolicyVersion,
    ) -> Result<Arc<LoadedPolicy>, Error> {
        if let Some(policy) = self.policies.get(&version) {
            return Ok(policy);
        }
        let stored = policy::get(conn, version).await?.ok_or_else(|| Error::not_found("policy", version))?;
        let compiled = try_compile(stored.document, stored.cedar)
            .await?
            .map_err(|violations| Error::internal("a stored policy does not load", violations))?;
        if compiled.content_hash() != stored.content_hash {
            return Err(Error::internal("a stored policy is not what was stored", version));
        }
        let policy = Arc::new(LoadedPolicy { version, compiled });
        self.policies.insert(version, policy.clone());
        Ok(policy)
    }
}
