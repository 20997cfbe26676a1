//! While it lasts, caches that follow both streams may keep an ALLOW longer than usual: for an incident in which decisions are hard
//! to come by. Two people say so, it ends by itself, and whatever ends an entry at once still does.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{ids::CacheExtensionId, names::OperatorId};

/// For how long an ALLOW may be cached without any of this, seconds.
pub const CACHE_TTL: u32 = 30;
/// The longest that it may be extended to, seconds.
pub const LONGEST_TTL: u32 = 300;
/// How long an extension lasts for which nothing else is asked.
pub const DEFAULT_LIFE: Duration = Duration::minutes(30);
/// How short and how long an extension may last.
pub const LIVES: (Duration, Duration) = (Duration::MINUTE, Duration::hours(4));
/// How long a proposal waits for a second person.
pub const PATIENCE: Duration = Duration::minutes(15);

/// One extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheExtension {
    /// Its id.
    pub cache_extension_id: CacheExtensionId,
    /// For how long an ALLOW may be cached, seconds.
    pub extend_to_seconds: u32,
    /// How long it lasts from its confirmation on, seconds.
    pub life_seconds: u32,
    /// Why, in words.
    pub reason: String,
    /// Who proposed it.
    pub proposed_by: OperatorId,
    /// When.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub propose_time: OffsetDateTime,
    /// The second person; none while there was none.
    pub confirmed_by: Option<OperatorId>,
    /// When it ends by itself: none while nobody has confirmed it.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub end_time: Option<OffsetDateTime>,
    /// When somebody ended it before its time, or withdrew the proposal.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub stop_time: Option<OffsetDateTime>,
}

/// Where an extension stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheExtensionState {
    /// It waits for a second person.
    Pending,
    /// It holds.
    Active,
    /// It is over: by itself, by somebody, or as nobody confirmed it in time.
    Ended,
}

impl CacheExtension {
    /// Where it stands at `now`.
    #[must_use]
    pub fn state(&self, now: OffsetDateTime) -> CacheExtensionState {
        let over = |end: OffsetDateTime| now >= end;
        match (self.stop_time, self.end_time) {
            (Some(_), _) => CacheExtensionState::Ended,
            (None, Some(end)) if over(end) => CacheExtensionState::Ended,
            (None, Some(_)) => CacheExtensionState::Active,
            (None, None) if over(self.propose_time + PATIENCE) => CacheExtensionState::Ended,
            (None, None) => CacheExtensionState::Pending,
        }
    }

    /// For how long an ALLOW that is given at `now` may be cached by it, seconds; 0: no longer than without it. What is cached
    /// outlives it no longer than it would without.
    #[must_use]
    pub fn ttl(&self, now: OffsetDateTime) -> u32 {
        if self.state(now) != CacheExtensionState::Active {
            return 0;
        }
        let left = self.end_time.map_or(0, |end| u32::try_from((end - now).whole_seconds()).unwrap_or(0));
        let ttl = self.extend_to_seconds.min(LONGEST_TTL).min(left);
        if ttl > CACHE_TTL { ttl } else { 0 }
    }

    /// The opaque version of this row.
    #[must_use]
    pub fn etag(&self) -> String {
        match (self.stop_time, self.end_time) {
            (Some(_), _) => "3",
            (None, Some(_)) => "2",
            (None, None) => "1",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

    fn extension() -> CacheExtension {
        CacheExtension {
            cache_extension_id: "cext_01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            extend_to_seconds: 300,
            life_seconds: 1_800,
            reason: "the database is slow".to_owned(),
            proposed_by: "oscar".parse().unwrap(),
            propose_time: NOW,
            confirmed_by: None,
            end_time: None,
            stop_time: None,
        }
    }

    #[test]
    fn it_holds_from_its_confirmation_to_its_end_and_waits_a_quarter_of_an_hour() {
        let proposed = extension();
        let at = |extension: &CacheExtension, after: Duration| extension.state(NOW + after);
        assert_eq!(at(&proposed, Duration::minutes(15) - Duration::SECOND), CacheExtensionState::Pending);
        assert_eq!(at(&proposed, Duration::minutes(15)), CacheExtensionState::Ended);
        let active = CacheExtension { end_time: Some(NOW + Duration::minutes(30)), ..proposed };
        assert_eq!(at(&active, Duration::minutes(30) - Duration::SECOND), CacheExtensionState::Active);
        assert_eq!(at(&active, Duration::minutes(30)), CacheExtensionState::Ended);
        let stopped = CacheExtension { stop_time: Some(NOW), ..active.clone() };
        assert_eq!(at(&stopped, Duration::ZERO), CacheExtensionState::Ended);
        assert_eq!([active.etag(), stopped.etag()], ["2", "3"]);
    }

    #[test]
    fn nothing_is_cached_past_its_end_and_never_for_longer_than_five_minutes() {
        let active = CacheExtension { end_time: Some(NOW + Duration::minutes(30)), ..extension() };
        for (after, ttl) in [(0, 300), (25 * 60, 300), (26 * 60, 240), (29 * 60, 60), (29 * 60 + 30, 0), (30 * 60, 0)] {
            assert_eq!(active.ttl(NOW + Duration::seconds(after)), ttl, "{after}");
        }
        assert_eq!(extension().ttl(NOW), 0, "nobody confirmed it");
        assert_eq!(CacheExtension { extend_to_seconds: 3_000, ..active }.ttl(NOW), 300);
    }
}
