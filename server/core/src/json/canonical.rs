//! Canonical arguments: the RFC 8785 (JCS) form of one object, its largest size, and its SHA-256, which is the
//! `request_hash`.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Number, Value};

use super::{
    MAX_DEPTH, Refused, Rules,
    number::{MAX, MAX_INTEGER, TOO_LARGE},
    path::Path,
    read,
};

/// Most bytes of the canonical form.
pub const MAX_BYTES: usize = 1 << 20;

/// The canonical form and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    /// The RFC 8785 form.
    pub bytes: Vec<u8>,
    /// SHA-256 of the bytes, which is a `request_hash`.
    pub sha256: [u8; 32],
}

/// The canonical form of arguments in a text.
pub fn canonical(text: &[u8]) -> Result<Canonical, Refused> {
    match read(text, Rules::STRICT)? {
        Value::Object(object) => canonical_object(&object),
        _ => Err(Refused::new("", "it must be a JSON object")),
    }
}

/// The canonical form of arguments that were already read. A value no longer shows how its numbers were written, so
/// read a text with [`read`] first, or use [`canonical`].
pub fn canonical_object(object: &Map<String, Value>) -> Result<Canonical, Refused> {
    check_object(object, 1).map_err(|found| Refused::new(found.path.to_string(), found.why))?;
    let bytes = serde_json_canonicalizer::to_vec(object)
        .map_err(|_| Refused::new("", "it has no canonical form (RFC 8785)"))?;
    if bytes.len() > MAX_BYTES {
        return Err(Refused::new("", "it is longer than 1 MiB in canonical form"));
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, &bytes).as_ref());
    Ok(Canonical { bytes, sha256 })
}

/// What is wrong below a value.
struct Found {
    /// What is wrong in a value, and the path to it.
    path: Path,
    why: String,
}

fn check_object(object: &Map<String, Value>, depth: usize) -> Result<(), Found> {
    fits(depth)?;
    let mut members = object.iter();
    members.try_for_each(|(key, value)| {
        check(value, depth).map_err(|mut found| {
            found.path.below_key(key);
            found
        })
    })
}

/// `depth`: how many objects and arrays contain it.
fn check(value: &Value, depth: usize) -> Result<(), Found> {
    match value {
        Value::Object(object) => check_object(object, depth + 1),
        Value::Array(items) => {
            fits(depth + 1)?;
            let mut items = items.iter().enumerate();
            items.try_for_each(|(nth, item)| {
                check(item, depth + 1).map_err(|mut found| {
                    found.path.below_index(nth);
                    found
                })
            })
        }
        Value::Number(number) if !is_exact(number) => Err(Found { path: Path::default(), why: TOO_LARGE.to_owned() }),
        _ => Ok(()),
    }
}

fn fits(depth: usize) -> Result<(), Found> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    Err(Found { path: Path::default(), why: format!("it is nested deeper than {MAX_DEPTH}") })
}

fn is_exact(number: &Number) -> bool {
    if let Some(integer) = number.as_i64() {
        return integer.unsigned_abs() <= MAX_INTEGER;
    }
    number.is_f64() && number.as_f64().is_some_and(|value| (-MAX..=MAX).contains(&value))
}
