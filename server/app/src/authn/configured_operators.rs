//! Operators whom the configuration names. They have no row; events carry their ids as any other's.

use countersign_core::{
    certificate::SubjectAltName,
    names::OperatorId,
    operator::{OperatorRole, Roles},
};

use super::oidc::OidcIssuer;

/// Who comes in without an API key.
#[derive(Debug, Clone, Default)]
pub struct ConfiguredOperators {
    /// Issuers whose tokens name operators.
    pub oidc: Vec<OidcIssuer>,
    /// Holders of client certificates.
    pub certificates: Vec<CertificateHolder>,
}

/// Whom a certificate with this name stands for.
#[derive(Debug, Clone)]
pub struct CertificateHolder {
    /// The name in the certificate.
    pub san: SubjectAltName,
    /// Who that is.
    pub operator_id: OperatorId,
    /// What they may do.
    pub roles: Roles,
}

impl ConfiguredOperators {
    /// Whether an admin can come in without an API key.
    pub(crate) fn admit_an_admin(&self) -> bool {
        let granted =
            self.oidc.iter().map(OidcIssuer::grants).chain(self.certificates.iter().map(|holder| holder.roles));
        granted.into_iter().any(|roles| roles.has(OperatorRole::Admin))
    }
}
