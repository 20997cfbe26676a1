//! Salted commitments: a leaf names a free text without holding it, so that the text can be erased and every proof
//! still verifies.

use aws_lc_rs::digest::{Context, SHA256};

use crate::merkle::finish;

/// Length of a salt, bytes.
pub const SALT_LEN: usize = 16;

/// SHA-256(salt || text). The salt is random and fresh for every event: without it a short text could be guessed.
#[must_use]
pub fn commitment(salt: &[u8; SALT_LEN], text: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(text.as_bytes());
    finish(context)
}

/// What opens a commitment: the text and its salt. Erasing either closes it for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The salt the text was committed with.
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

/// The text behind `identity_commitment`: who the sponsor is, as one line each of display name and e-mail address.
///
/// Neither may hold a line feed, so two different people never share a text.
#[must_use]
pub fn identity_text(display_name: &str, email: &str) -> String {
    format!("{display_name}\n{email}")
}
