//! The figures that the gates of a rollout are read from: what each gate measures, and how far back it looks if its
//! window holds too few samples.

use super::gate::{Gate, basis_points};

/// How far back a gate looks where its window holds too few samples, seconds.
pub const LOOK_BACK_SECONDS: u32 = 24 * 3600;

/// Sums over all servers, over a span, and over nothing from before the rollout's last step or resumption.
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
    /// whatever steps it holds, and over no more than the window.
    pub held_back: u64,
}

/// Over how many seconds the samples of each kind were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spans {
    /// Decisions.
    pub decisions: u32,
    /// Evaluations of the candidate.
    pub candidate_evaluations: u32,
    /// Issuances.
    pub issuances: u32,
}

/// What is known when gates are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// What the window holds.
    pub recent: Figures,
    /// What verdicts rest on. Of each kind of sample that is the window, or where that holds too few, the shortest span that
    /// holds enough, or all of [`LOOK_BACK_SECONDS`].
    pub figures: Figures,
    /// The spans of `figures`.
    pub spans: Spans,
}

/// What one gate measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How many samples there were.
    pub samples: u64,
    /// What was seen: basis points; for [`Gate::LatencyP95`] microseconds. None where there were no figures.
    pub observed: Option<u64>,
}

impl Seen {
    /// That a window of so many seconds is all that was looked at.
    #[must_use]
    pub const fn window(figures: Figures, seconds: u32) -> Self {
        let spans = Spans { decisions: seconds, candidate_evaluations: seconds, issuances: seconds };
        Self { recent: figures, figures, spans }
    }
}

impl Figures {
    pub(super) fn sample(&self, gate: Gate) -> Sample {
        let rate = |part, of| Sample { samples: of, observed: (of > 0).then(|| basis_points(part, of)) };
        match gate {
            Gate::MissingSponsor => rate(self.missing_sponsor, self.decisions),
            Gate::PolicyError => rate(self.candidate_errors, self.candidate_evaluations),
            Gate::LatencyP95 => Sample { samples: self.decisions, observed: self.latency_p95_us },
            Gate::IssuanceFailure => rate(self.issuance_failures, self.issuances),
        }
    }
}

impl Spans {
    pub(super) const fn of(&self, gate: Gate) -> u32 {
        match gate {
            Gate::MissingSponsor | Gate::LatencyP95 => self.decisions,
            Gate::PolicyError => self.candidate_evaluations,
            Gate::IssuanceFailure => self.issuances,
        }
    }
}
