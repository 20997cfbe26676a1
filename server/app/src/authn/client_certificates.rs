//! Operators who authenticate with a client certificate (mTLS): by the names in it, with the roles of all entries that
//! match. An expired certificate, an unknown name, and the names of several operators are refused.

use countersign_core::client_certificate::ClientCertificate;

use super::configured_operators::CertificateHolder;
use crate::{App, Caller, Error, OperatorCaller};

impl App {
    /// Returns the operator of a verified client certificate.
    pub fn authenticate_certificate(&self, certificate: &ClientCertificate) -> Result<Caller, Error> {
        let refused = |why: &str| Error::Unauthenticated { message: why.to_owned() };
        if certificate.expire_time <= self.inner.engine.clock.now() {
            return Err(refused("the client certificate has expired: connect with a fresh one"));
        }
        let holders = &self.inner.engine.config.operators.certificates;
        let mut holders = holders.iter().filter(|holder| certificate.names.contains(&holder.san));
        let unknown = "no name in the client certificate is an operator's: send authorization: Bearer with an API \
                       key, or ask the server's administrator for an entry in operators.mtls";
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
