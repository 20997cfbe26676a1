//! Credentials and receipts: what is signed, and the one place that says whether a token holds.
//!
//! A *credential* is held by an instance and good for Decide, delegation and introspection. A *receipt* shows a tool
//! that one call was allowed, and is good for nothing else. Both are JWTs signed with ES256; the header's `typ` tells
//! them apart and is checked everywhere, so neither can stand in for the other.

mod claims;
mod consistency;
mod digest;
mod json;
mod key;
mod keyset;
mod refusal;
mod sign;
mod verified;
mod verify;

pub use claims::{Act, AllowedCall, Audience, Claims, Grant, ReceiptClaims};
pub use digest::Digest;
pub use key::{KeyError, SigningKey, VerifyingKey};
pub use keyset::{KeySet, KeyStanding};
pub use refusal::{ReceiptRefusal, Refusal};
pub use sign::{SignError, sign_credential, sign_receipt};
pub use verified::{Verified, VerifiedReceipt};
pub use verify::{Expect, verify_credential, verify_receipt};

/// The header's `typ` of a credential (RFC 9068).
pub const TYP_CREDENTIAL: &str = "at+jwt";
/// The header's `typ` of a receipt.
pub const TYP_RECEIPT: &str = "countersign-receipt+jwt";
/// Longest token, bytes.
pub const MAX_TOKEN: usize = 8 * 1024;
/// How far a verifier's clock may be off, seconds.
pub const LEEWAY: i64 = 5;
/// Longest life of a receipt, seconds.
pub const MAX_RECEIPT_TTL: u32 = 30;

#[cfg(test)]
mod tests;
