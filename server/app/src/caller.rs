//! Who calls: an operator or a run; on which basis (a role, or only as the sponsor, who may always stop what is
//! theirs); what the scope of an API key covers; and the key of a request id (idempotency).

use std::sync::Arc;

use countersign_core::{
    key_scope::KeyScope,
    names::{OperatorId, SponsorId, ToolId},
    operator::{BOOTSTRAP, OperatorRole, Roles},
};
use countersign_store::{
    Connection,
    idempotency::{Key, Keyed},
    person,
};

use crate::{Credential, Error};

/// An authenticated operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCaller {
    /// The operator's id.
    pub operator_id: OperatorId,
    /// Their roles: those of the key that the operator still has.
    pub roles: Roles,
    /// Whether there was no credential and dev mode let the caller in.
    pub anonymous: bool,
    /// The tools and sponsors that the key is limited to. `None` for no limit.
    pub scope: Option<Arc<KeyScope>>,
}

impl OperatorCaller {
    /// Refuses what the key does not cover: `covers` says whether it covers `what`.
    pub(crate) fn within(&self, what: &str, covers: impl FnOnce(&KeyScope) -> bool) -> Result<(), Error> {
        match self.scope.as_deref() {
            Some(scope) if !covers(scope) => Err(self.out_of_scope(scope, what)),
            _ => Ok(()),
        }
    }

    /// Refuses a method to which no scope applies.
    pub fn outside(&self, what: &str) -> Result<(), Error> {
        self.within(what, |_| false)
    }

    /// Whether the key covers some of what a run of this sponsor with these tools may do.
    pub(crate) fn meets(&self, sponsor: &SponsorId, tools: &[ToolId]) -> bool {
        self.scope.as_deref().is_none_or(|scope| scope.meets_run(sponsor, tools))
    }

    fn out_of_scope(&self, scope: &KeyScope, what: &str) -> Error {
        let id = &self.operator_id;
        Error::OutOfScope(format!("this API key of operator {id} is for {scope} alone: {what}"))
    }
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
    /// The id of the operator or instance.
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

    /// The operator, for a method that no instance may call.
    pub fn require_operator(&self) -> Result<&OperatorCaller, Error> {
        self.operator().ok_or_else(|| Error::RoleRequired {
            message: "an instance may not call this: it takes an operator".to_owned(),
            roles: Vec::new(),
        })
    }
}

/// The operator id of the server itself.
pub(crate) fn bootstrap_id() -> Result<OperatorId, Error> {
    BOOTSTRAP.parse().map_err(|error| Error::internal("a built-in name is invalid", error))
}

/// The basis on which a caller may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessBasis {
    /// The method's row allows it: by one of their roles, or because they are an instance that may call it for itself.
    Role,
    /// None of their roles allows it. They may call it only for what they are the sponsor of, because a sponsor may
    /// always stop that. Contains the roles that would allow it.
    OwnerOnly(Roles),
}

/// A caller whom the authorisation table lets call one method, and the basis. It is computed once per call, where the
/// table is checked; a method without a rule for owners gets its caller only through [`Authorized::by_role`].
#[derive(Debug, Clone)]
pub struct Authorized {
    caller: Caller,
    basis: AccessBasis,
}

impl Authorized {
    /// For the only place that checks the authorisation table.
    #[must_use]
    pub const fn new(caller: Caller, basis: AccessBasis) -> Self {
        Self { caller, basis }
    }

    /// The caller of a method without a rule for owners. A caller who may call it only as the owner is refused.
    pub fn by_role(&self) -> Result<&Caller, Error> {
        match self.basis {
            AccessBasis::Role => Ok(&self.caller),
            AccessBasis::OwnerOnly(roles) => Err(not_the_sponsor(roles)),
        }
    }

    /// The same, by value.
    pub fn into_by_role(self) -> Result<Caller, Error> {
        self.by_role()?;
        Ok(self.caller)
    }

    /// The operator who calls a method with a rule for owners, and the basis for that rule.
    pub fn operator(&self) -> Result<(&OperatorCaller, AccessBasis), Error> {
        Ok((self.caller.require_operator()?, self.basis))
    }
}

/// What a sponsor does with what belongs to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// Stops it: every operator who is named as the sponsor may.
    Stop,
    /// Reads it or answers for it: second persons must have confirmed both the binding of the login and the sponsor.
    Answer,
}

impl AccessBasis {
    /// Refuses a caller who is not the owner, if the basis is ownership. `sponsor` is the owner; `None` if the owner is
    /// unknown.
    pub(crate) async fn permits(
        self,
        conn: &mut Connection,
        caller: &OperatorCaller,
        sponsor: Option<&SponsorId>,
        own: Own,
    ) -> Result<(), Error> {
        let Self::OwnerOnly(roles) = self else { return Ok(()) };
        if let Some(sponsor) = sponsor
            && person::is_sponsor(conn, &caller.operator_id, sponsor, own == Own::Answer).await?
        {
            return Ok(());
        }
        Err(not_the_sponsor(roles))
    }
}

/// The error that neither a role allows it, nor is the caller the sponsor.
pub(crate) fn not_the_sponsor(roles: Roles) -> Error {
    let names: Vec<_> = roles.iter().map(OperatorRole::as_str).collect();
    Error::RoleRequired {
        message: format!(
            "none of the caller's roles allows this, and it is not known that the caller is the sponsor: it takes the sponsor, or one \
             of: {}. A login is the sponsor's where both are bound to one person and a second person has confirmed it: BindPerson, \
             UpdateSponsor",
            names.join(", ")
        ),
        roles: roles.iter().collect(),
    }
}

/// The idempotency key of a write: its id and the fingerprint of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The id that the caller gave the request.
    pub request_id: String,
    /// SHA-256 of the method and the request without its id.
    pub fingerprint: [u8; 32],
}

impl Idempotency {
    pub(crate) fn key(&self, caller: &str, method: &'static str) -> Keyed {
        let key = Key { caller: caller.to_owned(), method, request_id: self.request_id.clone() };
        Keyed { key, fingerprint: self.fingerprint }
    }
}
