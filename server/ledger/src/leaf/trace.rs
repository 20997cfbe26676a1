//! The W3C trace context of a request, so that an event can be found from a trace and a trace from an event.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::visit::Visit;
use crate::hex;

macro_rules! trace_ids {
    ($($(#[$doc:meta])* $name:ident, $bytes:literal, $wanted:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// These bytes. `None` if all of them are zero, which W3C Trace Context reserves for "invalid".
            #[must_use]
            pub fn from_bytes(bytes: [u8; $bytes]) -> Option<Self> {
                (bytes != [0; $bytes]).then_some(Self(bytes))
            }

            /// Reads the only spelling: lower-case hexadecimal.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                hex::decode(text).and_then(Self::from_bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(hex::encode_into(&self.0, &mut [0; 2 * $bytes]))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(hex::encode_into(&self.0, &mut [0; 2 * $bytes]))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Visit($wanted, Self::parse))
            }
        }
    )*};
}

trace_ids!(
    /// The trace that the request belongs to (W3C `trace-id`).
    TraceId, 16, "32 lower-case hexadecimal digits, not all zero";
    /// The span that made the request (W3C `parent-id`).
    SpanId, 8, "16 lower-case hexadecimal digits, not all zero";
);
