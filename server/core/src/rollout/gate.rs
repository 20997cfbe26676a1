//! Gates: thresholds that stop a rollout by itself (missing sponsor, policy errors, p95 latency, issuance failures).
//! This file has their defaults and permitted ranges, the window, the fewest samples, and whether a breach rolls back
//! or pauses.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

/// Microseconds in a millisecond.
pub(super) const MILLISECOND: u64 = 1_000;

/// When a rollout stops by itself. Rates are basis points (1 bp = 0.01 %).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gates {
    /// Most decisions without a sponsor.
    pub missing_sponsor_bp: u32,
    /// Most of the candidate's evaluations that ended in a policy error.
    pub policy_error_bp: u32,
    /// Longest p95 of a decision, milliseconds.
    pub latency_p95_ms: u32,
    /// Sliding window, seconds. Where it holds too few samples a gate looks further back.
    pub window_seconds: u32,
    /// Fewest samples for a verdict.
    pub min_decisions: u32,
    /// What a breach does.
    pub on_breach: OnBreach,
    /// Most issuances that failed; none: no gate.
    #[serde(default)]
    pub issuance_failure_bp: Option<u32>,
}

impl Default for Gates {
    /// The brief's thresholds.
    fn default() -> Self {
        Self {
            missing_sponsor_bp: 10,
            policy_error_bp: 100,
            latency_p95_ms: 300,
            window_seconds: 300,
            min_decisions: 100,
            on_breach: OnBreach::Rollback,
            issuance_failure_bp: None,
        }
    }
}

/// What a breached gate does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnBreach {
    /// Roll back at once.
    #[default]
    Rollback,
    /// Hold where it is, for rollouts that tighten.
    Pause,
}

/// A gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    /// Decisions without a sponsor, of all decisions.
    MissingSponsor,
    /// Policy errors, of the candidate's evaluations of calls in scope, those in shadow among them.
    PolicyError,
    /// The 95th percentile of a decision's time, from the request's arrival to its durable record.
    LatencyP95,
    /// Issuances that failed by a fault of the servers, of all that were asked for.
    IssuanceFailure,
}

impl Gate {
    /// Every gate, in the order in which they are read.
    pub const ALL: [Self; 4] = [Self::MissingSponsor, Self::PolicyError, Self::LatencyP95, Self::IssuanceFailure];

    /// The gate's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingSponsor => "MISSING_SPONSOR",
            Self::PolicyError => "POLICY_ERROR",
            Self::LatencyP95 => "LATENCY_P95",
            Self::IssuanceFailure => "ISSUANCE_FAILURE",
        }
    }

    /// The reason code of a breach in the custody log.
    #[must_use]
    pub const fn breach(self) -> &'static str {
        match self {
            Self::MissingSponsor => "GATE_MISSING_SPONSOR",
            Self::PolicyError => "GATE_POLICY_ERROR",
            Self::LatencyP95 => "GATE_LATENCY_P95",
            Self::IssuanceFailure => "GATE_ISSUANCE_FAILURE",
        }
    }

    /// What it counts, in words: one of it, and several.
    pub(super) const fn samples(self) -> [&'static str; 2] {
        match self {
            Self::MissingSponsor | Self::LatencyP95 => ["decision", "decisions"],
            Self::PolicyError => ["evaluation of the candidate", "evaluations of the candidate"],
            Self::IssuanceFailure => ["issuance", "issuances"],
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Gate {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == text).ok_or(())
    }
}

impl Gates {
    /// All of it, basis points: the highest rate that a threshold may be.
    pub const MAX_BP: u32 = 10_000;
    /// The highest latency threshold, milliseconds: no decision takes longer than this.
    pub const MAX_LATENCY_MS: u32 = 60_000;
    /// How long the window may be, seconds.
    pub const WINDOW: RangeInclusive<u32> = 10..=3_600;

    /// The most samples that a verdict may take for a gate to look further back than its window: that bounds what is read.
    pub const LOOKS_BACK_FOR: u32 = 10_000;

    /// The threshold of a gate, in the unit in which it measures; none where it is not set.
    pub(super) fn limit(&self, gate: Gate) -> Option<u64> {
        match gate {
            Gate::MissingSponsor => Some(self.missing_sponsor_bp.into()),
            Gate::PolicyError => Some(self.policy_error_bp.into()),
            Gate::LatencyP95 => Some(u64::from(self.latency_p95_ms) * MILLISECOND),
            Gate::IssuanceFailure => self.issuance_failure_bp.map(Into::into),
        }
    }
}

/// A share in basis points, rounded up: it is above a threshold exactly where the true share is. 0 of nothing.
#[must_use]
pub fn basis_points(part: u64, of: u64) -> u64 {
    let share = (u128::from(part) * u128::from(Gates::MAX_BP)).div_ceil(u128::from(of.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Verdict;

    #[test]
    fn thresholds_without_the_issuance_gate_are_read() {
        let stored = r#"{"missing_sponsor_bp":10,"policy_error_bp":100,"latency_p95_ms":300,"window_seconds":300,
        "min_decisions":100,"on_breach":"ROLLBACK"}"#;
        assert_eq!(serde_json::from_str::<Gates>(stored).unwrap(), Gates::default());
    }

    #[test]
    fn every_name_is_read_back() {
        for gate in Gate::ALL {
            assert_eq!(gate.as_str().parse(), Ok(gate));
            assert_eq!(gate.breach(), format!("GATE_{gate}"));
        }
        for verdict in Verdict::ALL {
            assert_eq!(verdict.as_str().parse(), Ok(verdict));
        }
    }
}
