//! Who calls.

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

/// An operator, as authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCaller {
    /// Who.
    pub operator_id: OperatorId,
    /// What they may do: the key's roles, as far as the operator still has them.
    pub roles: Roles,
    /// Whether no credential was given and dev mode let the caller in.
    pub anonymous: bool,
    /// The tools and sponsors that the key is for; none: all.
    pub scope: Option<Arc<KeyScope>>,
}

impl OperatorCaller {
    /// Refuses what the key is not for: `covers` says whether it covers `what`.
    pub(crate) fn within(&self, what: &str, covers: impl FnOnce(&KeyScope) -> bool) -> Result<(), Error> {
        match self.scope.as_deref() {
            Some(scope) if !covers(scope) => Err(self.out_of_scope(scope, what)),
            _ => Ok(()),
        }
    }

    /// Refuses a method that no scope bounds.
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

    /// The operator, for a method that no instance may call.
    pub fn require_operator(&self) -> Result<&OperatorCaller, Error> {
        self.operator().ok_or_else(|| Error::RoleRequired {
            message: "an instance may not call this: it takes an operator".to_owned(),
            roles: Vec::new(),
        })
    }
}

/// What the server itself is called.
pub(crate) fn bootstrap_id() -> Result<OperatorId, Error> {
    BOOTSTRAP.parse().map_err(|error| Error::internal("a built-in name is invalid", error))
}

/// On what basis a caller may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessBasis {
    /// The method's row allows it: one of their roles, or that they are an instance which may call it for itself.
    Role,
    /// No role of theirs allows it. They may call it only for what they are the sponsor of: a sponsor may always stop that.
    /// Holds the roles that would allow it.
    OwnerOnly(Roles),
}

/// A caller whom the authorisation table lets call one method, and the basis on which it does. Computed once for each call,
/// where the table is asked; a method without a rule for owners gets its caller by [`Authorized::by_role`] only.
#[derive(Debug, Clone)]
pub struct Authorized {
    caller: Caller,
    basis: AccessBasis,
}

impl Authorized {
    /// For the one place that asks the authorisation table.
    #[must_use]
    pub const fn new(caller: Caller, basis: AccessBasis) -> Self {
        Self { caller, basis }
    }

    /// The caller of a method that has no rule for owners. A caller who may call it only as the owner is refused.
    pub fn by_role(&self) -> Result<&Caller, Error> {
        match self.basis {
            AccessBasis::Role => Ok(&self.caller),
            AccessBasis::OwnerOnly(roles) => Err(not_the_sponsor(roles)),
        }
    }

    /// The same, for keeps.
    pub fn into_by_role(self) -> Result<Caller, Error> {
        self.by_role()?;
        Ok(self.caller)
    }

    /// The operator who calls a method that has a rule for owners, and the basis that the rule is applied to.
    pub fn operator(&self) -> Result<(&OperatorCaller, AccessBasis), Error> {
        Ok((self.caller.require_operator()?, self.basis))
    }
}

/// What a sponsor does with what is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// Stops it: whoever is said to be the sponsor may.
    Stop,
    /// Reads it, or answers for it: that takes that second persons said so, of the login and of the sponsor.
    Answer,
}

impl AccessBasis {
    /// Refuses a caller who is not the owner, where the basis is ownership. `sponsor` is the owner; none: the owner is unknown.
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

/// That neither a role allows it, nor that the caller is the sponsor.
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

/// What makes a write happen once: its id and what it asked for.
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
