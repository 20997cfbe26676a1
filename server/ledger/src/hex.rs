//! Lower-case hexadecimal, the only spelling of hashes and salts.

use std::str;

/// Writes `bytes` into `buffer`, which is twice as long, and returns it as text.
pub(crate) fn encode_into<'a>(bytes: &[u8], buffer: &'a mut [u8]) -> &'a str {
    let fits = hex::encode_to_slice(bytes, buffer).is_ok();
    debug_assert!(fits, "the buffer is twice as long");
    str::from_utf8(buffer).unwrap_or_default()
}

/// Reads exactly `N` bytes. Upper-case digits are refused, so that each value has one spelling.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let lower = !text.bytes().any(|letter| letter.is_ascii_uppercase());
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}
