//! The paths of OAuth's endpoints, and the method of the contract for each.

/// One of OAuth's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Introspect,
    Revoke,
    Token,
}

impl Endpoint {
    pub(super) const ALL: [Self; 3] = [Self::Introspect, Self::Revoke, Self::Token];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Introspect => "/oauth/introspect",
            Self::Revoke => "/oauth/revoke",
            Self::Token => "/oauth/token",
        }
    }

    /// The method of the contract that this endpoint calls.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Introspect => "/countersign.v1.CredentialService/IntrospectCredential",
            Self::Revoke => "/countersign.v1.CredentialService/RevokeCredential",
            Self::Token => "/countersign.v1.CredentialService/DelegateCredential",
        }
    }
}
