//! Operators whom the configuration names. They have no row; events carry their ids as any other's.

use countersign_core::{
    certificate::{ClientCertificate, SubjectAltName},
    names::OperatorId,
    operator::{OperatorRole, Roles},
};

use crate::{App, Caller, Error, OidcIssuer, OperatorCaller};

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

impl App {
    /// Says whom a verified client certificate stands for.
    pub fn authenticate_certificate(&self, certificate: &ClientCertificate) -> Result<Caller, Error> {
        let refused = |why: &str| Error::Unauthenticated { message: why.to_owned() };
        if certificate.expire_time <= self.inner.engine.clock.now() {
            return Err(refused("the client certificate has expired: connect with a fresh one"));
        }
        let holders = &self.inner.engine.config.operators.certificates;
        let mut holders = holders.iter().filter(|holder| certificate.names.contains(&holder.san));
        let unknown = "no name in the client certificate is an operator's: send authorization: Bearer with an API key, or \
                       ask whoever configures the server for an entry in operators.mtls";
        let CertificateHolder { operator_id, mut roles, .. } = holders.next().ok_or_else(|| refused(unknown))?.clone();
        for other in holders {
            if other.operator_id != operator_id {
                return Err(refused(
                    "the names in the client certificate are several operators': use one that is one's",
                ));
            }
            roles = roles.iter().chain(other.roles.iter()).collect();
        }
        self.ensure_enabled(&operator_id)?;
        Ok(Caller::Operator(OperatorCaller { operator_id, roles, anonymous: false, scope: None }))
    }
}
