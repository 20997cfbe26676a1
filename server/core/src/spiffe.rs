//! SPIFFE: the trust domain (its permitted form, and the one of an issuer's URL), and the SPIFFE IDs of the domain and
//! of the instances in it.
//!
//! Follows SPIFFE-ID (sections 2.1 to 2.4). An instance's id is `spiffe://<trust domain>/instance/<agent_instance_id>`
//! and nothing more: names of sponsors and agents may contain `@`, which a path may not.

mod audience;
mod lifetime;

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::ids::InstanceId;

pub use audience::{InvalidAudience, MAX_AUDIENCE, MAX_AUDIENCES, OwnNames, SvidAudience};
pub use lifetime::{Lifetime, lifetime};

/// Longest trust domain in bytes (the limit of RFC 3986 for a host).
pub const MAX_TRUST_DOMAIN: usize = 255;
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

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
}
