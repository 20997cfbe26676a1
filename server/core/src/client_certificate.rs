//! The names in client certificates (mTLS): subject alternative names `uri:`, `dns:` and `email:`, their permitted form
//! and length, and how they are compared (host names without regard to case, wildcards literally).

use std::{fmt, str::FromStr};

use time::OffsetDateTime;

/// Longest name that is compared, in bytes.
const MAX_NAME: usize = 512;

/// One subject alternative name. Two are equal if their spelling is equal; host names are compared without regard to
/// case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectAltName {
    /// A URI, such as `spiffe://example.org/gateway`.
    Uri(String),
    /// A host name in lower case. A wildcard is compared literally and matches no other name.
    Dns(String),
    /// An e-mail address.
    Email(String),
}

impl SubjectAltName {
    /// A host name.
    #[must_use]
    pub fn dns(name: &str) -> Self {
        Self::Dns(name.to_ascii_lowercase())
    }
}

/// The text is not a subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be uri:, dns: or email: and a name without blanks, such as dns:gateway.example.com")]
pub struct InvalidName;

impl FromStr for SubjectAltName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (kind, name) = text.split_once(':').ok_or(InvalidName)?;
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidName);
        }
        match kind {
            "uri" => Ok(Self::Uri(name.to_owned())),
            "dns" => Ok(Self::dns(name)),
            "email" => Ok(Self::Email(name.to_owned())),
            _ => Err(InvalidName),
        }
    }
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(name) => write!(f, "uri:{name}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Email(name) => write!(f, "email:{name}"),
        }
    }
}

/// The verified certificate of a client that has proved that it has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The names that the certificate is for.
    pub names: Vec<SubjectAltName>,
    /// When the certificate expires.
    pub expire_time: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_by_kind_and_compared_as_spelled() {
        let name = |text: &str| text.parse::<SubjectAltName>();
        for text in ["uri:spiffe://example.org/gate", "dns:gate.example.org", "email:Ada@example.org"] {
            assert_eq!(name(text).unwrap().to_string(), text);
        }
        assert_eq!(name("dns:Gate.Example.Org"), name("dns:gate.example.org"));
        assert_ne!(name("email:ada@example.org"), name("email:Ada@example.org"));
        assert_ne!(name("uri:gate.example.org"), name("dns:gate.example.org"));
        for bad in
            ["", "gate.example.org", "dns:", "dns:a b", "ip:127.0.0.1", "DNS:x", &format!("dns:{}", "x".repeat(513))]
        {
            assert_eq!(name(bad), Err(InvalidName), "{bad}");
        }
    }
}
