//! Operators in the configuration (identity providers, client certificates), and whether one of them can be an
//! administrator. They have no row; events have their ids as for all operators.

use countersign_core::{
    client_certificate::SubjectAltName,
    names::OperatorId,
    operator::{OperatorRole, Roles},
};

use super::oidc::OidcIssuer;

/// The ways to authenticate without an API key.
#[derive(Debug, Clone, Default)]
pub struct ConfiguredOperators {
    /// Issuers whose tokens identify operators.
    pub oidc: Vec<OidcIssuer>,
    /// Holders of client certificates.
    pub certificates: Vec<CertificateHolder>,
}

/// The operator of a certificate with this name.
#[derive(Debug, Clone)]
pub struct CertificateHolder {
    /// The name in the certificate.
    pub san: SubjectAltName,
    /// The operator.
    pub operator_id: OperatorId,
    /// Their roles.
    pub roles: Roles,
}

impl ConfiguredOperators {
    /// Whether an administrator can log in without an API key.
    pub(crate) fn admit_an_admin(&self) -> bool {
        let granted =
            self.oidc.iter().map(OidcIssuer::grants).chain(self.certificates.iter().map(|holder| holder.roles));
        granted.into_iter().any(|roles| roles.has(OperatorRole::Admin))
    }
}
