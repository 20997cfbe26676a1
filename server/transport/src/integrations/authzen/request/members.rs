//! Reads the members of a JSON object one by one. `null` counts as missing.

use countersign_ledger::leaf::Digest;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::convert::violations::Violations;

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// Longest id of a subject or resource, bytes; longer than any token.
pub(super) const MAX_ID: usize = 16 * 1024;

/// A member that is present; null counts as missing.
pub(super) fn member<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

pub(super) fn refuse<T>(v: &mut Violations, field: &str, description: impl Into<String>) -> Option<T> {
    v.refuse(field, description);
    None
}

pub(super) fn mistyped<T>(v: &mut Violations, field: &str, wanted: &str) -> Option<T> {
    refuse(v, field, format!("must be {wanted}"))
}

pub(super) fn object<'a>(v: &mut Violations, field: &str, value: Option<&'a Value>) -> Option<&'a Object> {
    match value {
        Some(Value::Object(object)) => Some(object),
        Some(_) => mistyped(v, field, "an object"),
        None => refuse(v, field, "is required"),
    }
}

#[expect(clippy::option_option, reason = "wrong, absent, or there")]
pub(super) fn properties<'a>(v: &mut Violations, of: &'a Object) -> Option<Option<&'a Object>> {
    match member(of, "properties") {
        None => Some(None),
        value => object(v, "properties", value).map(Some),
    }
}

pub(super) fn required<'a>(v: &mut Violations, of: &'a Object, name: &str) -> Option<&'a str> {
    match text(v, name, member(of, name))? {
        None | Some("") => refuse(v, name, "is required"),
        Some(text) if text.len() > MAX_ID => refuse(v, name, format!("must be at most {MAX_ID} bytes")),
        Some(text) => Some(text),
    }
}

#[expect(clippy::option_option, reason = "wrong, absent, or there")]
pub(super) fn text<'a>(v: &mut Violations, field: &str, value: Option<&'a Value>) -> Option<Option<&'a str>> {
    match value {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => mistyped(v, field, "a string"),
    }
}

pub(super) fn flag(v: &mut Violations, field: &str, value: Option<&Value>) -> Option<bool> {
    match value {
        None => Some(false),
        Some(Value::Bool(flag)) => Some(*flag),
        Some(_) => mistyped(v, field, "true or false"),
    }
}

#[expect(clippy::option_option, reason = "wrong, absent, or there")]
pub(super) fn hash(v: &mut Violations, field: &str, value: Option<&Value>) -> Option<Option<[u8; 32]>> {
    let Some(value) = value else { return Some(None) };
    match Digest::deserialize(value) {
        Ok(digest) => Some(Some(digest.0)),
        Err(_) => mistyped(v, field, "a SHA-256 hash, 64 lower-case hexadecimal digits"),
    }
}
