//! Past sizes of the log by this machine's monotonic clock, for a limited time. They limit the age of an event,
//! whatever any wall clock says and whichever server recorded it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Marks closer than this are merged.
const SPACING: Duration = Duration::from_millis(100);
/// Older marks are forgotten, because they are not needed.
const KEPT: Duration = Duration::from_mins(1);

/// Sizes of the log, each with an instant at which the log was not larger.
#[derive(Debug, Default)]
pub(crate) struct HeadMarks(Mutex<VecDeque<(Instant, i64)>>);

impl HeadMarks {
    /// Records that the log, read after `before`, held `size` events.
    pub(crate) fn note(&self, before: Instant, size: i64) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.back().is_some_and(|(at, _)| before < *at) {
            return;
        }
        let repeats = |kept: &(Instant, i64), last: &(Instant, i64)| {
            // A log that has not grown has the same size as then. If it has shrunk (a backup was restored), the mark is
            // no longer valid.
            last.1 >= size || last.0.saturating_duration_since(kept.0) < SPACING
        };
        while let [.., kept, last] = *marks.make_contiguous()
            && repeats(&kept, &last)
        {
            marks.pop_back();
        }
        if let [only] = *marks.make_contiguous()
            && only.1 >= size
        {
            marks.pop_back();
        }
        marks.push_back((before, size));
        while marks.front().is_some_and(|(at, _)| before.saturating_duration_since(*at) > KEPT) {
            marks.pop_front();
        }
    }

    /// The greatest possible age of the event at `log_index`. `None` if it is unknown: the server has not run for long
    /// enough, or the event is older than the marks.
    pub(crate) fn oldest(&self, log_index: i64, now: Instant) -> Option<Duration> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = marks.iter().rev().find(|(_, size)| *size <= log_index)?;
        Some(now.saturating_duration_since(before.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn noted(sizes: &[(u64, i64)]) -> (HeadMarks, Instant) {
        let (marks, begin) = (HeadMarks::default(), Instant::now());
        for (millis, size) in sizes {
            marks.note(begin + Duration::from_millis(*millis), *size);
        }
        (marks, begin)
    }

    #[test]
    fn an_event_is_no_older_than_the_last_look_that_did_not_find_it() {
        let (marks, begin) = noted(&[(0, 5), (1_000, 5), (2_000, 7), (3_000, 9)]);
        let oldest = |index, at| marks.oldest(index, begin + at);
        assert_eq!(oldest(9, 4 * SECOND), Some(SECOND));
        assert_eq!(oldest(8, 4 * SECOND), Some(2 * SECOND));
        assert_eq!(oldest(6, 4 * SECOND), Some(3 * SECOND));
        assert_eq!(oldest(4, 4 * SECOND), None, "it was there when this server began to look");
    }

    #[test]
    fn looks_close_to_each_other_are_one_and_the_earlier_ones_bound_the_age() {
        let (marks, begin) = noted(&[(0, 0), (10, 1), (20, 2), (30, 3), (40, 4)]);
        assert!(marks.0.lock().unwrap().len() <= 2);
        assert_eq!(marks.oldest(2, begin + SECOND), Some(SECOND));
        assert_eq!(marks.oldest(4, begin + SECOND), Some(Duration::from_millis(960)));
    }

    #[test]
    fn marks_are_bounded_and_what_is_older_than_they_are_is_not_known() {
        let (marks, begin) = noted(&(0..10_000_u64).map(|n| (n * 50, n.cast_signed())).collect::<Vec<_>>());
        assert!(marks.0.lock().unwrap().len() < 700);
        assert_eq!(marks.oldest(5, begin + 500 * SECOND), None);
        assert!(marks.oldest(9_990, begin + 500 * SECOND).unwrap() < SECOND);
    }

    #[test]
    fn a_log_that_was_set_back_is_looked_at_afresh() {
        let (marks, begin) = noted(&[(0, 10), (1_000, 90), (2_000, 40)]);
        assert_eq!(marks.oldest(50, begin + 3 * SECOND), Some(SECOND));
        assert_eq!(marks.oldest(30, begin + 3 * SECOND), Some(3 * SECOND));
    }
}
