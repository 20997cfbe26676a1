//! Who calls.

use std::sync::Arc;

use countersign_core::{names::OperatorId, operator::Roles};

use crate::Credential;

/// An operator, as authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCaller {
    /// Who.
    pub operator_id: OperatorId,
    /// What they may do: the key's roles, as far as the operator still has them.
    pub roles: Roles,
    /// Whether no credential was given and dev mode let the caller in.
    pub anonymous: bool,
}

/// Who calls.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A person or a service.
    Operator(OperatorCaller),
    /// A run of an agent, with its own credential.
    Instance(Arc<Credential>),
}

impl Caller {
    /// The operator's or the instance's id.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Operator(operator) => operator.operator_id.to_string(),
            Self::Instance(instance) => instance.agent_instance_id.to_string(),
        }
    }

    /// The operator, if it is one.
    #[must_use]
    pub const fn operator(&self) -> Option<&OperatorCaller> {
        match self {
            Self::Operator(operator) => Some(operator),
            Self::Instance(_) => None,
        }
    }
}

/// What makes a write happen once: its id and what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The id that the caller gave the request.
    pub request_id: String,
    /// SHA-256 of the method and the request without its id.
    pub fingerprint: [u8; 32],
}

impl Idempotency {
    pub(crate) fn key(&self, caller: &str, method: &'static str) -> (countersign_store::idempotency::Key, [u8; 32]) {
        let key = countersign_store::idempotency::Key {
            caller: caller.to_owned(),
            method,
            request_id: self.request_id.clone(),
        };
        (key, self.fingerprint)
    }
}
