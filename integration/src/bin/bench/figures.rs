//! The measurements of one run, and their summary over many runs.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;

/// One run of one side.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Calls, rows or events per second.
    pub(crate) rate: f64,
    /// Median time of a call. `None` if only the rate is known.
    pub(crate) p50: Option<Duration>,
    /// Time within which 99 of 100 calls were answered.
    pub(crate) p99: Option<Duration>,
    /// The CPU time of the server's process per call, whatever else ran on the machine; without Postgres.
    pub(crate) cpu: Option<Duration>,
}

impl Run {
    /// A run of which only the rate is known.
    pub(crate) const fn of_rate(rate: f64) -> Self {
        Self { rate, p50: None, p99: None, cpu: None }
    }

    /// A run from its calls' times, nanoseconds.
    pub(crate) fn of_times(rate: f64, times: &Histogram<u64>) -> Self {
        let at = |quantile| Some(Duration::from_nanos(times.value_at_quantile(quantile)));
        Self { rate, p50: at(0.5), p99: at(0.99), cpu: None }
    }

    /// The median in microseconds; NaN if it is unknown.
    pub(crate) fn p50_us(&self) -> f64 {
        micros(self.p50)
    }

    /// The 99th percentile in microseconds; NaN if it is unknown.
    pub(crate) fn p99_us(&self) -> f64 {
        micros(self.p99)
    }

    /// The server's CPU time in microseconds; NaN if it is unknown.
    pub(crate) fn cpu_us(&self) -> f64 {
        micros(self.cpu)
    }
}

impl fmt::Display for Run {
    /// Shows the known figures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known =
            [("/s", self.rate), (" us p50", self.p50_us()), (" us p99", self.p99_us()), (" us CPU", self.cpu_us())];
        let known = known.into_iter().filter(|(_, figure)| !figure.is_nan());
        let texts: Vec<_> = known.map(|(unit, figure)| format!("{figure:.1}{unit}")).collect();
        f.write_str(&texts.join(", "))
    }
}

fn micros(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

/// The median of some rounds, and how far apart they were.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of one figure per round.
    pub(crate) fn over(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let (low, high) = (at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2));
        Self { median: f64::midpoint(low, high), min: at(0), max: at(sorted.len().saturating_sub(1)) }
    }
}

/// A histogram from a nanosecond to a minute, with three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are constant and in order")
}

/// A count as a figure to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_rounds_lies_between_the_middle_two() {
        assert_eq!(Spread::over([4.0, 1.0, 3.0, 2.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::over([7.0]), Spread { median: 7.0, min: 7.0, max: 7.0 });
        assert!(Spread::over([]).median.is_nan());
    }

    #[test]
    fn a_run_of_a_rate_has_no_times() {
        assert!(Run::of_rate(1.0).p50_us().is_nan());
        assert_eq!(Run::of_rate(1.0).to_string(), "1.0/s");
    }
}
