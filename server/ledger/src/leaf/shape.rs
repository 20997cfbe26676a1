//! The permitted forms and lengths of strings in a leaf: ids, names, codes, tokens, values. No form permits a space, a
//! quote, a backslash, a control character or a character outside of ASCII. So free text cannot get in, and no string
//! is ever escaped.

use std::borrow::Cow;

use super::{AttributeType, LeafError};

#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// A prefix and a UUID as the server writes it: lower-case, hyphenated.
    Id(&'static str, &'static str),
    /// An id that people choose.
    Name,
    /// A name that others choose: a tool, an action, a type.
    Call,
    /// An upper-case word: reason codes and states.
    Code,
    /// Visible ASCII without quotes and backslashes: rule ids, key ids, versions.
    Token,
    /// The same, but longer: values of changes.
    Value,
}

pub(super) const INSTANCE: Shape = Shape::Id("inst_", "inst_ and a lower-case UUID");
pub(super) const DECISION: Shape = Shape::Id("dec_", "dec_ and a lower-case UUID");
pub(super) const EVENT: Shape = Shape::Id("evt_", "evt_ and a lower-case UUID");
pub(super) const APPROVAL: Shape = Shape::Id("appr_", "appr_ and a lower-case UUID");
pub(super) const CREDENTIAL: Shape = Shape::Id("cred_", "cred_ and a lower-case UUID");
pub(super) const ROLLOUT: Shape = Shape::Id("roll_", "roll_ and a lower-case UUID");

impl Shape {
    const fn words(self) -> &'static str {
        match self {
            Self::Id(_, words) => words,
            Self::Name => "1 to 64 characters of a-z 0-9 . _ @ -",
            Self::Call => "1 to 128 characters of A-Z a-z 0-9 . _ @ : / -",
            Self::Code => "1 to 64 characters of A-Z 0-9 _, the first a letter",
            Self::Token => "1 to 128 visible ASCII characters other than \" and \\",
            Self::Value => "1 to 1024 visible ASCII characters other than \" and \\",
        }
    }

    fn fits(self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match self {
            Self::Id(prefix, _) => text.strip_prefix(prefix).is_some_and(is_uuid),
            Self::Name => {
                (1..=64).contains(&bytes.len())
                    && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-'))
            }
            Self::Call => {
                (1..=128).contains(&bytes.len())
                    && bytes
                        .iter()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b':' | b'/' | b'-'))
            }
            Self::Code => {
                (1..=64).contains(&bytes.len())
                    && bytes[0].is_ascii_uppercase()
                    && bytes.iter().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
            }
            Self::Token => (1..=128).contains(&bytes.len()) && text.bytes().all(is_visible),
            Self::Value => (1..=1024).contains(&bytes.len()) && text.bytes().all(is_visible),
        }
    }
}

const fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}

pub(super) fn ensure(fits: bool, field: &'static str, wanted: &'static str) -> Result<(), LeafError> {
    if fits { Ok(()) } else { Err(LeafError::Shape { field, wanted }) }
}

pub(super) fn one(field: &'static str, value: &str, shape: Shape) -> Result<(), LeafError> {
    ensure(shape.fits(value), field, shape.words())
}

pub(super) fn maybe(field: &'static str, value: Option<&Cow<'_, str>>, shape: Shape) -> Result<(), LeafError> {
    value.map_or(Ok(()), |value| one(field, value, shape))
}

pub(super) fn each(field: &'static str, values: &[Cow<'_, str>], shape: Shape) -> Result<(), LeafError> {
    values.iter().try_for_each(|value| one(field, value, shape))
}

/// Checks that entries are sorted by `key` and unique.
pub(super) fn ordered<'t, T, K: Ord>(
    field: &'static str,
    list: &'t [T],
    key: impl Fn(&'t T) -> K,
) -> Result<(), LeafError> {
    if list.is_sorted_by(|a, b| key(a) < key(b)) { Ok(()) } else { Err(LeafError::Unordered { field }) }
}

/// Checks that there are at most [`super::MAX_ENTRIES`] entries.
pub(super) fn few<T>(field: &'static str, list: &[T]) -> Result<(), LeafError> {
    ensure(list.len() <= super::MAX_ENTRIES, field, "a list of at most 16 entries")
}

/// Checks that there are at most [`super::MAX_COUNTS`] entries.
pub(super) fn many<T>(field: &'static str, list: &[T]) -> Result<(), LeafError> {
    ensure(list.len() <= super::MAX_COUNTS, field, "a list of at most 40 entries")
}

/// Checks the value of a recorded attribute, which must have the only spelling of its type.
pub(super) fn attribute(kind: AttributeType, value: &str) -> Result<(), LeafError> {
    let fits = match kind {
        AttributeType::Boolean => matches!(value, "true" | "false"),
        AttributeType::Integer => value.parse::<i64>().is_ok_and(|number| number.to_string() == value),
        AttributeType::Word => Shape::Token.fits(value),
    };
    ensure(
        fits,
        "context.value",
        match kind {
            AttributeType::Boolean => "true or false",
            AttributeType::Integer => "a signed 64-bit integer as a string of decimal digits",
            AttributeType::Word => Shape::Token.words(),
        },
    )
}
