//! Salted commitments: a leaf refers to a free text without containing it, so that the text can be erased and every
//! proof still verifies. This file has the hash, the length of a salt, and the text of a sponsor's identity. Which
//! texts of an event are committed to: `app/src/engine/custody_leaf.rs` for changes, `recorder/prepared_decision.rs` for
//! decisions, `recorder/record_grant.rs` for grants.

use aws_lc_rs::digest::{Context, SHA256};

use crate::merkle::finish;

/// Length of a salt, bytes.
pub const SALT_LEN: usize = 16;

/// SHA-256(salt || text). The salt is random and new for every event, because without it a short text could be guessed.
#[must_use]
pub fn commitment(salt: &[u8; SALT_LEN], text: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(text.as_bytes());
    finish(context)
}

/// The text and the salt that open a commitment. Erasing either closes it permanently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The salt of the commitment.
    pub salt: [u8; SALT_LEN],
    /// The text, exactly as committed.
    pub text: String,
}

impl Opening {
    /// The commitment that this opens.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        commitment(&self.salt, &self.text)
    }
}

/// The text behind `identity_commitment`: the sponsor's display name and e-mail address, each on one line.
///
/// Neither may contain a line feed, so two different persons never have the same text.
#[must_use]
pub fn identity_text(display_name: &str, email: &str) -> String {
    format!("{display_name}\n{email}")
}
