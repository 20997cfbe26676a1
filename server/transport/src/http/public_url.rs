//! The base URL of everything that a server publishes about itself, and which texts can be one (`public_url`): http or
//! https, without query, fragment and user, and with a plain path.

use http::Uri;

/// A URL that fulfils the rules for an issuer of RFC 8414, section 2: http(s), no query, no fragment; and with a path
/// that is plain enough to be a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    /// Without a slash at its end.
    pub(crate) url: String,
    /// Usually empty.
    pub(crate) path: String,
}

impl PublicUrl {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let path = uri.path().trim_end_matches('/');
        let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte));
        let web = matches!(uri.scheme_str(), Some("https" | "http"));
        let bare = !text.contains(['?', '#', '@']) && !path.contains("//") && !path.contains("/.well-known");
        (web && plain && bare).then(|| Self { url: text.trim_end_matches('/').to_owned(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_url_says_where_everything_is() {
        for (text, base) in [
            ("https://id.example.com", Some(("https://id.example.com", ""))),
            ("https://id.example.com/", Some(("https://id.example.com", ""))),
            ("https://example.com:8443/agents/v1", Some(("https://example.com:8443/agents/v1", "/agents/v1"))),
            ("https://example.com/agents/", Some(("https://example.com/agents", "/agents"))),
            ("http://127.0.0.1:8080", Some(("http://127.0.0.1:8080", ""))),
            ("agent-token-svc", None),
            ("/agents", None),
            ("urn:example:agents", None),
            ("ftp://example.com", None),
            ("https://", None),
            ("https://example.com?tenant=1", None),
            ("https://example.com/#agents", None),
            ("https://user@example.com", None),
            ("https://example.com/{tenant}", None),
            ("https://example.com/:tenant", None),
            ("https://example.com//agents", None),
            ("https://example.com/.well-known", None),
        ] {
            let found = PublicUrl::parse(text);
            assert_eq!(found.as_ref().map(|base| (base.url.as_str(), base.path.as_str())), base, "{text}");
        }
    }
}
