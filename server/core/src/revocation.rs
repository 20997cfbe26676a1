//! Revocation: append-only entries (sponsor, instance, credential, key, tool, all), which credentials they revoke, how
//! long an entry is kept, and the floor below which a credential counts as expired. Server and verifiers share this
//! rule.
//!
//! Entries are numbered without gaps, in the order in which they take effect. A credential contains the newest number
//! that its issuer had seen (`rev`); a later entry that matches revokes it. So one entry ends everything below what it
//! names, and does not affect what is issued later. For a compromised key the number does not count, because a thief of
//! the key writes the claims.

mod log;

use std::collections::HashMap;

use time::{Duration, OffsetDateTime};

use crate::{
    credential::Verified,
    decision::Reason,
    grant::HARD_MAX_TTL,
    ids::{CredentialId, InstanceId},
};

pub use log::{RevocationLog, Update};

/// How long an entry can matter: the longest credential, the leeway, and the difference of clocks. After that,
/// everything that it revokes has expired, so the floor can be raised to it without an effect on any credential.
pub const ENTRIES_KEPT: Duration = Duration::seconds(HARD_MAX_TTL as i64 + 120);

/// What an entry revokes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationKind {
    /// Every credential of a sponsor.
    Sponsor,
    /// Every credential of an instance and of what it started.
    Instance,
    /// One credential.
    Credential,
    /// Every credential that a key signed.
    Key,
    /// Every credential that names a tool.
    Tool,
    /// Every credential.
    All,
}

impl RevocationKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Sponsor, Self::Instance, Self::Credential, Self::Key, Self::Tool, Self::All];

    /// The kind's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sponsor => "sponsor",
            Self::Instance => "instance",
            Self::Credential => "credential",
            Self::Key => "key",
            Self::Tool => "tool",
            Self::All => "all",
        }
    }
}

impl std::str::FromStr for RevocationKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// One revocation entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its number.
    pub seq: i64,
    /// The kind of what it revokes.
    pub kind: RevocationKind,
    /// Its id; empty for all.
    pub id: String,
    /// When it was made.
    pub create_time: OffsetDateTime,
}

impl Revocation {
    /// Whether it names a value of the credential. Whether it revokes the credential is another question: see
    /// [`Revocations::kill`].
    #[must_use]
    pub fn concerns(&self, credential: &Verified) -> bool {
        match self.kind {
            RevocationKind::Sponsor => self.id == credential.sponsor_id.as_str(),
            RevocationKind::Instance => self.id.parse().is_ok_and(|id: InstanceId| credential.chain.contains(&id)),
            RevocationKind::Credential => self.id.parse() == Ok(credential.credential_id),
            RevocationKind::Key => self.id == credential.kid,
            RevocationKind::Tool => credential.tools.iter().any(|tool| self.id == tool.as_str()),
            RevocationKind::All => true,
        }
    }
}

/// The entry does not name a valid subject of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("revocation {0} names no subject of its kind")]
pub struct UnreadableEntry(pub i64);

/// The newest entry for each subject, and the floor.
#[derive(Debug, Clone, Default)]
pub struct Revocations {
    /// Entries up to this number need not be known: a credential below it counts as expired.
    floor: i64,
    sponsors: HashMap<String, Newest>,
    instances: HashMap<InstanceId, Newest>,
    credentials: HashMap<CredentialId, Newest>,
    keys: HashMap<String, Newest>,
    tools: HashMap<String, Newest>,
    all: Option<Newest>,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    seq: i64,
    create_time: OffsetDateTime,
}

impl Revocations {
    /// From the kept entries and their floor. If one cannot be read, nothing may be allowed.
    pub fn new(log: &RevocationLog) -> Result<Self, UnreadableEntry> {
        let mut this = Self { floor: log.floor(), ..Self::default() };
        log.kept().try_for_each(|entry| this.enter(entry))?;
        Ok(this)
    }

    /// Adds an entry that is newer than all known ones.
    pub fn enter(&mut self, entry: &Revocation) -> Result<(), UnreadableEntry> {
        let Revocation { seq, kind, ref id, create_time } = *entry;
        let newest = Newest { seq, create_time };
        let unreadable = |_| UnreadableEntry(seq);
        let _older = match kind {
            RevocationKind::Sponsor => self.sponsors.insert(id.clone(), newest),
            RevocationKind::Instance => self.instances.insert(id.parse().map_err(unreadable)?, newest),
            RevocationKind::Credential => self.credentials.insert(id.parse().map_err(unreadable)?, newest),
            RevocationKind::Key => self.keys.insert(id.clone(), newest),
            RevocationKind::Tool => self.tools.insert(id.clone(), newest),
            RevocationKind::All => self.all.replace(newest),
        };
        Ok(())
    }

    /// Raises the floor and drops the entries up to it, because everything that they could revoke counts as expired
    /// from now on. Entries of keys are kept: a thief of a key can sign a new token at any time, with any `rev`.
    pub fn raise_floor(&mut self, floor: i64) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        let kept = |newest: &Newest| newest.seq > floor;
        self.sponsors.retain(|_, newest| kept(newest));
        self.instances.retain(|_, newest| kept(newest));
        self.credentials.retain(|_, newest| kept(newest));
        self.tools.retain(|_, newest| kept(newest));
        self.all = self.all.filter(kept);
    }

    /// Raises the floor to the newest entry that was made before `time`, for a follower of a list that states no floor
    /// for longer than entries matter ([`ENTRIES_KEPT`]).
    pub fn forget(&mut self, time: OffsetDateTime) {
        let sponsors = self.sponsors.values().chain(self.instances.values());
        let others = self.credentials.values().chain(self.tools.values()).chain(&self.all);
        let old = sponsors.chain(others).filter(|newest| newest.create_time < time).map(|newest| newest.seq).max();
        self.raise_floor(old.unwrap_or(0));
    }

    /// Whether an entry names this key.
    #[must_use]
    pub fn names_key(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// Why this credential is revoked. `None` if no later entry matches it.
    #[must_use]
    pub fn kill(&self, credential: &Verified) -> Option<Reason> {
        if credential.rev < self.floor {
            return Some(Reason::CredentialExpired);
        }
        let newer = |newest: Option<&Newest>| newest.is_some_and(|newest| newest.seq > credential.rev);
        if newer(self.sponsors.get(credential.sponsor_id.as_str())) {
            return Some(Reason::SponsorNotActive);
        }
        if credential.chain.iter().any(|instance| newer(self.instances.get(instance))) {
            return Some(Reason::InstanceNotLive);
        }
        let revoked = newer(self.credentials.get(&credential.credential_id))
            // A thief of a compromised key can write any `rev`.
            || self.keys.contains_key(&credential.kid)
            || newer(self.all.as_ref())
            || (!self.tools.is_empty() && credential.tools.iter().any(|tool| newer(self.tools.get(tool.as_str()))));
        revoked.then_some(Reason::CredentialRevoked)
    }
}

#[cfg(test)]
mod tests;
