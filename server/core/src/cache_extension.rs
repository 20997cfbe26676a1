//! Cache extensions: for a limited time, caches that follow both streams may keep an ALLOW longer than usual. This file
//! decides the longest cache time, the shortest, longest and default life of an extension, how long a proposal waits
//! for a second person, and when an extension is pending, active or ended.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{decision::CACHE_TTL, ids::CacheExtensionId, names::OperatorId};

/// How long it may be cached with an extension at most, in seconds.
pub const LONGEST_TTL: u32 = 300;
/// How long an extension lasts if the request does not say.
pub const DEFAULT_LIFE: Duration = Duration::minutes(30);
/// The shortest and the longest life of an extension.
pub const LIVES: (Duration, Duration) = (Duration::MINUTE, Duration::hours(4));
/// How long a proposal waits for a second person.
pub const PATIENCE: Duration = Duration::minutes(15);

/// One extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheExtension {
    /// Its id.
    pub cache_extension_id: CacheExtensionId,
    /// How long an ALLOW may be cached, in seconds.
    pub extend_to_seconds: u32,
    /// How long it lasts after its confirmation, in seconds.
    pub life_seconds: u32,
    /// The reason, in words.
    pub reason: String,
    /// The operator who proposed it.
    pub proposed_by: OperatorId,
    /// When it was proposed.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub propose_time: OffsetDateTime,
    /// The second person. `None` if it is not confirmed yet.
    pub confirmed_by: Option<OperatorId>,
    /// When it ends by itself. `None` if it is not confirmed yet.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub end_time: Option<OffsetDateTime>,
    /// When an operator ended it early, or withdrew the proposal.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub stop_time: Option<OffsetDateTime>,
}

/// The state of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheExtensionState {
    /// It waits for a second person.
    Pending,
    /// It is active.
    Active,
    /// It has ended: by itself, by an operator, or because it was not confirmed in time.
    Ended,
}

impl CacheExtension {
    /// Its state at `now`.
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

    /// How long an ALLOW that is given at `now` may be cached because of this extension, in seconds; 0 means no longer
    /// than without it. After the end of the extension, cached answers live no longer than without it.
    #[must_use]
    pub fn ttl(&self, now: OffsetDateTime) -> u32 {
        if self.state(now) != CacheExtensionState::Active {
            return 0;
        }
        let left = self.end_time.map_or(0, |end| u32::try_from((end - now).whole_seconds()).unwrap_or(0));
        let ttl = self.extend_to_seconds.min(LONGEST_TTL).min(left);
        if ttl > CACHE_TTL { ttl } else { 0 }
    }

    /// The etag of this row.
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
    fn an_extension_waits_15_minutes_and_holds_once_confirmed() {
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
    fn an_extension_caches_five_minutes_at_most_and_to_its_end() {
        let active = CacheExtension { end_time: Some(NOW + Duration::minutes(30)), ..extension() };
        for (after, ttl) in [(0, 300), (25 * 60, 300), (26 * 60, 240), (29 * 60, 60), (29 * 60 + 30, 0), (30 * 60, 0)] {
            assert_eq!(active.ttl(NOW + Duration::seconds(after)), ttl, "{after}");
        }
        assert_eq!(extension().ttl(NOW), 0, "nobody confirmed it");
        assert_eq!(CacheExtension { extend_to_seconds: 3_000, ..active }.ttl(NOW), 300);
    }
}
