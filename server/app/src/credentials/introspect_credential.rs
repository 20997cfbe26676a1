//! IntrospectCredential: whether a token is valid now, and its content (RFC 7662); an error if this server may not know
//! of the newest revocations. Also which credential a request is for: the one in its field, or else the caller's own; a
//! run acts only with its own, and an operator within the scope of its key.

use std::sync::Arc;

use countersign_core::{decision::Reason, operator::OperatorRole};
use countersign_store::single_use;

use crate::{App, Caller, Credential, Error, authn::authenticate::Presented};

/// How long after its last message from the log a verifier stops trusting credentials (docs/revocation.md).
const SILENCE: time::Duration = time::Duration::seconds(5);
/// How long a caller waits for the next message.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Whether a token is valid.
#[derive(Debug, Clone)]
pub enum Introspection {
    /// It is, with this content.
    Active(Arc<Credential>),
    /// It is not, for this reason.
    Inactive(Reason),
}

/// The error for a credential in a request that is not valid.
pub(crate) fn refused(reason: Reason) -> Error {
    Error::CredentialRefused { reason, message: format!("the credential is refused ({reason}). {}", reason.remedy()) }
}

impl App {
    /// The credential in a request's `field`, or else the caller's own. An instance can act only with its own.
    pub(crate) async fn holder(
        &self,
        caller: &Caller,
        token: Option<&str>,
        field: &'static str,
    ) -> Result<Arc<Credential>, Error> {
        let holder = match (token, caller) {
            (Some(token), _) => match self.present(token).await? {
                Presented::Holds(credential) => credential,
                Presented::Refused(reason) => return Err(refused(reason)),
            },
            (None, Caller::Instance(own)) => own.clone(),
            (None, Caller::Operator(_)) => {
                return Err(Error::invalid(field, "is required: an operator has no credential of its own"));
            }
        };
        if let Caller::Operator(operator) = caller {
            let (run, sponsor, tools) = (holder.agent_instance_id, &holder.sponsor_id, &holder.tools);
            operator.within(&format!("it may not act for {run}"), |scope| scope.meets_run(sponsor, tools))?;
        }
        match caller {
            Caller::Instance(own) if own.agent_instance_id != holder.agent_instance_id => Err(Error::RoleRequired {
                message: "an instance does this with its own credential only; an issuer can with others'".to_owned(),
                roles: vec![OperatorRole::Issuer],
            }),
            _ => Ok(holder),
        }
    }

    /// Returns whether `token`, or else the caller's own credential, is valid now. An instance may ask about its own
    /// chain.
    pub async fn introspect_credential(&self, caller: &Caller, token: Option<&str>) -> Result<Introspection, Error> {
        self.inner.engine.clock.trust()?;
        let credential = match (token, caller) {
            (Some(token), _) => match self.present(token).await? {
                Presented::Holds(credential) => credential,
                Presented::Refused(reason) => return Ok(Introspection::Inactive(reason)),
            },
            (None, Caller::Instance(own)) => own.clone(),
            (None, Caller::Operator(_)) => {
                return Err(Error::invalid("token", "is required: an operator has no credential"));
            }
        };
        let concerned = match caller {
            Caller::Instance(own) => own.root_instance_id() == credential.root_instance_id(),
            Caller::Operator(operator) => operator.meets(&credential.sponsor_id, &credential.tools),
        };
        if !concerned {
            // For another chain or other tools, the answer is the same as for a token of another installation.
            return Ok(Introspection::Inactive(Reason::CredentialInvalid));
        }
        let dead = match self.snapshot().dead(&credential, self.inner.engine.clock.now()) {
            None if self.was_used(&credential).await? => Some(Reason::CredentialAlreadyUsed),
            dead => dead,
        };
        if dead.is_none() {
            self.is_told().await?;
        }
        Ok(dead.map_or(Introspection::Active(credential), Introspection::Inactive))
    }

    /// Refuses if this server may not know of a revocation that every verifier knows of: it would then report a
    /// credential as active for longer than verifiers trust it.
    async fn is_told(&self) -> Result<(), Error> {
        let since = self.inner.engine.clock.even_now() - SILENCE;
        let mut told = self.inner.authority.complete_until.subscribe();
        let told = tokio::time::timeout(PATIENCE, told.wait_for(|until| *until >= since)).await;
        // At the start, and after a short interruption, the log is read again within a moment.
        if matches!(told, Ok(Ok(_))) { Ok(()) } else { Err(Error::StoreUnavailable) }
    }

    /// Whether a single-use credential was used. If the database cannot answer, the result is an error.
    async fn was_used(&self, credential: &Credential) -> Result<bool, Error> {
        if !credential.single_use {
            return Ok(false);
        }
        let mut conn = self.inner.engine.store.for_authority().connection().await?;
        Ok(!single_use::used(&mut conn, &[(credential.credential_id, credential.expire_time)].into()).await?.is_empty())
    }
}
