//! Checks numbers: at most 2^53-1, and their canonical form must have the same decimal value as their text, so that no
//! parser rounds them.

/// Largest integer, positive or negative, that every JSON parser reads exactly: 2^53-1.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
/// The same as a double.
pub(super) const MAX: f64 = 9_007_199_254_740_991.0;

/// The message for a number that is refused.
pub(super) const TOO_LARGE: &str = "it is a number beyond 2^53-1, which other parsers round; send it as a string";
const ROUNDED: &str =
    "it is a number with more digits than a double holds, which other parsers round; send it as a string";

/// Refuses a number whose text has another value than the double that it is read as.
pub(super) fn survives(token: &str, value: f64) -> Result<(), &'static str> {
    if !(-MAX..=MAX).contains(&value) {
        return Err(TOO_LARGE);
    }
    let integer = token.strip_prefix('-').unwrap_or(token);
    // Within the limit every integer is exactly a double.
    if integer.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    // The form in which it is hashed: if two shortest forms are equally near, Rust's `Display` takes the other one.
    let written = serde_json_canonicalizer::to_string(&value).map_err(|_| ROUNDED)?;
    if decimal(token) == decimal(&written) { Ok(()) } else { Err(ROUNDED) }
}

/// A decimal number as its digits without zeros at either end, and the power of ten of the last one. Zero has no
/// digits. `None` if the exponent is beyond all doubles, which no written double has.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
    if digits.is_empty() {
        return Some((false, digits, 0));
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let shift = i64::try_from(zeros).ok()? - i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
    Some((negative, digits, exponent))
}

/// The number tokens of a JSON text, in order.
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    pub(super) const fn of(text: &'t str) -> Self {
        Self { text, at: 0 }
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => self.at = end_of_string(bytes, self.at + 1),
                b'-' | b'0'..=b'9' => {
                    let rest = &self.text[self.at..];
                    let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    let length = rest.bytes().position(|byte| !part(&byte)).unwrap_or(rest.len());
                    self.at += length;
                    return Some(&rest[..length]);
                }
                _ => self.at += 1,
            }
        }
        None
    }
}

/// The position after a string's closing quote.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}
