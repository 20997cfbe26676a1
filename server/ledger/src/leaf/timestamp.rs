//! Instants in a fixed-width form (UTC, to the microsecond, 1970 to 9999), formatted without a calendar library because
//! one is written for every event.

use std::{fmt, str};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{LeafError, visit::Visit};

const MICROS_PER_DAY: u64 = 86_400_000_000;
/// The first microsecond of the year 10000, which does not fit into the fixed width.
const END: u64 = 253_402_300_800_000_000;
const TEMPLATE: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";

/// An instant, UTC, to the microsecond, from 1970 to 9999. In the leaf: `2026-01-02T03:04:05.000000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z.
    pub fn from_micros(micros: i64) -> Result<Self, LeafError> {
        u64::try_from(micros).ok().filter(|micros| *micros < END).map(Self).ok_or(LeafError::Time)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0.cast_signed()
    }

    /// Reads the fixed-width form. Any other spelling of the same instant is refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 27] = text.as_bytes().try_into().ok()?;
        let number = |from: usize, to: usize| {
            bytes[from..to]
                .iter()
                .try_fold(0_u64, |value, b| b.is_ascii_digit().then(|| value * 10 + u64::from(b - b'0')))
        };
        let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
        let seconds = (number(11, 13)? * 60 + number(14, 16)?) * 60 + number(17, 19)?;
        let instant = Self(days * MICROS_PER_DAY + seconds * 1_000_000 + number(20, 26)?);
        // Writing it again checks separators, days after the end of a month, and leap seconds.
        (instant.0 < END && instant.write() == *bytes).then_some(instant)
    }

    fn write(self) -> [u8; 27] {
        let (days, micros) = (self.0 / MICROS_PER_DAY, self.0 % MICROS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let seconds = micros / 1_000_000;
        let mut out = *TEMPLATE;
        digits(&mut out[0..4], year);
        digits(&mut out[5..7], month);
        digits(&mut out[8..10], day);
        digits(&mut out[11..13], seconds / 3600);
        digits(&mut out[14..16], seconds / 60 % 60);
        digits(&mut out[17..19], seconds % 60);
        digits(&mut out[20..26], micros % 1_000_000);
        out
    }
}

fn digits(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789"[(value % 10) as usize];
        value /= 10;
    }
}

/// Year, month and day of a day since 1970-01-01. Years begin in March, so that the leap day is the last one (Howard
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// Days since 1970-01-01. `None` before that, or if the month is invalid.
const fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || month < 1 || month > 12 {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day;
    let (era, year_of_era) = (year / 400, year % 400);
    (era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year).checked_sub(719_469)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.write()).unwrap_or_default())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(&self.write()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Visit("a time such as 2026-01-02T03:04:05.000000Z", Self::parse))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::{OffsetDateTime, macros::format_description};

    use super::*;

    fn by_the_time_crate(micros: i64) -> String {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap().format(&format).unwrap()
    }

    #[test]
    fn the_edges_of_months_years_and_the_range_are_written_right() {
        for text in [
            "1970-01-01T00:00:00.000000Z",
            "1972-02-29T23:59:59.999999Z",
            "1999-12-31T23:59:59.999999Z",
            "2000-02-29T00:00:00.000001Z",
            "2100-03-01T00:00:00.000000Z",
            "2026-01-02T03:04:05.000000Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            let read = Timestamp::parse(text).unwrap();
            assert_eq!((read.to_string(), by_the_time_crate(read.micros())), (text.into(), text.into()));
        }
        assert!(Timestamp::from_micros(-1).is_err());
        assert!(Timestamp::from_micros(END.cast_signed()).is_err());
        assert!(Timestamp::from_micros(END.cast_signed() - 1).is_ok());
    }

    #[test]
    fn any_other_spelling_is_refused() {
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.000000+00:00",
            "2026-01-02 03:04:05.000000Z",
            "2026-01-02t03:04:05.000000z",
            "2026-02-30T00:00:00.000000Z",
            "2100-02-29T00:00:00.000000Z",
            "2026-00-10T00:00:00.000000Z",
            "2026-13-10T00:00:00.000000Z",
            "2026-01-00T00:00:00.000000Z",
            "2026-01-02T24:00:00.000000Z",
            "2026-01-02T03:60:05.000000Z",
            "2016-12-31T23:59:60.000000Z",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-00T00:00:00.000000Z",
            "+026-01-02T03:04:05.000000Z",
            "",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_is_written_as_the_time_crate_does_and_read_back(micros in 0..END.cast_signed()) {
            let instant = Timestamp::from_micros(micros).unwrap();
            prop_assert_eq!(instant.to_string(), by_the_time_crate(micros));
            prop_assert_eq!(Timestamp::parse(&instant.to_string()), Some(instant));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{6}Z") {
            if let Some(instant) = Timestamp::parse(&text) {
                prop_assert_eq!(instant.to_string(), text);
            }
        }
    }
}
