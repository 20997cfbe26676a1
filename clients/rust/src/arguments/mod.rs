//! Canonical arguments: what a `request_hash` is the hash of.
//!
//! The arguments of a call are one JSON object, and their bytes are its RFC 8785 form, so that every language hashes the
//! same. A value that JSON cannot hold, or that another parser could read differently, is refused before anything is sent.
//! Nothing is ever coerced.

mod key;
mod serializer;
mod wrong;

use std::fmt;

use countersign_core::json::{self, Path, Refused};
use serde::Serialize;
use serde_json::Value;

use self::{serializer::Strict, wrong::Wrong};

/// The arguments have no canonical form. This is no denial: nothing was asked, and the call must not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnhashableArguments {
    /// Where: `items[2].amount`. Empty: the arguments as a whole.
    pub path: String,
    /// What is wrong there.
    pub why: String,
}

impl fmt::Display for UnhashableArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.why) } else { write!(f, "{}: {}", self.path, self.why) }
    }
}

impl std::error::Error for UnhashableArguments {}

/// The RFC 8785 form of `arguments`: a struct, or a map with string keys. Fields that are skipped are absent; `None` is null.
///
/// # Errors
/// Bytes, keys that are no strings, numbers that are not finite or beyond 2^53-1, nesting above 64, more than 1 MiB.
pub fn canonical_arguments<T: Serialize + ?Sized>(arguments: &T) -> Result<Vec<u8>, UnhashableArguments> {
    Ok(canonical(arguments)?.bytes)
}

/// SHA-256 of the canonical form: what `DecideRequest::request_hash` takes.
///
/// # Errors
/// As [`canonical_arguments`].
pub fn request_hash<T: Serialize + ?Sized>(arguments: &T) -> Result<[u8; 32], UnhashableArguments> {
    Ok(canonical(arguments)?.sha256)
}

/// The RFC 8785 form of arguments that came as JSON text, and its SHA-256.
///
/// # Errors
/// As [`canonical_arguments`]; and text that two parsers could read differently: a key twice, a number with more digits than
/// a double holds.
pub fn canonical_text(json: &[u8]) -> Result<(Vec<u8>, [u8; 32]), UnhashableArguments> {
    let json::Canonical { bytes, sha256 } = json::canonical(json)?;
    Ok((bytes, sha256))
}

fn canonical<T: Serialize + ?Sized>(arguments: &T) -> Result<json::Canonical, UnhashableArguments> {
    match arguments.serialize(Strict::top()).map_err(|Wrong { path, why }| unhashable(&path, why))? {
        Value::Object(object) => Ok(json::canonical_object(&object)?),
        _ => Err(unhashable(&Path::default(), "arguments are one JSON object".to_owned())),
    }
}

fn unhashable(path: &Path, why: String) -> UnhashableArguments {
    UnhashableArguments { path: path.to_string(), why }
}

impl From<Refused> for UnhashableArguments {
    fn from(Refused { path, why }: Refused) -> Self {
        Self { path, why }
    }
}

#[cfg(test)]
mod tests;
