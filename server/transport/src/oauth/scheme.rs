//! The ways in which an OAuth client authenticates.

/// How a client authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Not at all. Dev mode lets some in.
    None,
    /// An API key or a credential, as RFC 6750 has it.
    Bearer,
    /// `client_secret_basic`: an API key.
    Basic,
    /// `client_secret_post`: an API key.
    Post,
    /// By holding the subject token of a token exchange. That is what delegation by the instance itself is.
    Subject,
}
