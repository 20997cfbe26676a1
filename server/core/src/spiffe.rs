//! SPIFFE: the trust domain, the ids of instances in it, and the lifetime of a document that proves an id.
//!
//! Follows SPIFFE-ID (sections 2.1 to 2.4). An instance's id is `spiffe://<trust domain>/instance/<agent_instance_id>`
//! and nothing more: names of sponsors and agents may contain `@`, which a path may not.

use std::{collections::HashSet, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{grant::HARD_MAX_TTL, ids::InstanceId, violation::Violation};

/// Longest trust domain in bytes (the limit of RFC 3986 for a host).
pub const MAX_TRUST_DOMAIN: usize = 255;
/// Limit of the audiences of one JWT-SVID. One is best, because each of several can present the token to the others.
pub const MAX_AUDIENCES: usize = 8;
/// Longest audience, bytes.
pub const MAX_AUDIENCE: usize = 255;

/// The text is not a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_TRUST_DOMAIN} characters of a-z 0-9 . _ -, such as agents.example.com")]
pub struct InvalidTrustDomain;

/// The trust domain of SPIFFE IDs: the authority of the URI, without user or port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The domain as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain of an issuer's URL, which is its host. `None` if the issuer is not a URL, or its host is not a trust
    /// domain, as an IPv6 address is not.
    #[must_use]
    pub fn of_issuer(issuer: &str) -> Option<Self> {
        let (scheme, rest) = issuer.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.split_once(':').map_or(authority, |(host, _)| host);
        host.to_ascii_lowercase().parse().ok()
    }

    /// The id of the domain itself, which its certificate authorities have.
    #[must_use]
    pub fn id(&self) -> SpiffeId {
        SpiffeId(format!("spiffe://{self}"))
    }

    /// The id of an instance.
    #[must_use]
    pub fn instance(&self, instance: InstanceId) -> SpiffeId {
        SpiffeId(format!("spiffe://{self}/instance/{instance}"))
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidTrustDomain;
    fn from_str(text: &str) -> Result<Self, InvalidTrustDomain> {
        let fits = (1..=MAX_TRUST_DOMAIN).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        if fits { Ok(Self(text.into())) } else { Err(InvalidTrustDomain) }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SPIFFE ID of this installation. Only a [`TrustDomain`] creates one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpiffeId(String);

impl SpiffeId {
    /// The id as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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

/// From when to when a document is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Set back, for verifiers whose clocks are behind.
    pub begin: OffsetDateTime,
    /// Never after the credential's end.
    pub end: OffsetDateTime,
}

/// The lifetime of a document that is based on a credential which ends at `credential_end`, in whole seconds: `asked`
/// seconds from `now`, or if it is not given `default`, or the rest of the credential if that is less. With `backdate`
/// it is at most [`HARD_MAX_TTL`]. A request that is too long is refused, never clamped.
pub fn lifetime(
    asked: Option<i64>,
    default: u32,
    credential_end: OffsetDateTime,
    backdate: u32,
    now: OffsetDateTime,
) -> Result<Lifetime, Violation> {
    let now = OffsetDateTime::from_unix_timestamp(now.unix_timestamp()).unwrap_or(now);
    let longest = i64::from(HARD_MAX_TTL - backdate).min((credential_end - now).whole_seconds());
    let ttl = match asked {
        Some(asked) if (1..=longest).contains(&asked) => asked,
        Some(asked) => {
            let why = format!(
                "must be 1 s to {longest} s, is {asked} s: an SVID ends with its credential, and after \
                 {HARD_MAX_TTL} s at the latest"
            );
            return Err(Violation::new("ttl", why));
        }
        None => longest.min(default.into()),
    };
    Ok(Lifetime { begin: now - Duration::seconds(backdate.into()), end: now + Duration::seconds(ttl) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

    #[test]
    fn a_trust_domain_is_what_the_standard_calls_one() {
        for good in ["example.com", "10.0.0.1", "a", "prod_eu-1.example.org", &"x".repeat(255)] {
            assert_eq!(good.parse::<TrustDomain>().unwrap().as_str(), good);
        }
        for bad in ["", "Example.com", "example.com:8443", "a@b", "a/b", "a%20b", "[::1]", "bücher", &"x".repeat(256)]
        {
            assert_eq!(bad.parse::<TrustDomain>(), Err(InvalidTrustDomain), "{bad}");
        }
    }

    #[test]
    fn an_issuers_host_is_the_default() {
        for (issuer, domain) in [
            ("https://id.example.com", Some("id.example.com")),
            ("HTTPS://ID.Example.com:8443/realms/a?b#c", Some("id.example.com")),
            ("http://10.0.0.1:8080", Some("10.0.0.1")),
            ("agent-token-svc", None),
            ("https://[::1]:8443", None),
            ("https://user@example.com", None),
            ("https:///path", None),
            ("urn:example:issuer", None),
            ("spiffe://example.com", None),
        ] {
            assert_eq!(TrustDomain::of_issuer(issuer).as_ref().map(TrustDomain::as_str), domain, "{issuer}");
        }
    }

    #[test]
    fn an_id_names_the_instance_alone() {
        let domain: TrustDomain = "example.com".parse().unwrap();
        let id = domain.instance(InstanceId(Uuid::nil()));
        assert_eq!(id.as_str(), "spiffe://example.com/instance/inst_00000000-0000-0000-0000-000000000000");
        assert_eq!(domain.id().as_str(), "spiffe://example.com");
    }

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

    #[test]
    fn a_life_that_does_not_fit_is_refused_and_never_clamped() {
        let end = NOW + Duration::seconds(250);
        let ends = |asked, default| lifetime(asked, default, end, 2, NOW).map(|life| (life.end - NOW).whole_seconds());
        assert_eq!((ends(None, 300), ends(None, 100)), (Ok(250), Ok(100)));
        assert_eq!((ends(Some(1), 300), ends(Some(250), 300)), (Ok(1), Ok(250)));
        for wrong in [0, -1, 251, 900, i64::MAX, i64::MIN] {
            assert_eq!(ends(Some(wrong), 300).unwrap_err().field, "ttl", "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_document_outlives_its_credential_or_900_seconds(
            asked in proptest::option::of(-5i64..2_000), left in 1i64..2_000, backdate in 0u32..60, millis in 0i64..1_000,
        ) {
            // A credential ends at a whole second, and `now` is any time before it.
            let (end, now) = (NOW + Duration::seconds(left), NOW + Duration::milliseconds(millis.min(left * 1_000 - 1)));
            if let Ok(life) = lifetime(asked, 300, end, backdate, now) {
                prop_assert!(life.end <= end && life.end > now);
                prop_assert!(life.end - life.begin <= Duration::seconds(900));
                prop_assert!(life.begin <= now);
            } else {
                prop_assert!(asked.is_some());
            }
        }
    }
}
