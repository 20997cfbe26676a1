//! Rollouts: moving callers from a baseline to a candidate policy, by percentage. This file has the states, the
//! baseline (a version, observe, deny), the sticky key, the scope (which calls), the default steps and the default
//! minimum soak.

pub mod bucket;
mod change;
mod comparison;
mod enrolment;
mod gate;
mod gate_reading;
mod gate_verdict;
mod percent;
mod seen;

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{
    ids::{PolicyVersion, RolloutId},
    names::OperatorId,
};

pub use change::{INCREMENT_EVERY, RolloutRule};
pub use comparison::{Comparison, MAX_RULES, RuleComparison};
pub use enrolment::Enrolment;
pub use gate::{Gate, Gates, OnBreach, basis_points};
pub use gate_reading::{IN_VAIN, KeptReading, Reading, Recent, Verdict};
pub use percent::{NotAPercentage, Percent};
pub use seen::{Figures, LOOK_BACK_SECONDS, Sample, Seen, Spans};

/// The shipped path: percentages, each after a person's word.
pub const DEFAULT_STEPS: [Percent; 4] = [Percent::of::<10>(), Percent::of::<30>(), Percent::of::<60>(), Percent::ALL];
/// Shortest stay on a step before it may be advanced without force, by default.
pub const DEFAULT_MIN_SOAK: Duration = Duration::hours(24);

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RolloutState {
    /// Serving its percentage.
    Running,
    /// Serving its percentage; nothing advances it.
    Paused,
    /// At 100 %: the candidate is the active policy. Terminal.
    Completed,
    /// Undone: the baseline answers for everyone. Terminal.
    RolledBack,
}

impl RolloutState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Completed, Self::RolledBack];

    /// The state's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Completed => "COMPLETED",
            Self::RolledBack => "ROLLED_BACK",
        }
    }

    /// Whether the rollout still decides anything.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

impl fmt::Display for RolloutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RolloutState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// What answers for callers outside the percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Baseline {
    /// A stored policy version.
    Version(PolicyVersion),
    /// Nothing is enforced: calls that already flow are let through, recorded and marked shadow.
    Observe,
    /// Everything is denied.
    Deny,
}

impl Baseline {
    /// The version that answers; none where no policy does.
    #[must_use]
    pub const fn version(self) -> Option<PolicyVersion> {
        match self {
            Self::Version(version) => Some(version),
            Self::Observe | Self::Deny => None,
        }
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Observe => f.write_str("observe"),
            Self::Deny => f.write_str("deny"),
        }
    }
}

/// The text names no baseline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a policy version such as pv_3, or observe, or deny")]
pub struct InvalidBaseline;

impl FromStr for Baseline {
    type Err = InvalidBaseline;
    fn from_str(text: &str) -> Result<Self, InvalidBaseline> {
        match text {
            "observe" => Ok(Self::Observe),
            "deny" => Ok(Self::Deny),
            version => version.parse().map(Self::Version).map_err(|_| InvalidBaseline),
        }
    }
}

impl TryFrom<String> for Baseline {
    type Error = InvalidBaseline;
    fn try_from(text: String) -> Result<Self, InvalidBaseline> {
        text.parse()
    }
}

impl From<Baseline> for String {
    fn from(baseline: Baseline) -> Self {
        baseline.to_string()
    }
}

/// Which id decides a caller's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StickyKey {
    /// The root instance: a whole chain is on one side.
    #[default]
    RootInstance,
    /// The sponsor.
    Sponsor,
    /// The kind of agent of the root: a whole chain is on one side.
    Agent,
}

impl StickyKey {
    /// Every key.
    pub const ALL: [Self; 3] = [Self::RootInstance, Self::Sponsor, Self::Agent];

    /// The key's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RootInstance => "ROOT_INSTANCE",
            Self::Sponsor => "SPONSOR",
            Self::Agent => "AGENT",
        }
    }
}

impl FromStr for StickyKey {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|key| key.as_str() == text).ok_or(())
    }
}

/// Whom a rollout concerns. An empty list is no restriction; what is outside the scope keeps its baseline.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scope {
    /// Tools.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Sponsors.
    #[serde(default)]
    pub sponsors: Vec<String>,
    /// Labels of the instance, each with this value.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Scope {
    /// Whether a call is in the scope.
    #[must_use]
    pub fn holds(&self, tool: &str, role: &str, sponsor: &str, labels: &BTreeMap<String, String>) -> bool {
        let named = |list: &[String], name: &str| list.is_empty() || list.iter().any(|entry| entry == name);
        named(&self.tools, tool)
            && named(&self.roles, role)
            && named(&self.sponsors, sponsor)
            && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// One rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its id.
    pub rollout_id: RolloutId,
    /// What answers outside the percentage.
    pub baseline: Baseline,
    /// What answers inside.
    pub candidate: PolicyVersion,
    /// How many callers are inside.
    pub percent: Percent,
    /// Which id decides a caller's side.
    pub sticky_key: StickyKey,
    /// Where it stands.
    pub state: RolloutState,
    /// The percentages it goes through, rising.
    pub steps: Vec<Percent>,
    /// Percentage points a day that automation may add; none: only a person advances.
    pub increment_per_day: Option<Percent>,
    /// When it stops by itself.
    pub gates: Gates,
    /// Shortest stay on a step, seconds.
    pub min_soak_seconds: u64,
    /// Whom it concerns.
    pub scope: Scope,
    /// Secret of the bucketing, kept through all steps.
    pub salt: [u8; 32],
    /// When started, by the database's clock, like the other instants of a rollout: they are compared with each other on
    /// every server.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub create_time: OffsetDateTime,
    /// When the percentage last changed.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub advance_time: OffsetDateTime,
    /// Since when figures count for its gates: its start, its last step, or its last resumption.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub gates_since: OffsetDateTime,
    /// The percentage that a person last gave it; automation goes on from there, up to the next step.
    pub person_percent: Percent,
    /// Why it was rolled back.
    pub rollback_reason: Option<String>,
    /// Counts changes; the etag is its text.
    pub revision: i64,
    /// Who started it; none where a policy document at start did.
    pub created_by: Option<OperatorId>,
    /// When it completed or was rolled back.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub end_time: Option<OffsetDateTime>,
}
