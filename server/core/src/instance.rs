//! Instances: one run of an agent, its parents, and its end. This file decides their states and transitions (revoke,
//! end, accept), who may accept an orphan, and how long an orphan waits for a sponsor before it is revoked.

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

/// How long a departed sponsor's orphans wait for another sponsor before they are revoked.
pub const ORPHANS_KEPT: Duration = Duration::days(14);

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

/// How an instance is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopInstance {
    /// An operator stops it.
    Revoke,
    /// It is finished.
    End,
}

impl From<StopInstance> for InstanceTransition {
    fn from(stop: StopInstance) -> Self {
        match stop {
            StopInstance::Revoke => Self::Revoke,
            StopInstance::End => Self::End,
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
mod tests;
