//! The verdict of a gate: inconclusive with too few samples, fail above the threshold, inconclusive if only the figures
//! of the window are above it, otherwise pass.

use super::{
    gate::{Gate, Gates},
    gate_reading::{Reading, Recent, Verdict},
    seen::{Sample, Seen},
};

impl Gates {
    /// What the gates say of what was seen; a gate that is not set says nothing.
    #[must_use]
    pub fn read(&self, seen: &Seen) -> Vec<Reading> {
        Gate::ALL.into_iter().filter_map(|gate| Some(self.reading(gate, self.limit(gate)?, seen))).collect()
    }

    /// A breach is one by enough samples, old ones among them. A pass takes more: what the window alone shows must not be above
    /// the threshold either, however few samples that are. So good figures of hours ago do not hide a fresh fault.
    fn reading(&self, gate: Gate, limit: u64, seen: &Seen) -> Reading {
        let needed = self.min_decisions.into();
        let (recent, all) = (seen.recent.sample(gate), seen.figures.sample(gate));
        let above = |sample: Sample| sample.observed.is_some_and(|observed| observed > limit);
        let verdict = match all.observed {
            Some(_) if all.samples < needed => Verdict::Inconclusive,
            Some(_) if above(all) => Verdict::Fail,
            Some(_) if above(recent) => Verdict::Inconclusive,
            Some(_) => Verdict::Pass,
            None => Verdict::Inconclusive,
        };
        let (span_seconds, window_seconds) = (u64::from(seen.spans.of(gate)), u64::from(self.window_seconds));
        Reading {
            gate,
            verdict,
            observed: all.observed,
            limit,
            samples: all.samples,
            needed,
            span_seconds,
            recent: (span_seconds > window_seconds).then_some(Recent { sample: recent, window_seconds }),
        }
    }
}

#[cfg(test)]
mod tests;
