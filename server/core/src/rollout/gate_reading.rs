//! The reading of a gate: its verdict (PASS, FAIL, INCONCLUSIVE), the figures behind it, how many samples are missing,
//! whether waiting is in vain, and the message for people.

use std::{fmt, str::FromStr};

use time::OffsetDateTime;

use super::{
    gate::{Gate, Gates, MILLISECOND},
    seen::{LOOK_BACK_SECONDS, Sample},
};

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Within its threshold.
    Pass,
    /// Beyond its threshold.
    Fail,
    /// Missing or too few figures, or fresh ones that are too few for a verdict and beyond the threshold: the rollout stays where
    /// it is.
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
    /// How many samples the span held.
    pub samples: u64,
    /// How many a verdict takes.
    pub needed: u64,
    /// How long the span is, seconds; 0: not known.
    pub span_seconds: u64,
    /// What the window alone holds, where the span is longer.
    pub recent: Option<Recent>,
}

/// What the window alone holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent {
    /// What was seen.
    pub sample: Sample,
    /// How long the window is, seconds.
    pub window_seconds: u64,
}

impl Reading {
    /// How many samples are missing for a verdict.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.needed.saturating_sub(self.samples)
    }

    /// Whether a whole day held too few samples, so that only more calls lead to a verdict.
    #[must_use]
    pub const fn waits_in_vain(&self) -> bool {
        self.missing() > 0 && self.span_seconds >= LOOK_BACK_SECONDS as u64
    }

    /// Whether only what the window alone shows keeps it from passing.
    fn held_by_recent(&self) -> Option<Recent> {
        self.recent.filter(|_| self.verdict == Verdict::Inconclusive && self.missing() == 0 && self.observed.is_some())
    }

    fn unit(&self, value: u64) -> String {
        if self.gate == Gate::LatencyP95 {
            format!("{}.{} ms", value / MILLISECOND, value % MILLISECOND / 100)
        } else {
            format!("{}.{:02} %", value / 100, value % 100)
        }
    }

    fn seen(&self, observed: Option<u64>) -> String {
        observed.map_or_else(|| "nothing seen".to_owned(), |observed| format!("{} seen", self.unit(observed)))
    }

    fn counted(&self, samples: u64) -> String {
        let [one, several] = self.gate.samples();
        format!("{samples} {}", if samples == 1 { one } else { several })
    }

    /// `in the last 2 hours 5 minutes`, after what was counted.
    fn span(&self) -> String {
        if self.span_seconds == 0 { String::new() } else { format!(" in the last {}", length(self.span_seconds)) }
    }

    /// The gate, its figures and its threshold, for people, as short as several of them are told together.
    #[must_use]
    pub fn brief(&self) -> String {
        let Self { gate, verdict, samples, needed, .. } = *self;
        let (seen, allowed) = (self.seen(self.observed), self.unit(self.limit));
        let missing = self.missing();
        if missing > 0 {
            let [one, several] = gate.samples();
            let what = if missing == 1 { one } else { several };
            return format!(
                "{gate} is {verdict}: needs {missing} more {what}: {samples}{}; {needed} {several} needed, {seen}, {allowed} allowed",
                self.span()
            );
        }
        let counted = self.counted(samples);
        let said = format!("{gate} is {verdict}: {seen} over {counted}{}, {allowed} allowed", self.span());
        let Some(recent) = self.held_by_recent() else { return said };
        let window = length(recent.window_seconds);
        let (seen, counted) = (self.seen(recent.sample.observed), self.counted(recent.sample.samples));
        format!("{said}; but {seen} over {counted} in the last {window}, and it passes only once that is over")
    }

    /// Whether the span is what there was since the rollout changed, and no whole day.
    fn is_young(&self) -> bool {
        let looks_back = self.needed <= Gates::LOOKS_BACK_FOR.into();
        self.missing() > 0 && looks_back && (1..LOOK_BACK_SECONDS.into()).contains(&self.span_seconds)
    }
}

/// What helps where waiting does not.
pub const IN_VAIN: &str = "Waiting will not help where 24 hours held too few, unless there are more calls: look at the figures and \
                           force the step with a reason, or start a rollout with a lower gates.min_decisions";

impl fmt::Display for Reading {
    /// All of it, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.brief())?;
        if self.is_young() {
            f.write_str(". These are counted since the rollout started, last grew or was resumed")?;
        }
        if self.waits_in_vain() { write!(f, ". {IN_VAIN}") } else { Ok(()) }
    }
}

/// A length of time in its two largest units, none of them left out in between.
fn length(seconds: u64) -> String {
    let unit = |n: u64, one: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {one}s")),
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = if hours > 0 {
        [unit(hours, "hour"), unit(minutes, "minute")]
    } else {
        [unit(minutes, "minute"), unit(seconds, "second")]
    };
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What a gate last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReading {
    /// What it said.
    pub reading: Reading,
    /// When, by the database's clock.
    pub evaluate_time: OffsetDateTime,
}

#[cfg(test)]
mod tests;
