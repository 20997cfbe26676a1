//! The revocation entries that can still matter, and what they kill.

use std::collections::HashMap;

use countersign_core::{
    credential::Verified,
    decision::Reason,
    ids::{CredentialId, InstanceId},
};
use countersign_store::revocation::{Revocation, RevocationKind};

/// The newest entry of each subject. Entries older than the longest credential are left out: what they kill has expired.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    sponsors: HashMap<String, i64>,
    instances: HashMap<InstanceId, i64>,
    credentials: HashMap<CredentialId, i64>,
    keys: HashMap<String, i64>,
    tools: HashMap<String, i64>,
    all: Option<i64>,
}

impl Revocations {
    /// From entries, oldest first. None where an entry names no subject of its kind: then nothing may be allowed.
    pub(crate) fn new(entries: Vec<Revocation>) -> Option<Self> {
        let mut this = Self::default();
        for Revocation { seq, kind, id, .. } in entries {
            match kind {
                RevocationKind::Sponsor => drop(this.sponsors.insert(id, seq)),
                RevocationKind::Instance => drop(this.instances.insert(id.parse().ok()?, seq)),
                RevocationKind::Credential => drop(this.credentials.insert(id.parse().ok()?, seq)),
                RevocationKind::Key => drop(this.keys.insert(id, seq)),
                RevocationKind::Tool => drop(this.tools.insert(id, seq)),
                RevocationKind::All => this.all = Some(seq),
            }
        }
        Some(this)
    }

    /// Why this credential is dead; none: no entry that matches it is newer than it.
    pub(crate) fn kill(&self, credential: &Verified) -> Option<Reason> {
        let newer = |seq: Option<&i64>| seq.is_some_and(|seq| *seq > credential.rev);
        if newer(self.sponsors.get(credential.sponsor_id.as_str())) {
            return Some(Reason::SponsorNotActive);
        }
        if credential.chain.iter().any(|instance| newer(self.instances.get(instance))) {
            return Some(Reason::InstanceNotLive);
        }
        let revoked = newer(self.credentials.get(&credential.credential_id))
            || newer(self.keys.get(&credential.kid))
            || newer(self.all.as_ref())
            || (!self.tools.is_empty() && credential.tools.iter().any(|tool| newer(self.tools.get(tool.as_str()))));
        revoked.then_some(Reason::CredentialRevoked)
    }
}
