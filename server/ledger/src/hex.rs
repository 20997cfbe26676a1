//! Lower-case hexadecimal, the only spelling of hashes and salts.

use std::str;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes `bytes` into `buffer`, which is twice as long, and returns it as text.
pub(crate) fn encode_into<'a>(bytes: &[u8], buffer: &'a mut [u8]) -> &'a str {
    for (byte, pair) in bytes.iter().zip(buffer.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
    str::from_utf8(buffer).unwrap_or_default()
}

/// Reads exactly `N` bytes. Upper-case digits are refused, so that each value has one spelling.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

const fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}
