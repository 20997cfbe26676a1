//! Whether any caller is inside a rollout's percentage, because a rollout without such callers tests nothing: after how
//! much time without a call that is reported, and what helps for each sticky key.

use time::{Duration, OffsetDateTime};

use super::{Percent, Rollout, StickyKey};

/// A rollout may have no callers inside for so long before that is told.
const QUIET: Duration = Duration::DAY;
/// After the percentage changed, so long is left for a caller to come.
const GRACE: Duration = Duration::HOUR;

/// When the candidate answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolment {
    /// Since when that is counted.
    pub since: OffsetDateTime,
    /// When it last answered a call; none: not since then.
    pub last: Option<OffsetDateTime>,
}

impl Rollout {
    /// What is to be told at `now` where the candidate has answered no call for a day, and what helps; none where it has, where
    /// that is not known, or where no caller is to be inside. `evaluations` is how many calls in scope were seen lately.
    #[must_use]
    pub fn nobody_inside(&self, enrolment: Option<Enrolment>, evaluations: u64, now: OffsetDateTime) -> Option<String> {
        let Enrolment { since, last } = enrolment?;
        let quiet = now - last.unwrap_or(since).max(self.create_time);
        if !self.state.is_open() || self.percent == Percent::NONE || quiet < QUIET || now - self.advance_time < GRACE {
            return None;
        }
        let (hours, percent) = (quiet.whole_hours(), self.percent);
        if evaluations == 0 {
            return Some(format!(
                "The candidate has answered no call for {hours} hours, because no call was in the rollout's scope. More calls \
                 help, or another rollout with a wider scope."
            ));
        }
        let why = match self.sticky_key {
            StickyKey::RootInstance => {
                "With the sticky key ROOT_INSTANCE each new run draws its side anew. A higher percentage helps \
                 (AdvanceRollout), or more and shorter runs."
            }
            StickyKey::Sponsor => {
                "With the sticky key SPONSOR each sponsor draws its side once, and few sponsors may all be outside for good. A \
                 higher percentage helps (AdvanceRollout), or another rollout with the sticky key ROOT_INSTANCE, with which \
                 each run draws."
            }
            StickyKey::Agent => {
                "With the sticky key AGENT each kind of agent draws its side once, and few kinds may all be outside for good. A \
                 higher percentage helps (AdvanceRollout), or another rollout with the sticky key ROOT_INSTANCE, with which \
                 each run draws."
            }
        };
        Some(format!(
            "The candidate has answered no call for {hours} hours: all callers are outside the {percent} %, and it was only \
             evaluated beside the baseline. {why}"
        ))
    }
}

#[cfg(test)]
mod tests;
