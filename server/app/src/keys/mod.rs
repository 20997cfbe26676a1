//! Signing keys and the key-encryption key.

pub(crate) mod mark_key_compromised;
pub(crate) mod past_keys;
pub(crate) mod rewrap;
pub(crate) mod rotate_signing_key;
pub(crate) mod signing_keys;
