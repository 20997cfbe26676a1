//! Conversion of instants, from 1970 to 9999, and of spans of seconds, milliseconds or microseconds. A message may
//! contain any pair of numbers, so nothing here may overflow.

use std::ops::RangeInclusive;

use ::time::OffsetDateTime;
use countersign_ledger::leaf;
use prost_types::{Duration, Timestamp};

use super::violations::{Refused, Violations};

/// The seconds of 1970 to 9999: the instants that a custody leaf can state.
const INSTANTS: RangeInclusive<i64> = 0..=253_402_300_799;
/// The longest span that a `google.protobuf.Duration` may hold, seconds: about 10,000 years.
const MAX_SPAN: i64 = 315_576_000_000;
const NANOS_PER_SECOND: i128 = 1_000_000_000;

impl Violations {
    /// An instant; `None` if it is missing.
    pub(super) fn instant(
        &mut self,
        field: &str,
        instant: Option<Timestamp>,
    ) -> Result<Option<OffsetDateTime>, Refused> {
        let Some(instant) = instant else { return Ok(None) };
        let valid = INSTANTS.contains(&instant.seconds);
        let read = nanos(instant.seconds, instant.nanos).filter(|_| valid);
        let read = read.and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok());
        read.map(Some)
            .ok_or_else(|| self.refuse(field, "must be an instant from 1970 to 9999, with 0 to 999999999 nanos"))
    }

    /// A span of whole seconds within `bounds`; `None` if it is missing.
    pub(super) fn seconds<T: TryFrom<i64>>(
        &mut self,
        field: &str,
        span: Option<Duration>,
        bounds: RangeInclusive<i64>,
    ) -> Result<Option<T>, Refused> {
        let Some(Duration { seconds, nanos }) = span else { return Ok(None) };
        let read = T::try_from(seconds).ok().filter(|_| nanos == 0 && bounds.contains(&seconds));
        read.map(Some).ok_or_else(|| {
            self.refuse(field, format!("must be a whole number of seconds, {} to {}", bounds.start(), bounds.end()))
        })
    }

    /// A span of whole seconds of any length, because the domain limits it; `None` if it is missing.
    pub(super) fn any_seconds(&mut self, field: &str, span: Option<Duration>) -> Result<Option<i64>, Refused> {
        self.seconds(field, span, 0..=MAX_SPAN)
    }

    /// A span of whole milliseconds, at most `max`; `None` if it is missing.
    pub(super) fn milliseconds(
        &mut self,
        field: &str,
        span: Option<Duration>,
        max: u32,
    ) -> Result<Option<u32>, Refused> {
        let Some(span) = span else { return Ok(None) };
        let whole = nanos(span.seconds, span.nanos).filter(|nanos| nanos % 1_000_000 == 0);
        let read = whole.and_then(|nanos| u32::try_from(nanos / 1_000_000).ok()).filter(|millis| *millis <= max);
        read.map(Some).ok_or_else(|| self.refuse(field, format!("must be a whole number of milliseconds, 0 to {max}")))
    }

    /// A span in microseconds, rounded down; `None` if it is missing.
    pub(super) fn microseconds(&mut self, field: &str, span: Option<Duration>) -> Result<Option<u64>, Refused> {
        let Some(span) = span else { return Ok(None) };
        let read = nanos(span.seconds, span.nanos).filter(|_| span.seconds <= MAX_SPAN);
        let read = read.and_then(|nanos| u64::try_from(nanos / 1_000).ok());
        read.map(Some)
            .ok_or_else(|| self.refuse(field, format!("must be 0 to {MAX_SPAN} s, with 0 to 999999999 nanos")))
    }
}

/// The nanoseconds of a pair of numbers that is valid and not negative. Any such sum fits into 128 bits.
fn nanos(seconds: i64, nanos: i32) -> Option<i128> {
    let nanos = i128::from(nanos);
    let valid = seconds >= 0 && (0..NANOS_PER_SECOND).contains(&nanos);
    valid.then(|| i128::from(seconds) * NANOS_PER_SECOND + nanos)
}

/// An instant in the contract's form.
pub(crate) fn timestamp(instant: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: instant.unix_timestamp(), nanos: instant.nanosecond().cast_signed() }
}

/// An instant of a leaf in the contract's form.
pub(super) fn leaf_timestamp(instant: leaf::Timestamp) -> Timestamp {
    let micros = instant.micros();
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos: super::narrow(micros.rem_euclid(1_000_000) * 1_000) }
}

/// A span in the contract's form.
pub(super) fn seconds(seconds: impl TryInto<i64>) -> Duration {
    Duration { seconds: seconds.try_into().unwrap_or(MAX_SPAN), nanos: 0 }
}

/// A span of microseconds in the contract's form.
pub(super) fn microseconds(micros: u64) -> Duration {
    Duration { seconds: super::wide(micros / 1_000_000), nanos: super::narrow(micros % 1_000_000 * 1_000) }
}

/// A span of milliseconds in the contract's form.
pub(super) fn milliseconds(millis: u32) -> Duration {
    Duration { seconds: i64::from(millis / 1_000), nanos: super::narrow(millis % 1_000 * 1_000_000) }
}
