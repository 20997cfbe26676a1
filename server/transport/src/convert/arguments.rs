//! Arguments of a call, for the person who is asked to approve it: the most bytes (`MAX_ARGUMENTS`), that they are
//! canonical JSON (RFC 8785), and that `request_hash` is their SHA-256.

use countersign_core::{approval::Private, json};

use super::violations::{Refused, Violations};

/// Longest arguments, bytes.
pub(crate) const MAX_ARGUMENTS: usize = 8 << 10;

impl Violations {
    /// Reads the arguments; `None` if they are empty. `request_hash` must be the hash of their canonical form.
    pub(super) fn arguments(
        &mut self,
        arguments: String,
        request_hash: Option<[u8; 32]>,
    ) -> Result<Option<Private>, Refused> {
        if arguments.is_empty() {
            return Ok(None);
        }
        match wrong(&arguments, request_hash) {
            None => Ok(Some(Private(arguments))),
            Some(why) => Err(self.refuse("arguments", why)),
        }
    }
}

/// What is wrong with the arguments, without repeating any of them.
fn wrong(arguments: &str, request_hash: Option<[u8; 32]>) -> Option<String> {
    if arguments.len() > MAX_ARGUMENTS {
        return Some(format!("must be at most {MAX_ARGUMENTS} bytes, is {}", arguments.len()));
    }
    let Some(request_hash) = request_hash else {
        return Some("must come with request_hash, the SHA-256 of exactly these bytes".to_owned());
    };
    let canonical = match json::canonical(arguments.as_bytes()) {
        Ok(canonical) => canonical,
        Err(refused) if refused.path.is_empty() => return Some(format!("must be canonical JSON: {}", refused.why)),
        Err(refused) => return Some(format!("must be canonical JSON (at {}: {})", refused.path, refused.why)),
    };
    if canonical.bytes != arguments.as_bytes() {
        return Some("must be canonical JSON (RFC 8785)".to_owned());
    }
    (canonical.sha256 != request_hash).then(|| {
        "do not hash to request_hash, which must be the SHA-256 of exactly these bytes, without a salt".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::sha256;

    #[test]
    fn only_canonical_arguments_that_are_hashed_are_taken() {
        let hash = |text: &str| Some(sha256(&[text.as_bytes()]));
        for good in [r#"{"amount":500,"to":"\u0000b"}"#, "{}", r#"{"x":0.5}"#, r#"{"n":9007199254740991}"#] {
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
            "[]",
            "null",
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
