//! Shares in whole percent, 0 to 100.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A share in whole percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u8")]
pub struct Percent(u8);

/// The number is none of 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a percentage is 0 to 100")]
pub struct NotAPercentage;

impl Percent {
    /// 0 %.
    pub const NONE: Self = Self(0);
    /// 100 %.
    pub const ALL: Self = Self(100);

    /// This many percent; more than 100 do not compile.
    #[must_use]
    pub const fn of<const PERCENT: u8>() -> Self {
        const { assert!(PERCENT <= 100) }
        Self(PERCENT)
    }

    /// The number, 0 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// What is left to 100 %.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self(100 - self.0)
    }

    /// This and so many points more, at most 100 %.
    #[must_use]
    pub fn plus(self, points: Self) -> Self {
        Self((self.0 + points.0).min(100))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! numbers {
    ($($number:ty)+) => {$(
        impl TryFrom<$number> for Percent {
            type Error = NotAPercentage;
            fn try_from(number: $number) -> Result<Self, NotAPercentage> {
                u8::try_from(number).ok().filter(|number| *number <= 100).map(Self).ok_or(NotAPercentage)
            }
        }

        impl From<Percent> for $number {
            fn from(percent: Percent) -> Self {
                percent.0.into()
            }
        }
    )+};
}
numbers!(i32 u32 i64);

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_0_to_100_are_percentages() {
        for number in [i64::MIN, -1, 101, 256, i64::MAX] {
            assert_eq!(Percent::try_from(number), Err(NotAPercentage), "{number}");
            assert!(serde_json::from_value::<Percent>(number.into()).is_err(), "{number}");
        }
        for number in 0..=100_i64 {
            let percent = Percent::try_from(number).unwrap();
            assert_eq!(i64::from(percent) + i64::from(percent.rest()), 100);
            assert_eq!(serde_json::to_string(&percent).unwrap(), number.to_string());
            assert_eq!(serde_json::from_value::<Percent>(number.into()).unwrap(), percent);
        }
    }

    #[test]
    fn growth_ends_at_100() {
        assert_eq!(Percent::of::<10>().plus(Percent::of::<20>()), Percent::of::<30>());
        assert_eq!(Percent::of::<90>().plus(Percent::ALL), Percent::ALL);
    }
}
