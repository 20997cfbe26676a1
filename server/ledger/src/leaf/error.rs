//! Why something is not a valid leaf. Messages name fields and forms, never the refused value.

use serde_json::error::Category;

use super::Kind;

/// Why something is not a valid custody leaf. Messages name fields and forms, never the refused value.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// A field has the wrong form, for example free text or an empty string.
    #[error("{field} must be {wanted}")]
    Shape {
        /// The field, with dots between parts.
        field: &'static str,
        /// The form that is required.
        wanted: &'static str,
    },
    /// A field that this kind of event requires is missing.
    #[error("a {kind} event must state {field}")]
    Missing {
        /// The kind of event.
        kind: Kind,
        /// The field.
        field: &'static str,
    },
    /// The entries of a list are not sorted by name, or not unique.
    #[error("{field} must be sorted, and name each once")]
    Unordered {
        /// The list.
        field: &'static str,
    },
    /// The leaf is too large.
    #[error("a leaf is at most {} bytes, not {bytes}", super::MAX_LEAF_BYTES)]
    TooLarge {
        /// Its length, bytes.
        bytes: usize,
    },
    /// The instant is before 1970 or after 9999.
    #[error("a time must be in the years 1970 to 9999")]
    Time,
    /// The bytes are not the JSON of a leaf: unknown or repeated fields, wrong types, unknown words.
    #[error("not a countersign.custody.v1 leaf: {}", what(.0))]
    Malformed(#[from] serde_json::Error),
    /// The bytes have the content of a leaf, but not in the form that is hashed (RFC 8785, missing fields left out).
    #[error("the leaf is not in its canonical form")]
    NotCanonical,
}

/// What is wrong with the JSON, and where. The parser's message repeats what it could not read, which may be a text
/// that belongs beside the leaf; so only messages that name a field of ours are passed on.
fn what(error: &serde_json::Error) -> String {
    let words = error.to_string();
    if ["missing field", "duplicate field"].iter().any(|ours| words.starts_with(ours)) {
        return words;
    }
    let what = match error.classify() {
        Category::Data => "an unknown field, a value of the wrong type, or an unknown word",
        Category::Eof => "the text ends too soon",
        Category::Syntax | Category::Io => "no JSON",
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}
