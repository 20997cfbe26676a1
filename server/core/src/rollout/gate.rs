//! Gates: thresholds that stop a rollout by itself. What they say is a pure function of thresholds and figures.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

/// Microseconds in a millisecond.
const MILLISECOND: u64 = 1_000;

/// When a rollout stops by itself. Rates are basis points (1 bp = 0.01 %).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gates {
    /// Most decisions without a sponsor.
    pub missing_sponsor_bp: u32,
    /// Most of the candidate's evaluations that ended in a policy error.
    pub policy_error_bp: u32,
    /// Longest p95 of a decision, milliseconds.
    pub latency_p95_ms: u32,
    /// Sliding window, seconds.
    pub window_seconds: u32,
    /// Fewest samples in the window for a verdict.
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

    /// What it counts, in words.
    const fn samples(self) -> &'static str {
        match self {
            Self::MissingSponsor | Self::LatencyP95 => "decisions",
            Self::PolicyError => "evaluations of the candidate",
            Self::IssuanceFailure => "issuances",
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

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Within its threshold.
    Pass,
    /// Beyond its threshold.
    Fail,
    /// Missing or too few figures: the rollout stays where it is.
    Inconclusive,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Inconclusive];

    /// The verdict's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verdict {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == text).ok_or(())
    }
}

/// What a rollout's gates are read from: sums over all servers, over the window, and over nothing from before the rollout's
/// last step or resumption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Decisions recorded.
    pub decisions: u64,
    /// Those without a sponsor.
    pub missing_sponsor: u64,
    /// The 95th percentile of their time, microseconds; none without decisions.
    pub latency_p95_us: Option<u64>,
    /// How often the candidate was evaluated, whether or not it answered.
    pub candidate_evaluations: u64,
    /// How often that ended in a policy error.
    pub candidate_errors: u64,
    /// Issuances and delegations asked for.
    pub issuances: u64,
    /// Those that failed by a fault of the servers.
    pub issuance_failures: u64,
    /// Calls that the candidate answered and refused, and that the baseline would allow. These count over the whole window,
    /// whatever steps it holds.
    pub held_back: u64,
}

/// A gate's verdict, and the figures that it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Which gate.
    pub gate: Gate,
    /// What it says.
    pub verdict: Verdict,
    /// What was seen: basis points; for [`Gate::LatencyP95`] microseconds. None where there were no figures.
    pub observed: Option<u64>,
    /// The threshold, in the same unit.
    pub limit: u64,
    /// How many samples the window held.
    pub samples: u64,
    /// How many a verdict takes.
    pub needed: u64,
}

impl Gates {
    /// All of it, basis points: the highest rate that a threshold may be.
    pub const MAX_BP: u32 = 10_000;
    /// The highest latency threshold, milliseconds: no decision takes longer than this.
    pub const MAX_LATENCY_MS: u32 = 60_000;
    /// How long the window may be, seconds.
    pub const WINDOW: RangeInclusive<u32> = 10..=3_600;

    /// What the gates say of these figures; a gate that is not set says nothing.
    #[must_use]
    pub fn read(&self, figures: &Figures) -> Vec<Reading> {
        let rate = |part, of| (of > 0).then(|| basis_points(part, of));
        let mut readings = vec![
            self.reading(
                Gate::MissingSponsor,
                rate(figures.missing_sponsor, figures.decisions),
                self.missing_sponsor_bp.into(),
                figures.decisions,
            ),
            self.reading(
                Gate::PolicyError,
                rate(figures.candidate_errors, figures.candidate_evaluations),
                self.policy_error_bp.into(),
                figures.candidate_evaluations,
            ),
            self.reading(
                Gate::LatencyP95,
                figures.latency_p95_us,
                u64::from(self.latency_p95_ms) * MILLISECOND,
                figures.decisions,
            ),
        ];
        if let Some(limit) = self.issuance_failure_bp {
            let observed = rate(figures.issuance_failures, figures.issuances);
            readings.push(self.reading(Gate::IssuanceFailure, observed, limit.into(), figures.issuances));
        }
        readings
    }

    fn reading(&self, gate: Gate, observed: Option<u64>, limit: u64, samples: u64) -> Reading {
        let needed = self.min_decisions.into();
        let verdict = match observed {
            Some(observed) if samples >= needed => {
                if observed > limit {
                    Verdict::Fail
                } else {
                    Verdict::Pass
                }
            }
            _ => Verdict::Inconclusive,
        };
        Reading { gate, verdict, observed, limit, samples, needed }
    }
}

/// A share in basis points, rounded up: it is above a threshold exactly where the true share is. 0 of nothing.
#[must_use]
pub fn basis_points(part: u64, of: u64) -> u64 {
    let share = (u128::from(part) * u128::from(Gates::MAX_BP)).div_ceil(u128::from(of.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX)
}

impl fmt::Display for Reading {
    /// The gate, its figures and its threshold, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate, verdict, observed, limit, samples, needed } = *self;
        let unit = |value: u64| {
            if gate == Gate::LatencyP95 {
                format!("{}.{} ms", value / MILLISECOND, value % MILLISECOND / 100)
            } else {
                format!("{}.{:02} %", value / 100, value % 100)
            }
        };
        let seen = observed.map_or_else(|| "nothing seen".to_owned(), |observed| format!("{} seen", unit(observed)));
        write!(f, "{gate} is {verdict}: {seen} over {samples} {}, {} allowed", gate.samples(), unit(limit))?;
        if verdict == Verdict::Inconclusive { write!(f, ", {needed} {} needed", gate.samples()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
