//! Reads a value of a leaf from its text for serde, or says what was expected.

use std::fmt;

use serde::de::{self, Visitor};

/// Reads a value from its text, or says what was expected.
pub(super) struct Visit<T>(pub(super) &'static str, pub(super) fn(&str) -> Option<T>);

impl<T> Visitor<'_> for Visit<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).ok_or_else(|| E::custom(format_args!("expected {}", self.0)))
    }
}
