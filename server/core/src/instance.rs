//! Instances: one run of an agent, its parents, and when it stops.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    ids::InstanceId,
    names::{AgentName, RoleName, SponsorId, ToolId},
};

/// Where an instance stands. Expiry is not a state: it follows from the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstanceState {
    /// Running, as far as the server knows.
    Live,
    /// Said to be finished.
    Ended,
    /// Stopped by an operator or with its sponsor.
    Revoked,
    /// Its sponsor departed; waits for another to accept it.
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

/// One run of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// This run.
    pub agent_instance_id: InstanceId,
    /// The run that started this one; none for a root.
    pub parent_agent_id: Option<InstanceId>,
    /// The root of the chain; itself for a root.
    pub root_instance_id: InstanceId,
    /// Every ancestor, root first, without itself.
    pub chain: Vec<InstanceId>,
    /// Who answers for it.
    pub sponsor_id: SponsorId,
    /// The kind of agent.
    pub agent: AgentName,
    /// What it acts as.
    pub role: RoleName,
    /// What it may call at most.
    pub tools: Vec<ToolId>,
    /// Why it runs. Empty after erasure.
    pub purpose: String,
    /// Steps below the root.
    pub depth: u32,
    /// Where it stands.
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
    /// The newest revocation that had been seen when its last credential was issued: what comes later can kill it.
    pub rev: i64,
    /// Leaf hash of the event that granted its last credential.
    pub custody_ref: [u8; 32],
}

impl Instance {
    /// Whether the instance may act at `now`, revocation entries aside.
    #[must_use]
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        self.state == InstanceState::Live && now < self.expire_time
    }
}
