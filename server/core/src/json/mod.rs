//! JSON that can be read in only one way: UTF-8, no duplicate key, no number that a double rounds, nothing after the
//! value. This file has the limits of depth and of the number of values, for requests (strict) and for documents.
//!
//! Parsers differ in which of two equal keys they keep, and in how they read `9007199254740993`. A text that two
//! parsers can read differently is refused here, so that no other program acts on something different from what was
//! decided. docs/verification.md has the rule.

mod canonical;
mod number;
mod path;
mod reader;

pub use canonical::{Canonical, MAX_BYTES, canonical, canonical_object};
pub use number::MAX_INTEGER;
pub use path::Path;

use std::fmt;

use serde_json::Value;

/// Deepest nesting: an object with only scalars has depth 1.
pub const MAX_DEPTH: usize = 64;

/// The limits of a text.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Deepest nesting.
    pub depth: usize,
    /// How numbers are treated that a double cannot represent.
    pub numbers: Numbers,
    /// Limit of the number of values, including objects and arrays. Reading a value costs far more than a byte of text.
    pub values: usize,
}

/// How numbers are treated that a double cannot represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// They are refused: numbers beyond 2^53-1, and numbers whose decimal value differs from that of their canonical
    /// form.
    Exact,
    /// They are read as `serde_json` reads them: for documents of other parties, whose numbers are not used here.
    AsRead,
}

impl Rules {
    /// For requests and arguments.
    pub const STRICT: Self = Self { depth: MAX_DEPTH, numbers: Numbers::Exact, values: usize::MAX };
    /// For tokens, key sets and configurations: every key occurs once.
    pub const DOCUMENT: Self = Self { depth: 127, numbers: Numbers::AsRead, values: usize::MAX };
}

/// Why a text is refused, or a value has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The place: `arguments.items[2].amount`. Empty for the text as a whole.
    pub path: String,
    /// What is wrong and what would be accepted. Never repeats a value.
    pub why: String,
}

impl Refused {
    fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.why) } else { write!(f, "{}: {}", self.path, self.why) }
    }
}

impl std::error::Error for Refused {}

/// Reads one JSON text (RFC 8259, UTF-8): no key twice in an object, however it is escaped; no lone surrogate; nothing
/// after the value.
pub fn read(text: &[u8], rules: Rules) -> Result<Value, Refused> {
    let text = std::str::from_utf8(text).map_err(|_| Refused::new("", "the text is not UTF-8"))?;
    reader::read(text, rules)
}

#[cfg(test)]
mod tests;
