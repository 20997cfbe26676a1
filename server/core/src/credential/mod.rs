//! Credentials and receipts: their signed claims, and the only place that decides whether a token is valid. This file
//! has the `typ` of each kind of token, the longest token, the leeway for clocks, and the longest life of a receipt.
//!
//! A *credential* is held by an instance, and is valid for Decide, delegation and introspection. A *receipt* shows a
//! tool that one call was allowed, and has no other use. A *JWT-SVID* proves an instance's SPIFFE ID to others, and has
//! no use here. All are JWTs signed with ES256. The header's `typ` tells them apart and is checked everywhere, so none
//! can be used in place of another.

mod claims;
mod consistency;
mod digest;
mod jwt_svid;
mod key;
mod keyset;
mod receipt;
mod refusal;
mod sign;
mod verified;
mod verify;

pub use claims::{Act, Audience, Claims, Grant};
pub use digest::Digest;
pub use jwt_svid::JwtSvidClaims;
pub use key::{KeyError, SigningKey, VerifyingKey};
pub use keyset::{KeySet, KeyStanding};
pub use receipt::{AllowedCall, ReceiptClaims, VerifiedReceipt};
pub use refusal::{ReceiptRefusal, Refusal};
pub use sign::{SignError, sign_credential, sign_jwt_svid, sign_receipt};
pub use verified::Verified;
pub use verify::{Expect, verify_credential, verify_receipt};

/// The header's `typ` of a credential (RFC 9068).
pub const TYP_CREDENTIAL: &str = "at+jwt";
/// The header's `typ` of a receipt.
pub const TYP_RECEIPT: &str = "countersign-receipt+jwt";
/// The header's `typ` of a JWT-SVID, as SPIFFE fixes it.
pub const TYP_JWT_SVID: &str = "JWT";
/// Longest token, bytes.
pub const MAX_TOKEN: usize = 8 * 1024;
/// How much a verifier's clock may differ, in seconds.
pub const LEEWAY: i64 = 5;
/// Longest life of a receipt, seconds.
pub const MAX_RECEIPT_TTL: u32 = 30;

#[cfg(test)]
mod tests;
