//! Between the contract's messages and the domain, one file per resource.
//!
//! Requests are read with [`read`], which refuses them with *everything* that is wrong at once. Nothing here panics,
//! whatever a message holds: a property test throws arbitrary values at every field of every request.

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

/// A number of the domain in the contract's narrower type. The domain's bounds keep it inside; what is not is shown as the
/// largest.
fn narrow<N: TryInto<i32>>(number: N) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// A count of the domain in the contract's type. What is too large is shown as the largest.
pub(crate) fn wide(count: u64) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// A value that may be absent, as the contract writes it: empty.
fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Many values, as the contract writes them.
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
