//! The verifier that the server itself uses.
//!
//! A tool that gets a *receipt* with a call checks it with the installation's public keys alone:
//!
//! ```
//! use countersign_client::verify::{KeySet, verify_receipt};
//! use time::OffsetDateTime;
//!
//! /// Whether this very refund was allowed, and by which decision.
//! fn check(receipt: &str, keys: &KeySet, arguments_hash: [u8; 32], now: OffsetDateTime) -> Result<String, String> {
//!     let tool = "billing".parse().expect("a valid name");
//!     let action = "refund".parse().expect("a valid name");
//!     let receipt = verify_receipt(receipt, keys, "https://id.example", &tool, now).map_err(|no| no.to_string())?;
//!     if !receipt.covers(&action, &arguments_hash) {
//!         return Err("the receipt is for another call".to_owned());
//!     }
//!     // Remember the decision until the receipt expires: one receipt, one call.
//!     Ok(receipt.policy_decision_id.to_string())
//! }
//!
//! let refused = check("no receipt", &KeySet::default(), [0; 32], OffsetDateTime::UNIX_EPOCH);
//! assert_eq!(refused, Err("the token is malformed: it does not have three parts".to_owned()));
//! ```
//!
//! [`verify_credential`] says the same of credentials, and cannot see revocation. Who lets a call through on a credential
//! alone takes a [`Verifier`]: it follows the installation's revocations and public keys, and accepts nothing while it
//! cannot ([`STALENESS_BOUND`]). Asking `Decide` does all of it.

mod verifier;
mod view;

pub use countersign_core::credential::{
    Expect, KeyError, KeySet, KeyStanding, LEEWAY, ReceiptRefusal, Refusal, Verified, VerifiedReceipt, VerifyingKey,
    verify_credential, verify_receipt,
};
pub use verifier::Verifier;
pub use view::{Denied, STALENESS_BOUND};

pub use countersign_core::{
    clock::{Clock, SystemClock},
    decision::Reason,
    ids::{CredentialId, DecisionId, InstanceId},
    names::{ActionName, InvalidName, SponsorId, ToolId},
};
