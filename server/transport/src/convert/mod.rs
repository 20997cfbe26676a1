//! Conversion between the contract's messages and the domain, one file per resource. A number that is too large for the
//! contract is shown as its maximum.
//!
//! Requests are read with [`read`], which refuses them with *all* their violations at once. Nothing here panics,
//! whatever a message contains: a property test puts arbitrary values into every field of every request.

pub(crate) mod approval;
pub(crate) mod arguments;
pub(crate) mod cache_extension;
pub(crate) mod credential;
pub(crate) mod custody;
pub(crate) mod decision;
mod enums;
pub(crate) mod event;
pub(crate) mod idempotency;
pub(crate) mod instance;
pub(crate) mod key;
pub(crate) mod kill_switch;
pub(crate) mod operator;
pub(crate) mod page;
pub(crate) mod policy;
pub(crate) mod proof;
pub(crate) mod provenance;
#[cfg(any(test, fuzzing))]
pub(crate) mod readers;
pub(crate) mod rollout;
pub(crate) mod rollout_report;
pub(crate) mod simulation;
pub(crate) mod sponsor;
pub(crate) mod status;
mod structure;
pub(crate) mod svid;
pub(crate) mod time;
pub(crate) mod violations;

pub(crate) use violations::{Refused, read};

use aws_lc_rs::digest;

/// A number of the domain in the contract's narrower type. The domain's limits keep it in range; a larger number would
/// be shown as the maximum.
fn narrow<N: TryInto<i32>>(number: N) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// A count of the domain in the contract's type. A larger count is shown as the maximum.
pub(crate) fn wide(count: u64) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// An optional value in the contract's form: empty if it is missing.
fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A list of values in the contract's form.
fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

/// The SHA-256 of these bytes, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 is 32 bytes")
}

#[cfg(test)]
mod tests;
