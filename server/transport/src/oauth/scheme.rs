//! The ways in which an OAuth client authenticates.

/// How a client authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Not at all. Dev mode lets some callers in.
    None,
    /// With an API key or a credential as in RFC 6750.
    Bearer,
    /// `client_secret_basic`: an API key.
    Basic,
    /// `client_secret_post`: an API key.
    Post,
    /// With the subject token of a token exchange: the instance itself delegates.
    Subject,
}
