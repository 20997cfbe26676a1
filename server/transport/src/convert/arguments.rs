//! Arguments that come with a call, for a person to see who is asked about it.

use countersign_core::approval::Private;
use serde_json::Value;

use super::{neighbour::sha256, violations::Violations};

/// Longest arguments, bytes.
const MAX_ARGUMENTS: usize = 8 << 10;
/// Largest whole number that every JSON reader and writer has the same of.
const MAX_WHOLE: u64 = (1 << 53) - 1;

impl Violations {
    /// Arguments; empty: none. They must be what `request_hash` is the hash of, in the one form that there is.
    #[expect(clippy::option_option, reason = "wrong, absent, or there")]
    pub(super) fn arguments(&mut self, arguments: String, request_hash: Option<[u8; 32]>) -> Option<Option<Private>> {
        if arguments.is_empty() {
            return Some(None);
        }
        match wrong(&arguments, request_hash) {
            None => Some(Some(Private(arguments))),
            Some(why) => {
                self.refuse("arguments", why);
                None
            }
        }
    }
}

/// What is wrong with them, without a word of what they say.
fn wrong(arguments: &str, request_hash: Option<[u8; 32]>) -> Option<String> {
    if arguments.len() > MAX_ARGUMENTS {
        return Some(format!("must be at most {MAX_ARGUMENTS} bytes, is {}", arguments.len()));
    }
    let Some(request_hash) = request_hash else {
        return Some("must come with request_hash, the SHA-256 of exactly these bytes".to_owned());
    };
    let value = serde_json::from_str::<Value>(arguments).ok().filter(every_number_is_one);
    let canonical = value.and_then(|value| serde_json_canonicalizer::to_string(&value).ok());
    if canonical.as_deref() != Some(arguments) {
        return Some("must be canonical JSON (RFC 8785), with whole numbers up to 2^53 - 1".to_owned());
    }
    (sha256(&[arguments.as_bytes()]) != request_hash).then(|| {
        "do not hash to request_hash, which must be the SHA-256 of exactly these bytes, without a salt".to_owned()
    })
}

/// Whether no number of it means another one to another reader.
fn every_number_is_one(value: &Value) -> bool {
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(whole), ..) => whole <= MAX_WHOLE,
            (_, Some(whole), _) => whole.unsigned_abs() <= MAX_WHOLE,
            (.., Some(fraction)) => {
                fraction.is_finite() && (fraction.fract() != 0.0 || fraction.abs() <= 9_007_199_254_740_991.0)
            }
            _ => false,
        },
        Value::Array(items) => items.iter().all(every_number_is_one),
        Value::Object(fields) => fields.values().all(every_number_is_one),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_arguments_that_are_hashed_are_taken() {
        let hash = |text: &str| Some(sha256(&[text.as_bytes()]));
        for good in [r#"{"amount":500,"to":"\u0000b"}"#, "[]", "null", r#"{"x":0.5}"#, r#"{"n":9007199254740991}"#] {
            assert_eq!(wrong(good, hash(good)), None, "{good}");
        }
        for bad in [
            r#"{"to": "b"}"#,
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":12345678901234567000}"#,
            r#"{"a":1e300}"#,
            r#"{"a":"\u0062"}"#,
            "{",
            "",
            " {}",
        ] {
            assert!(wrong(bad, hash(bad)).is_some_and(|why| why.contains("canonical")), "{bad}");
        }
        assert!(wrong("{}", None).is_some_and(|why| why.contains("request_hash")));
        assert!(wrong("{}", hash("[]")).is_some_and(|why| why.contains("do not hash")));
        let long = format!("\"{}\"", "x".repeat(MAX_ARGUMENTS));
        assert!(wrong(&long, hash(&long)).is_some_and(|why| why.contains("8192 bytes")));
    }
}
