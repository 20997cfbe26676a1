//! Kill switches: they stop calls, whatever policy and rollout say. This file decides what one can stop (a tool, a
//! role, a kind of agent, a sponsor, or everything), which calls that covers, and how many may be engaged at a time.

use std::{collections::HashSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    credential::Verified,
    ids::KillSwitchId,
    names::{AgentName, InvalidCallName, InvalidName, OperatorId, RoleName, SponsorId, ToolId},
};

/// Limit of the switches that may be engaged at a time, because every server keeps all of them in memory.
pub const MAX_ENGAGED: usize = 1_000;

/// What kind of thing a switch stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KillSwitchScope {
    /// One tool.
    Tool,
    /// One role.
    Role,
    /// One kind of agent.
    Agent,
    /// One sponsor.
    Sponsor,
    /// Everything.
    All,
}

impl KillSwitchScope {
    /// Every scope.
    pub const ALL: &'static [Self] = &[Self::Tool, Self::Role, Self::Agent, Self::Sponsor, Self::All];

    /// The scope's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Role => "role",
            Self::Agent => "agent",
            Self::Sponsor => "sponsor",
            Self::All => "all",
        }
    }
}

impl FromStr for KillSwitchScope {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text).ok_or(())
    }
}

/// What a switch stops.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// Calls of this tool.
    Tool(ToolId),
    /// Calls of runs with this role, and of the children that they started with another role.
    Role(RoleName),
    /// Calls of this kind of agent, but not of children that it started under another name.
    Agent(AgentName),
    /// Calls of this sponsor's runs, in every chain.
    Sponsor(SponsorId),
    /// Every call.
    All,
}

/// The scope and the id do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// The scope is one thing, and the id is not a valid name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The scope is a tool, and the id is not a valid name of a tool.
    #[error(transparent)]
    Tool(#[from] InvalidCallName),
    /// The scope is everything, which has no id.
    #[error("must be empty where everything is stopped")]
    NotEmpty,
}

impl Target {
    /// The thing with this scope and id; for everything, the id must be empty.
    pub fn new(scope: KillSwitchScope, id: &str) -> Result<Self, InvalidTarget> {
        Ok(match scope {
            KillSwitchScope::Tool => Self::Tool(id.parse()?),
            KillSwitchScope::Role => Self::Role(id.parse()?),
            KillSwitchScope::Agent => Self::Agent(id.parse()?),
            KillSwitchScope::Sponsor => Self::Sponsor(id.parse()?),
            KillSwitchScope::All if id.is_empty() => Self::All,
            KillSwitchScope::All => return Err(InvalidTarget::NotEmpty),
        })
    }

    /// Its scope.
    #[must_use]
    pub const fn scope(&self) -> KillSwitchScope {
        match self {
            Self::Tool(_) => KillSwitchScope::Tool,
            Self::Role(_) => KillSwitchScope::Role,
            Self::Agent(_) => KillSwitchScope::Agent,
            Self::Sponsor(_) => KillSwitchScope::Sponsor,
            Self::All => KillSwitchScope::All,
        }
    }

    /// Its id. `None` for everything.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Tool(id) => Some(id.as_str()),
            Self::Role(id) => Some(id.as_str()),
            Self::Agent(id) => Some(id.as_str()),
            Self::Sponsor(id) => Some(id.as_str()),
            Self::All => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "{} {id}", self.scope().as_str()),
            None => f.write_str("everything"),
        }
    }
}

/// An engaged switch. Switches are independent: if two stop the same thing, it is stopped until both are released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitch {
    /// Its id.
    pub kill_switch_id: KillSwitchId,
    /// What it stops.
    pub target: Target,
    /// The reason, in words.
    pub reason: String,
    /// The operator who engaged it.
    pub engaged_by: OperatorId,
    /// When it was engaged.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub engage_time: OffsetDateTime,
}

/// The engaged switches, in a form for look-ups. A look-up costs the same however many switches there are, and nearly
/// nothing if there are none.
#[derive(Debug, Clone, Default)]
pub struct KillSwitches {
    engaged: Vec<KillSwitch>,
    tools: HashSet<ToolId>,
    roles: HashSet<RoleName>,
    agents: HashSet<AgentName>,
    sponsors: HashSet<SponsorId>,
    all: bool,
}

impl KillSwitches {
    /// Builds the look-up for these switches.
    #[must_use]
    pub fn new(engaged: Vec<KillSwitch>) -> Self {
        let mut this = Self::default();
        for switch in &engaged {
            match switch.target.clone() {
                Target::Tool(id) => drop(this.tools.insert(id)),
                Target::Role(id) => drop(this.roles.insert(id)),
                Target::Agent(id) => drop(this.agents.insert(id)),
                Target::Sponsor(id) => drop(this.sponsors.insert(id)),
                Target::All => this.all = true,
            }
        }
        Self { engaged, ..this }
    }

    /// The switches, in the order in which they were given.
    #[must_use]
    pub fn engaged(&self) -> &[KillSwitch] {
        &self.engaged
    }

    /// Whether every call of this tool is stopped, whoever makes it.
    #[must_use]
    pub fn stops_everybodys(&self, tool: &ToolId) -> bool {
        self.all || self.tools.contains(tool)
    }

    /// Whether a call of this tool by this run is stopped.
    #[must_use]
    pub fn stops(&self, tool: &ToolId, run: &Verified) -> bool {
        self.stops_everybodys(tool)
            || run.roles().any(|role| self.roles.contains(role))
            || self.agents.contains(&run.agent)
            || self.sponsors.contains(&run.sponsor_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_scope_with_its_id_and_everything_has_none() {
        for scope in KillSwitchScope::ALL.iter().copied() {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            let everything = scope == KillSwitchScope::All;
            let named = Target::new(scope, "billing");
            let bare = Target::new(scope, "");
            assert_eq!((named.is_err(), bare.is_err()), (everything, !everything), "{scope:?}");
            let target = named.or(bare).unwrap();
            assert_eq!(Target::new(target.scope(), target.id().unwrap_or_default()), Ok(target.clone()));
        }
        assert!(Target::new(KillSwitchScope::Tool, "Orders/Lookup:v2").is_ok());
        assert!(Target::new(KillSwitchScope::Tool, "Orders Lookup").is_err());
        assert!(Target::new(KillSwitchScope::Role, "Support").is_err());
    }
}
