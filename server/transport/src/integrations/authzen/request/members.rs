//! Reads the members of a JSON object of AuthZEN one by one, and the longest id (`MAX_ID`). `null` counts as missing.

use countersign_ledger::leaf::Digest;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::convert::violations::{Refused, Violations};

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// Longest id of a subject or resource, bytes; longer than any token.
pub(super) const MAX_ID: usize = 16 * 1024;

/// A member that is present; null counts as missing.
pub(super) fn member<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

pub(super) fn mistyped(v: &mut Violations, field: &str, wanted: &str) -> Refused {
    v.refuse(field, format!("must be {wanted}"))
}

pub(super) fn object<'a>(v: &mut Violations, field: &str, value: Option<&'a Value>) -> Result<&'a Object, Refused> {
    match value {
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(mistyped(v, field, "an object")),
        None => Err(v.refuse(field, "is required")),
    }
}

pub(super) fn properties<'a>(v: &mut Violations, of: &'a Object) -> Result<Option<&'a Object>, Refused> {
    match member(of, "properties") {
        None => Ok(None),
        value => object(v, "properties", value).map(Some),
    }
}

pub(super) fn required<'a>(v: &mut Violations, of: &'a Object, name: &str) -> Result<&'a str, Refused> {
    match text(v, name, member(of, name))? {
        None | Some("") => Err(v.refuse(name, "is required")),
        Some(text) if text.len() > MAX_ID => Err(v.refuse(name, format!("must be at most {MAX_ID} bytes"))),
        Some(text) => Ok(text),
    }
}

pub(super) fn text<'a>(v: &mut Violations, field: &str, value: Option<&'a Value>) -> Result<Option<&'a str>, Refused> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(mistyped(v, field, "a string")),
    }
}

pub(super) fn flag(v: &mut Violations, field: &str, value: Option<&Value>) -> Result<bool, Refused> {
    match value {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(mistyped(v, field, "true or false")),
    }
}

pub(super) fn hash(v: &mut Violations, field: &str, value: Option<&Value>) -> Result<Option<[u8; 32]>, Refused> {
    let Some(value) = value else { return Ok(None) };
    match Digest::deserialize(value) {
        Ok(digest) => Ok(Some(digest.0)),
        Err(_) => Err(mistyped(v, field, "a SHA-256 hash, 64 lower-case hexadecimal digits")),
    }
}
