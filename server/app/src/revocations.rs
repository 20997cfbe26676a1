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

#[cfg(test)]
mod tests {
    use countersign_core::{
        clock::{SystemEntropy, uuid_v7},
        ids::InstanceId,
    };

    use super::*;
    use crate::testing::{NOW, credential};

    fn killed(entries: &[(i64, RevocationKind, &str)], credential: &Verified) -> Option<Reason> {
        let entry = |(seq, kind, id): &(i64, RevocationKind, &str)| Revocation {
            seq: *seq,
            kind: *kind,
            id: (*id).to_owned(),
            create_time: NOW,
        };
        Revocations::new(entries.iter().map(entry).collect()).unwrap().kill(credential)
    }

    #[test]
    fn an_entry_kills_what_it_matches_and_was_issued_before_it() {
        let parent = InstanceId(uuid_v7(NOW, &SystemEntropy));
        let run = credential(&[parent], &["billing"], false);
        let (own, jti, parent) = (run.agent_instance_id.to_string(), run.credential_id.to_string(), parent.to_string());
        for (kind, id, reason) in [
            (RevocationKind::Sponsor, "alice", Reason::SponsorNotActive),
            (RevocationKind::Instance, own.as_str(), Reason::InstanceNotLive),
            (RevocationKind::Instance, parent.as_str(), Reason::InstanceNotLive),
            (RevocationKind::Credential, jti.as_str(), Reason::CredentialRevoked),
            (RevocationKind::Key, run.kid.as_str(), Reason::CredentialRevoked),
            (RevocationKind::Tool, "billing", Reason::CredentialRevoked),
            (RevocationKind::All, "", Reason::CredentialRevoked),
        ] {
            assert_eq!(killed(&[(6, kind, id)], &run), Some(reason), "{kind:?} after it was issued");
            assert_eq!(killed(&[(5, kind, id)], &run), None, "{kind:?} that the issuer had seen");
        }
    }

    #[test]
    fn an_entry_about_another_subject_kills_nothing() {
        let run = credential(&[], &["billing"], false);
        let other = InstanceId(uuid_v7(NOW, &SystemEntropy)).to_string();
        let entries = [
            (6, RevocationKind::Sponsor, "bob"),
            (7, RevocationKind::Instance, other.as_str()),
            (8, RevocationKind::Tool, "search"),
        ];
        assert_eq!(killed(&entries, &run), None);
    }

    #[test]
    fn an_entry_that_cannot_be_read_leaves_no_list_at_all() {
        let entry = Revocation { seq: 1, kind: RevocationKind::Instance, id: "inst_?".to_owned(), create_time: NOW };
        assert!(Revocations::new(vec![entry]).is_none());
    }
}
