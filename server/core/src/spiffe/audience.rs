//! The audience of a JWT-SVID: its form and length, how many a token may have, and which it must never have: a name of
//! this installation or its tools, in any spelling.

use std::{collections::HashSet, str::FromStr};

use serde::{Deserialize, Serialize};

/// Limit of the audiences of one JWT-SVID. One is best, because each of several can present the token to the others.
pub const MAX_AUDIENCES: usize = 8;
/// Longest audience, bytes.
pub const MAX_AUDIENCE: usize = 255;

/// The text is not an audience.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 1 to {MAX_AUDIENCE} visible ASCII characters other than \" and \\, such as spiffe://example.com/billing"
)]
pub struct InvalidAudience;

/// The audience of a JWT-SVID: an id of the service to which it will be presented.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SvidAudience(String);

impl SvidAudience {
    /// The audience as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The names of this installation and its tools, which must not be the audience of a document for other services.
#[derive(Debug, Default)]
pub struct OwnNames(HashSet<String>);

impl OwnNames {
    /// Adds a name.
    pub fn add(&mut self, name: &str) {
        self.0.insert(plain(name));
    }

    /// Whether the audience is one of the names, in any spelling, or an address below one that is a URL.
    #[must_use]
    pub fn has(&self, audience: &SvidAudience) -> bool {
        let audience = plain(audience.as_str());
        let below = |own: &String| {
            own.contains("://") && audience.strip_prefix(own).is_some_and(|rest| rest.starts_with(['/', '?', '#']))
        };
        self.0.contains(&audience) || self.0.iter().any(below)
    }
}

/// A name in one of the spellings that libraries treat as equal: lower case, percent escapes decoded, no meaningless
/// characters at the end, no default port.
fn plain(name: &str) -> String {
    let mut plain = unescaped(name).to_lowercase();
    plain.truncate(plain.trim_end_matches(['/', '.', '?', '#']).len());
    for (scheme, port) in [("https://", ":443"), ("http://", ":80")] {
        let Some(rest) = plain.strip_prefix(scheme) else { continue };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = authority.strip_suffix(port).unwrap_or(authority).trim_end_matches('.');
        return format!("{scheme}{host}{path}");
    }
    plain
}

/// Decodes percent escapes, including escaped escapes; everything else is unchanged.
fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    // Each round makes it shorter.
    loop {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            let escaped = if *first == b'%' { after.get(..2) } else { None };
            let byte = escaped.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
            bytes.push(byte.unwrap_or(*first));
            rest = if byte.is_some() { &after[2..] } else { after };
        }
        let read = String::from_utf8_lossy(&bytes).into_owned();
        if read.len() >= text.len() {
            return read;
        }
        text = read;
    }
}

impl FromStr for SvidAudience {
    type Err = InvalidAudience;
    fn from_str(text: &str) -> Result<Self, InvalidAudience> {
        let visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        let fits = (1..=MAX_AUDIENCE).contains(&text.len()) && text.bytes().all(visible);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidAudience) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_one_visible_word() {
        for good in ["reports", "spiffe://example.org/reports", "https://tool.example.com/?a=b&c"] {
            assert!(good.parse::<SvidAudience>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\"b", "a\\b", "bücher", &"x".repeat(256)] {
            assert_eq!(bad.parse::<SvidAudience>(), Err(InvalidAudience), "{bad}");
        }
    }

    #[test]
    fn an_own_name_is_found_however_it_is_spelt() {
        let mut own = OwnNames::default();
        for name in ["countersign", "https://id.example", "billing", "File.Store", "view:public"] {
            own.add(name);
        }
        for spelt in [
            "countersign",
            "Countersign",
            "COUNTERSIGN/",
            "countersign//",
            "countersign.",
            "%63ountersign",
            "%2563ountersign",
            "billing",
            "BILLING/",
            "billin%67",
            "file.store",
            "View:Public",
            "https://id.example",
            "HTTPS://ID.Example/",
            "https://id.example:443",
            "https://id.example.:443/",
            "https://id.example/oauth/token",
            "https://id.example?x",
        ] {
            assert!(own.has(&spelt.parse().unwrap()), "{spelt}");
        }
        for other in [
            "reports",
            "billing-api",
            "countersign-reports",
            "https://billing.example",
            "https://id.example.org",
            "https://id.example:8443",
            "spiffe://example.org/billing",
            "100%",
            "%zz",
        ] {
            assert!(!own.has(&other.parse().unwrap()), "{other}");
        }
    }
}
