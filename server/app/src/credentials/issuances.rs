//! Statistics about issuance: requests that were granted, refused by a rule, or failed because of an error of ours, in
//! the last five minutes; and the failure ratio above which an operator is warned.

use std::{collections::VecDeque, sync::Mutex};

/// The window of the failure ratio, in seconds.
const WINDOW: i64 = 300;
/// The step by which the window moves, in seconds.
const STEP: i64 = 10;
/// The failure ratio above which an operator is warned; `deploy/alerts/countersign.yml` uses the same value.
pub(crate) const WORRYING: f64 = 0.005;

/// How one request for a credential ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuance {
    /// With a credential.
    Granted,
    /// By a rule: because of the request, its caller, the sponsor or the policy.
    Refused,
    /// By an error of ours: database, overload, deadline, no policy in use, a bug.
    Failed,
}

impl Issuance {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The requests in the window, and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Share {
    pub(crate) failed: u32,
    pub(crate) of: u32,
}

impl Share {
    /// 0 to 1; 0 if there were no requests.
    pub(crate) fn ratio(self) -> f64 {
        if self.of == 0 { 0.0 } else { f64::from(self.failed) / f64::from(self.of) }
    }
}

/// A sliding window of steps.
#[derive(Debug, Default)]
pub(crate) struct Issuances(Mutex<VecDeque<(i64, Share)>>);

impl Issuances {
    /// Counts one request at an instant, in seconds since the epoch.
    pub(crate) fn note(&self, issuance: Issuance, now: i64) {
        self.with_steps(now, |steps| {
            let step = now.div_euclid(STEP);
            if steps.back().is_none_or(|(last, _)| *last < step) {
                steps.push_back((step, Share::default()));
            }
            if let Some((_, share)) = steps.back_mut() {
                share.of += 1;
                share.failed += u32::from(issuance == Issuance::Failed);
            }
        });
    }

    /// The window that ends at an instant.
    pub(crate) fn share(&self, now: i64) -> Share {
        self.with_steps(now, |steps| {
            steps.iter().fold(Share::default(), |sum, (_, share)| Share {
                failed: sum.failed + share.failed,
                of: sum.of + share.of,
            })
        })
    }

    /// The steps of the window that ends at `now`.
    fn with_steps<T>(&self, now: i64, act: impl FnOnce(&mut VecDeque<(i64, Share)>) -> T) -> T {
        let mut steps = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = (now - WINDOW).div_euclid(STEP);
        while steps.front().is_some_and(|(step, _)| *step <= first) {
            steps.pop_front();
        }
        act(&mut steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_a_share_of_all_and_leave_the_window_after_five_minutes() {
        let issuances = Issuances::default();
        assert_eq!(issuances.share(0).ratio().to_bits(), 0.0_f64.to_bits());
        for now in 1_000..1_100 {
            issuances.note(Issuance::Granted, now);
            issuances.note(Issuance::Refused, now);
        }
        assert_eq!(issuances.share(1_100), Share { failed: 0, of: 200 });
        issuances.note(Issuance::Failed, 1_100);
        assert_eq!(issuances.share(1_100), Share { failed: 1, of: 201 });
        assert!(issuances.share(1_100).ratio() < WORRYING);
        issuances.note(Issuance::Failed, 1_101);
        assert!(issuances.share(1_101).ratio() > WORRYING);
        assert_eq!(issuances.share(1_390).failed, 2);
        assert_eq!(issuances.share(1_410), Share::default());
    }

    #[test]
    fn a_clock_that_jumps_neither_grows_the_window_nor_breaks_it() {
        let issuances = Issuances::default();
        for now in [5_000, 100, 5_000, 100_000, 1, i64::from(u32::MAX)] {
            issuances.note(Issuance::Failed, now);
        }
        assert!(issuances.0.lock().unwrap().len() <= 31);
        assert_eq!(issuances.share(i64::from(u32::MAX)), Share { failed: 1, of: 1 });
    }
}
