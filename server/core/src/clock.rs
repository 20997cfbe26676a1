//! The clock (time and a counter) and randomness (entropy), which are passed in as arguments; those of the system; and
//! UUIDv7 from both.

use std::{fmt, sync::LazyLock, time::Instant};

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// A source of the current time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current time in UTC.
    fn now(&self) -> OffsetDateTime;

    /// A counter that advances evenly and is never set. Only the difference of two readings means something.
    fn counter(&self) -> Duration;
}

/// The machine's clock in whole microseconds, so that an answer has exactly the recorded time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        now - Duration::nanoseconds((now.nanosecond() % 1_000).into())
    }

    fn counter(&self) -> Duration {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        Duration::try_from(BEGUN.elapsed()).unwrap_or(Duration::MAX)
    }
}

/// A source of random bytes.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The cryptographic generator of aws-lc, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // aws-lc aborts by itself if the operating system has no entropy; there is no other cause for an error here.
        aws_lc_rs::rand::fill(bytes).expect("the system's random generator answers");
    }
}

/// An array of new random bytes.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// A UUIDv7 (RFC 9562) of the instant `now`. Instants before 1970 count as 1970.
pub fn uuid_v7(now: OffsetDateTime, entropy: &dyn Entropy) -> Uuid {
    let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random::<10>(entropy)).into_uuid()
}

/// Microseconds since the epoch, the resolution of everything that is recorded.
#[must_use]
pub fn unix_micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}
