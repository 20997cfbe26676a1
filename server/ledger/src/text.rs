//! Numbers (decimal) and hashes (base64) in the only spelling that C2SP's texts have for them.

use base64::{Engine, engine::general_purpose::STANDARD};

/// Reads decimal digits without leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|value: &u64| value.to_string() == text)
}

/// Reads the canonical base64 of 32 bytes.
pub(crate) fn hash(text: &str) -> Option<[u8; 32]> {
    // 32 bytes are 44 characters: what is longer is not decoded.
    (text.len() == 44).then(|| STANDARD.decode(text).ok()?.try_into().ok()).flatten()
}
