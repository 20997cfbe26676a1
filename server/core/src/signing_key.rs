//! The life of a signing key: next, active, retired; and from each of them, compromised. This file decides how long a
//! key must be published before it signs, on demand and by schedule (rotation).

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::credential::KeyStanding;

/// How long a key must be published before it may sign on demand: four times as long as a replica may take to load it.
pub const PUBLISHED_BEFORE_USE: Duration = Duration::seconds(1);

/// How long a key must be published before it signs by schedule: longer than common libraries keep the keys they
/// fetched, and longer than the answer at `/.well-known/jwks.json` may be cached. On demand, a person may need it
/// sooner.
pub const PUBLISHED_BEFORE_ROTATION: Duration = Duration::minutes(10);

/// A signing key without its private half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyRecord {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// Its state.
    pub state: KeyStanding,
    /// The public half as RFC 7517 JSON.
    pub public_jwk: String,
    /// When it was created.
    pub create_time: OffsetDateTime,
    /// When it began to sign.
    pub activate_time: Option<OffsetDateTime>,
    /// When it stopped signing, or was declared compromised if it had never signed.
    pub retire_time: Option<OffsetDateTime>,
}

/// The key is compromised, which is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is already COMPROMISED: that is final, and every token that it signed is invalid")]
pub struct AlreadyCompromised;

impl SigningKeyRecord {
    /// The etag of this record. A key never returns to an earlier state, so the state is sufficient.
    #[must_use]
    pub const fn etag(&self) -> &'static str {
        self.state.as_str()
    }

    /// How long it must still be published before it may sign; at most [`PUBLISHED_BEFORE_USE`], whatever the clocks of
    /// its creator and of the caller show.
    #[must_use]
    pub fn left_before_use(&self, now: OffsetDateTime) -> Duration {
        (self.create_time + PUBLISHED_BEFORE_USE - now).clamp(Duration::ZERO, PUBLISHED_BEFORE_USE)
    }

    /// Whether it was published for long enough to sign by schedule.
    #[must_use]
    pub fn is_spread(&self, now: OffsetDateTime) -> bool {
        now - self.create_time >= PUBLISHED_BEFORE_ROTATION
    }

    /// How long it has been signing; zero if it has not, or if the clock was set back since it began.
    #[must_use]
    pub fn age(&self, now: OffsetDateTime) -> Duration {
        self.activate_time.map_or(Duration::ZERO, |at| (now - at).max(Duration::ZERO))
    }

    /// Starts signing.
    pub const fn activate(&mut self, now: OffsetDateTime) {
        self.state = KeyStanding::Active;
        self.activate_time = Some(now);
    }

    /// Stops signing.
    pub const fn retire(&mut self, now: OffsetDateTime) {
        self.state = KeyStanding::Retired;
        self.retire_time = Some(now);
    }

    /// Declares that others know it, which is final.
    pub fn compromise(&mut self, now: OffsetDateTime) -> Result<(), AlreadyCompromised> {
        if self.state == KeyStanding::Compromised {
            return Err(AlreadyCompromised);
        }
        self.state = KeyStanding::Compromised;
        self.retire_time.get_or_insert(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

    fn made() -> SigningKeyRecord {
        SigningKeyRecord {
            kid: "kid".to_owned(),
            state: KeyStanding::Next,
            public_jwk: "{}".to_owned(),
            create_time: MADE,
            activate_time: None,
            retire_time: None,
        }
    }

    #[test]
    fn a_key_is_published_a_second_ahead_whatever_the_clock() {
        for (passed, left) in [(0, 1_000), (400, 600), (1_000, 0), (86_400_000, 0), (-86_400_000, 1_000)] {
            let now = MADE + Duration::milliseconds(passed);
            assert_eq!(made().left_before_use(now), Duration::milliseconds(left), "{passed} ms after it was made");
        }
    }

    #[test]
    fn by_the_clock_a_key_signs_ten_minutes_after_it_was_published() {
        for (seconds, spread) in [(-1, false), (0, false), (599, false), (600, true), (86_400, true)] {
            assert_eq!(made().is_spread(MADE + Duration::seconds(seconds)), spread, "{seconds} s");
        }
    }

    #[test]
    fn a_key_ages_from_its_activation_on_and_never_backwards() {
        let mut key = made();
        assert_eq!(key.age(MADE + Duration::DAY), Duration::ZERO);
        key.activate(MADE + Duration::DAY);
        assert_eq!(key.age(MADE + 3 * Duration::DAY), 2 * Duration::DAY);
        assert_eq!(key.age(MADE), Duration::ZERO, "the clock went back");
    }

    #[test]
    fn compromised_is_final_and_reached_from_every_other_state() {
        let later = MADE + Duration::HOUR;
        let (next, mut active, mut retired) = (made(), made(), made());
        active.activate(MADE);
        retired.activate(MADE);
        retired.retire(MADE);
        for (mut key, ceased) in [(next, later), (active, later), (retired, MADE)] {
            assert_eq!(key.compromise(later), Ok(()));
            assert_eq!(
                (key.state, key.retire_time, key.etag()),
                (KeyStanding::Compromised, Some(ceased), "compromised")
            );
            assert_eq!(key.compromise(later), Err(AlreadyCompromised));
        }
    }
}
