use serde_json::error::Category;

use super::Kind;

/// Why something is not a custody leaf. Messages name fields and shapes, never the refused value.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// A field does not have its shape; free text and empty strings end here.
    #[error("{field} must be {wanted}")]
    Shape {
        /// The field, with dots for parts.
        field: &'static str,
        /// What would fit.
        wanted: &'static str,
    },
    /// A field that this kind of event always states is absent.
    #[error("a {kind} event must state {field}")]
    Missing {
        /// The kind of event.
        kind: Kind,
        /// The field.
        field: &'static str,
    },
    /// The entries of a list are not in rising order of their names, each once.
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
    /// The bytes are no JSON of a leaf: unknown or repeated fields, wrong types, unknown words.
    #[error("not a countersign.custody.v1 leaf: {}", what(.0))]
    Malformed(#[from] serde_json::Error),
    /// The bytes say what a leaf says, but are not the bytes that are hashed (RFC 8785, absent fields omitted).
    #[error("the leaf is not in its canonical form")]
    NotCanonical,
}

/// What is wrong with the JSON, and where. The parser's own words repeat what it could not read, which may be a text that was
/// meant to be kept beside the leaf; only those that name a field of ours are passed on.
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
