//! The review of a sponsor: when it is due by default and at the latest, and when it has lapsed.

use time::{Duration, OffsetDateTime};

use super::{Sponsor, SponsorRule, SponsorState};

/// How long an approval is valid, by default, before the sponsor must be recertified.
pub const DEFAULT_REVIEW: Duration = Duration::days(90);
/// How far ahead a review can be due at most.
pub const MAX_REVIEW: Duration = Duration::days(400);

impl Sponsor {
    /// Whether the review has lapsed by `now`, and the sponsor is not suspended for it yet.
    #[must_use]
    pub fn review_lapsed(&self, now: OffsetDateTime) -> bool {
        self.state == SponsorState::Active && self.review_due_at.is_some_and(|due| due <= now)
    }
}

/// When a review that is renewed at `now` is due again: at the requested time, or after the default.
pub fn next_review(now: OffsetDateTime, asked: Option<OffsetDateTime>) -> Result<OffsetDateTime, SponsorRule> {
    let due = asked.unwrap_or(now + DEFAULT_REVIEW);
    if due > now && due <= now + MAX_REVIEW { Ok(due) } else { Err(SponsorRule::ReviewDate) }
}
