//! Values of a leaf with one spelling each: hashes (64 lower-case hexadecimal digits) and 64-bit integers (a string of
//! decimal digits).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::visit::Visit;
use crate::hex;

/// A SHA-256 hash. In the leaf: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex::encode_into(&self.0, &mut [0; 64]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(hex::encode_into(&self.0, &mut [0; 64]))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Visit("64 lower-case hexadecimal digits", |text| hex::decode(text).map(Self)))
    }
}

/// A 64-bit integer that is not negative. In the leaf it is a string of decimal digits without leading zeros, because
/// many readers treat JSON numbers as doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Decimal(pub u64);

impl From<u64> for Decimal {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| text.parse::<u64>().ok().filter(|value| value.to_string() == text).map(Self);
        deserializer.deserialize_str(Visit("a 64-bit integer as a string of decimal digits", read))
    }
}
