//! Instances: one run of an agent, its parents, and its end.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{
    credential::LEEWAY,
    four_eyes::second_person,
    ids::{CredentialId, InstanceId},
    names::{AgentName, RoleName, SponsorId, ToolId},
    person::{Login, PersonRule},
    sponsor::Sponsor,
};

/// The state of an instance. Expiry is not a state: it follows from the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstanceState {
    /// Running, to the server's knowledge.
    Live,
    /// Reported as finished.
    Ended,
    /// Stopped by an operator, or with its sponsor.
    Revoked,
    /// Its sponsor departed; it waits for another one to accept it.
    Orphaned,
}

impl InstanceState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Live, Self::Ended, Self::Revoked, Self::Orphaned];

    /// The state's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Ended => "ENDED",
            Self::Revoked => "REVOKED",
            Self::Orphaned => "ORPHANED",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for InstanceState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// What an operator may do to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceTransition {
    /// Stop it, and everything it started.
    Revoke,
    /// Report that it is finished; what it started stops too.
    End,
    /// Give an orphan another sponsor.
    Accept,
}

impl InstanceTransition {
    /// Every transition.
    pub const ALL: [Self; 3] = [Self::Revoke, Self::End, Self::Accept];

    /// The verb, for messages.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Revoke => "revoked",
            Self::End => "ended",
            Self::Accept => "accepted",
        }
    }

    /// The state after this transition.
    pub const fn apply(self, from: InstanceState) -> Result<InstanceState, InstanceRule> {
        use InstanceState::{Ended, Live, Orphaned, Revoked};
        match (self, from) {
            (Self::Revoke, Live | Orphaned) => Ok(Revoked),
            (Self::End, Live) => Ok(Ended),
            (Self::Accept, Orphaned) => Ok(Live),
            _ => Err(InstanceRule::IllegalTransition { verb: self.verb(), from: from.as_str() }),
        }
    }
}

/// A rule about instances that a request violates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceRule {
    /// The state of the instance does not permit it.
    #[error("an instance that is {from} cannot be {verb}")]
    IllegalTransition {
        /// The requested transition.
        verb: &'static str,
        /// The state; EXPIRED if its last credential has expired.
        from: &'static str,
    },
    /// The instance is a child, which cannot be accepted alone.
    #[error("only a root instance can be accepted: accept its root {root}, which then delegates anew")]
    NotARoot {
        /// The root of its chain.
        root: InstanceId,
    },
    /// The person already has a part in the transfer.
    #[error("{who} cannot accept the instance: another person with the role approver must")]
    SamePerson {
        /// Which part.
        who: &'static str,
    },
    /// A person would accept orphans whose departure they recorded, or may have recorded.
    #[error("{0}")]
    Person(#[from] PersonRule),
}

/// One run of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// This run.
    pub agent_instance_id: InstanceId,
    /// The run that started this one. `None` for a root.
    pub parent_agent_id: Option<InstanceId>,
    /// The root of the chain; itself for a root.
    pub root_instance_id: InstanceId,
    /// Every ancestor, root first, without the instance itself.
    pub chain: Vec<InstanceId>,
    /// The sponsor.
    pub sponsor_id: SponsorId,
    /// The kind of agent.
    pub agent: AgentName,
    /// The role.
    pub role: RoleName,
    /// The inherited roles, those of its ancestors, the root's first.
    #[serde(default)]
    pub inherited_roles: Vec<RoleName>,
    /// The tools that it may call at most.
    pub tools: Vec<ToolId>,
    /// The purpose. Empty after erasure.
    pub purpose: String,
    /// Distance from the root.
    pub depth: u32,
    /// Its state.
    pub state: InstanceState,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// When it started.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub create_time: OffsetDateTime,
    /// When its last credential expires.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub expire_time: OffsetDateTime,
    /// When it stopped.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub end_time: Option<OffsetDateTime>,
    /// The newest revocation that had been seen when its last credential was issued: only later entries can revoke it.
    pub rev: i64,
    /// Leaf hash of the event that granted its last credential.
    pub custody_ref: [u8; 32],
    /// The number of changes of its row.
    pub revision: i64,
    /// The end user for whom its chain acts, who is not the sponsor.
    #[serde(default)]
    pub on_behalf_of: Option<String>,
    /// For a child, the credential of its parent with which it was started: revoking that credential stops the child
    /// too.
    #[serde(default)]
    pub parent_credential_id: Option<CredentialId>,
    /// The kind of agent of the chain's root. `None` if it equals `agent`.
    #[serde(default)]
    pub root_agent: Option<AgentName>,
}

impl Instance {
    /// The etag of this instance: of its row, and of the state that revocation entries have put it in since.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("{}-{}", self.revision, self.state)
    }

    /// Checks `transition` at `now` and returns the state after it. A run also ends when its credential expires, but
    /// until the verifiers' leeway has passed it can still be stopped.
    pub fn check(&self, transition: InstanceTransition, now: OffsetDateTime) -> Result<InstanceState, InstanceRule> {
        let after = transition.apply(self.state)?;
        if self.state == InstanceState::Live && now >= self.expire_time + Duration::seconds(LEEWAY) {
            return Err(InstanceRule::IllegalTransition { verb: transition.verb(), from: "EXPIRED" });
        }
        Ok(after)
    }

    /// Refuses to accept an instance that is not a root.
    pub fn check_root(&self) -> Result<(), InstanceRule> {
        if self.parent_agent_id.is_some() {
            return Err(InstanceRule::NotARoot { root: self.root_instance_id });
        }
        Ok(())
    }

    /// Checks who may move this orphan from the sponsor `from` to the sponsor `to`: a person who is neither of the two,
    /// and did not record the departure.
    pub fn check_acceptance(
        &self,
        actor: &Login,
        [from, to]: [&Sponsor; 2],
        recorded_by: Option<&Login>,
    ) -> Result<(), InstanceRule> {
        let same = |who| Err(InstanceRule::SamePerson { who });
        if to.is_person(actor)? {
            return same("the sponsor who would take over");
        }
        if from.is_person(actor)? {
            return same("the sponsor who departed");
        }
        match second_person(actor, recorded_by.map(std::slice::from_ref).unwrap_or_default()) {
            Err(PersonRule::SamePerson { .. }) => same("the person who recorded the departure"),
            other => Ok(other?),
        }
    }

    /// Whether the instance may act at `now`, without regard to revocation entries.
    #[must_use]
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        self.state == InstanceState::Live && now < self.expire_time
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::sponsor::{
        SponsorState,
        tests::{login, sponsor},
    };

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn instance(state: InstanceState, parent: Option<InstanceId>) -> Instance {
        let id = InstanceId(Uuid::from_bytes([1; 16]));
        Instance {
            agent_instance_id: id,
            parent_agent_id: parent,
            root_instance_id: parent.unwrap_or(id),
            chain: parent.into_iter().collect(),
            sponsor_id: "alice".parse().unwrap(),
            agent: "support-assistant".parse().unwrap(),
            role: "support".parse().unwrap(),
            inherited_roles: Vec::new(),
            tools: Vec::new(),
            purpose: "triage".to_owned(),
            depth: 0,
            state,
            labels: BTreeMap::new(),
            create_time: NOW,
            expire_time: NOW + Duration::MINUTE,
            end_time: None,
            rev: 0,
            custody_ref: [0; 32],
            revision: 3,
            on_behalf_of: None,
            parent_credential_id: None,
            root_agent: None,
        }
    }

    #[test]
    fn only_what_lives_or_waits_can_be_stopped_and_only_what_waits_accepted() {
        use InstanceState::{Ended, Live, Orphaned, Revoked};
        use InstanceTransition::{Accept, End, Revoke};
        let legal =
            [(Revoke, Live, Revoked), (Revoke, Orphaned, Revoked), (End, Live, Ended), (Accept, Orphaned, Live)];
        for transition in InstanceTransition::ALL {
            for from in InstanceState::ALL {
                let wanted = legal.iter().find(|(t, f, _)| *t == transition && *f == from).map(|(_, _, to)| *to);
                assert_eq!(instance(from, None).check(transition, NOW).ok(), wanted, "{transition:?} of {from}");
            }
        }
    }

    #[test]
    fn what_expired_is_past_stopping_once_no_verifier_takes_it() {
        let end = NOW + Duration::MINUTE + Duration::seconds(LEEWAY);
        let check = |state, at| instance(state, None).check(InstanceTransition::Revoke, at);
        assert_eq!(check(InstanceState::Live, end - Duration::SECOND), Ok(InstanceState::Revoked));
        assert!(check(InstanceState::Live, end).unwrap_err().to_string().contains("EXPIRED"));
        assert_eq!(check(InstanceState::Orphaned, end), Ok(InstanceState::Revoked));
    }

    #[test]
    fn an_orphan_is_accepted_by_somebody_who_has_no_part_in_it() {
        let orphan = instance(InstanceState::Orphaned, None);
        let (from, to) = (sponsor(SponsorState::Departed), sponsor(SponsorState::Active));
        let to = Sponsor { sponsor_id: "bob".parse().unwrap(), person_id: Some("robert".parse().unwrap()), ..to };
        let rita = login("rita", "rita");
        let check = |who, person| orphan.check_acceptance(&login(who, person), [&from, &to], Some(&rita));
        for (who, person) in [("alice", "alice"), ("bob", "bob"), ("r", "robert")] {
            assert!(matches!(check(who, person), Err(InstanceRule::SamePerson { .. })), "{who}");
        }
        assert!(check("oscar", "rita").unwrap_err().to_string().contains("recorded the departure"));
        assert_eq!(check("oscar", "oscar"), Ok(()));
        assert_eq!(orphan.check_root(), Ok(()));
        let root = InstanceId(Uuid::from_bytes([2; 16]));
        let child = instance(InstanceState::Orphaned, Some(root));
        assert_eq!(child.check_root(), Err(InstanceRule::NotARoot { root }));
    }

    #[test]
    fn the_etag_changes_with_the_row_and_with_what_entries_did_to_it() {
        let etags = [
            instance(InstanceState::Live, None).etag(),
            instance(InstanceState::Revoked, None).etag(),
            Instance { revision: 4, ..instance(InstanceState::Live, None) }.etag(),
        ];
        assert_eq!(etags, ["3-LIVE", "3-REVOKED", "4-LIVE"]);
    }
}
