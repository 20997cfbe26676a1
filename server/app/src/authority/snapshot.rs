//! The authorization snapshot at one authority epoch: policies, the open rollout, revocations and keys. Decides whether
//! a credential may still be used (expired, not valid yet, revoked), which policy limits new credentials, that no
//! policy answers if one is unusable, and how long a retired key stays published.
//!
//! A decision is evaluated against a snapshot, and recorded only while the log head is still at the snapshot's epoch.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use countersign_core::{
    cache_extension::CacheExtension,
    credential::{LEEWAY, Verified},
    decision::Reason,
    ids::PolicyVersion,
    kill_switch::KillSwitches,
    names::OperatorId,
    revocation::{ENTRIES_KEPT, RevocationLog, Revocations},
    rollout::{Baseline, Rollout},
    spiffe::TrustDomain,
};
use countersign_policy::CompiledPolicy;
use countersign_store::{
    Connection, cache_extension, disabled_operator, head::Head, kill_switch, policy, revocation, rollout, signing_key,
    x509_authority,
};
use time::{Duration, OffsetDateTime};

use super::{
    compiled_policies::{CompiledPolicies, LoadedPolicy, Missing},
    key_ring::KeyRing,
    policy_status::PolicyStatus,
    x509_authority::Authorities,
};
use crate::{Error, engine::secrets::Secrets, error::no_policy};

/// How long a retired key stays published: as long as a revocation entry, until no token that it signed can be valid.
const RETIRED_KEYS_KEPT: Duration = ENTRIES_KEPT;

/// What decides for a caller.
#[derive(Debug, Clone)]
pub(crate) enum DecisionSource {
    Policy(Arc<LoadedPolicy>),
    Observe,
    Deny,
}

/// The open rollout with its compiled policies.
#[derive(Debug)]
pub(crate) struct OpenRollout {
    pub(crate) rollout: Rollout,
    pub(crate) candidate: Arc<LoadedPolicy>,
    pub(crate) baseline: DecisionSource,
}

/// The source of the limits for new credentials.
#[derive(Debug, Clone)]
pub(crate) enum Granting {
    /// The roles and tools of this policy.
    Policy(Arc<LoadedPolicy>),
    /// No policy was ever active, and a baseline is used: only the token service's limits.
    ServiceLimits,
    /// Nothing is granted: no policy was activated yet, or the one that counts cannot be used.
    Nothing,
}

/// The authorization data at one authority epoch.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) epoch: i64,
    /// What decides where no rollout applies. `None` before the first activation.
    pub(crate) active: Option<DecisionSource>,
    pub(crate) rollout: Option<OpenRollout>,
    pub(crate) granting: Granting,
    /// A version that should be in use but whose row does not match its hash. While it is set, no policy decides.
    pub(crate) unusable: Option<PolicyVersion>,
    pub(crate) kill_switches: Arc<KillSwitches>,
    /// Whether caches may temporarily keep an ALLOW longer.
    pub(crate) cache_extension: Option<CacheExtension>,
    /// The content of WatchPolicy.
    pub(crate) policy_status: Arc<PolicyStatus>,
    pub(crate) revocations: Revocations,
    /// The same entries in order, with their floor, for followers.
    pub(crate) revocation_log: Arc<RevocationLog>,
    pub(crate) keys: KeyRing,
    /// Disabled logins.
    pub(crate) disabled: HashSet<OperatorId>,
    /// The authorities that sign X.509-SVIDs. Empty without a trust domain.
    pub(crate) authorities: Authorities,
}

impl Snapshot {
    /// The policy whose roles and tools limit new credentials. `None` for the token service's limits alone.
    pub(crate) fn granting_policy(&self) -> Result<Option<&CompiledPolicy>, Error> {
        match &self.granting {
            Granting::Policy(policy) => Ok(Some(&policy.compiled)),
            Granting::ServiceLimits => Ok(None),
            Granting::Nothing => Err(no_policy()),
        }
    }

    /// Why a valid credential may not be used at `now`: it has expired, is not valid yet, or was revoked.
    pub(crate) fn dead(&self, credential: &Verified, now: OffsetDateTime) -> Option<Reason> {
        let leeway = Duration::seconds(LEEWAY);
        if now >= credential.expire_time + leeway || credential.issue_time > now + leeway {
            return Some(Reason::CredentialExpired);
        }
        // No issuer can have seen a revocation that does not exist.
        if credential.rev > self.revocation_log.seq() {
            return Some(Reason::CredentialInvalid);
        }
        self.revocations.kill(credential)
    }

    /// A version that this snapshot holds compiled.
    fn compiled(&self, version: PolicyVersion) -> Option<Arc<LoadedPolicy>> {
        self.policies().find(|policy| policy.version == version).cloned()
    }

    /// The versions that are in use or limit what is granted; one may occur more than once.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Arc<LoadedPolicy>> {
        let open = self.rollout.as_ref();
        let held = [self.active.as_ref(), open.map(|open| &open.baseline)].into_iter().flatten();
        let held = held.filter_map(|answerer| match answerer {
            DecisionSource::Policy(policy) => Some(policy),
            DecisionSource::Observe | DecisionSource::Deny => None,
        });
        let granting = match &self.granting {
            Granting::Policy(policy) => Some(policy),
            Granting::ServiceLimits | Granting::Nothing => None,
        };
        held.chain(open.map(|open| &open.candidate)).chain(granting)
    }

    /// Whether any call can be decided.
    pub(crate) const fn answers(&self) -> bool {
        self.active.is_some() || self.rollout.is_some()
    }
}

/// The policies that decide, compiled.
struct Answers {
    active: Option<DecisionSource>,
    rollout: Option<OpenRollout>,
    granting: Granting,
    unusable: Option<PolicyVersion>,
}

/// Creates snapshots.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(crate) policies: CompiledPolicies,
    trust_domain: Option<TrustDomain>,
}

/// What may be allowed, or the policies that must be compiled first.
pub(crate) enum Loaded<T> {
    Ready(T),
    Missing(Missing),
}

impl Loader {
    pub(crate) fn new(trust_domain: Option<TrustDomain>) -> Self {
        Self { policies: CompiledPolicies::default(), trust_domain }
    }

    /// Loads the state at `head`. `conn` is a transaction that holds the head, or that sees one state throughout.
    /// Nothing is compiled here; if that is needed, the versions are returned.
    pub(crate) async fn load(
        &self,
        conn: &mut Connection,
        head: &Head,
        before: Option<&Snapshot>,
        secrets: &Secrets,
        now: OffsetDateTime,
    ) -> Result<Loaded<Snapshot>, Error> {
        let (active, open) = (policy::active_baseline(conn).await?, rollout::open(conn).await?);
        let last = policy::last_active(conn).await?;
        let Answers { active, rollout, granting, unusable } = match self.answers(active, last, open, before) {
            Ok(answers) => answers,
            Err(missing) => return Ok(Loaded::Missing(missing)),
        };
        let kill_switches = Arc::new(KillSwitches::new(kill_switch::all(conn).await?));
        let policy_status = Arc::new(PolicyStatus::load(conn, kill_switches.clone()).await?);
        let kept = revocation::kept(conn, head.revocation_floor).await?;
        let revocation_log = RevocationLog::new(head.revocation_seq, head.revocation_floor, kept);
        let revocations = Revocations::new(&revocation_log)
            .map_err(|error| Error::internal("a revocation entry cannot be read", error))?;
        let keys = signing_key::known(conn, now - RETIRED_KEYS_KEPT).await?;
        let keys = KeyRing::new(keys, before.map(|snapshot| &snapshot.keys), secrets)?;
        let authorities = match &self.trust_domain {
            Some(domain) => {
                let stored = x509_authority::list(conn, domain.as_str()).await?;
                Authorities::open(stored, before.map(|snapshot| &snapshot.authorities), secrets)?
            }
            None => Authorities::default(),
        };
        Ok(Loaded::Ready(Snapshot {
            epoch: head.authority_epoch,
            active,
            rollout,
            granting,
            unusable,
            kill_switches,
            cache_extension: cache_extension::newest(conn).await?.filter(|newest| newest.stop_time.is_none()),
            policy_status,
            revocations,
            revocation_log: Arc::new(revocation_log),
            keys,
            disabled: disabled_operator::all(conn).await?.into_iter().collect(),
            authorities,
        }))
    }

    /// Replaces versions by their compiled policies. If one of them is not usable, no policy decides at all, because
    /// the rest would not be what the operators activated.
    fn answers(
        &self,
        active: Option<Baseline>,
        last: Option<PolicyVersion>,
        open: Option<Rollout>,
        before: Option<&Snapshot>,
    ) -> Result<Answers, Missing> {
        let of_rollout = open.iter().flat_map(|open| [open.baseline, Baseline::Version(open.candidate)]);
        let answering: HashSet<_> = active.into_iter().chain(of_rollout).filter_map(Baseline::version).collect();
        let (mut ready, mut missing, mut unusable) = (HashMap::new(), Vec::new(), None);
        for version in answering.iter().copied().chain(last.filter(|last| !answering.contains(last))) {
            let compiled = before.and_then(|before| before.compiled(version));
            match compiled.or_else(|| self.policies.ready(version)) {
                Some(policy) => drop(ready.insert(version, policy)),
                None if !self.policies.is_unusable(version) => missing.push(version),
                None if answering.contains(&version) => unusable = Some(version),
                // It is not used for decisions, and only what it would limit is refused.
                None => {}
            }
        }
        if !missing.is_empty() {
            return Err(Missing(missing));
        }
        if unusable.is_some() {
            return Ok(Answers { active: None, rollout: None, granting: Granting::Nothing, unusable });
        }
        let policy = |version: PolicyVersion| ready.get(&version).cloned();
        let answerer = |answer| match answer {
            Baseline::Version(version) => policy(version).map(DecisionSource::Policy),
            Baseline::Observe => Some(DecisionSource::Observe),
            Baseline::Deny => Some(DecisionSource::Deny),
        };
        let opened = |rollout: Rollout| {
            let (candidate, baseline) = (policy(rollout.candidate)?, answerer(rollout.baseline)?);
            Some(OpenRollout { rollout, candidate, baseline })
        };
        let rollout = open.and_then(opened);
        let granting = match (last, &rollout) {
            (Some(last), _) => policy(last).map_or(Granting::Nothing, Granting::Policy),
            // No policy was active before the rollout, so its candidate limits what is granted, only while it is open.
            (None, Some(open)) => Granting::Policy(open.candidate.clone()),
            (None, None) if active.is_some() => Granting::ServiceLimits,
            (None, None) => Granting::Nothing,
        };
        Ok(Answers { active: active.and_then(answerer), rollout, granting, unusable: None })
    }
}
