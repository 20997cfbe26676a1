//! What a policy applies to, by its head: runs and their tools, or entities of types that the document declares. A
//! permit must say which of them, where types are declared.

use std::sync::Arc;

use cedar_policy::{Effect, EntityTypeName, Policy, PrincipalConstraint, ResourceConstraint, pst::Var};

use super::{
    entity::Kind,
    scope::Scope,
    types::{self, LONG, STRING, TEXTS},
};
use crate::{entities::EntityTypes, schema::ContextType};

/// What a policy applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PolicyDomain {
    /// Runs, which call tools. Every rule of a document applies to runs.
    Runs,
    /// Entities of these types. `None` means entities of any declared type.
    Entities { subject: Option<Arc<str>>, resource: Option<Arc<str>> },
    /// Both: a forbid that names neither.
    Both,
}

/// One side of a policy's head.
enum Side {
    Any,
    Run,
    Declared(Arc<str>),
}

impl PolicyDomain {
    /// What `policy` applies to, by its head alone; or why the head is not sufficient.
    pub(crate) fn of(policy: &Policy, types: Option<&EntityTypes>) -> Result<Self, String> {
        let Some(types) = types else { return Ok(Self::Runs) };
        let side = |name: Option<EntityTypeName>| match name.map(|name| name.to_string()) {
            None => Side::Any,
            // A type that is neither ours nor declared does not exist, which validation reports.
            Some(name) => types.types.get_key_value(&*name).map_or(Side::Run, |(name, _)| Side::Declared(name.clone())),
        };
        let domain = match (side(principal(policy)), side(resource(policy))) {
            (Side::Any, Side::Any) if policy.effect() == Effect::Permit => {
                return Err("must say what it is about where `types` are declared: put `principal is Instance`, or `principal is` \
                            a declared type, into its head"
                    .to_owned());
            }
            (Side::Any, Side::Any) => Self::Both,
            (Side::Run, Side::Any) | (Side::Any | Side::Run, Side::Run) => Self::Runs,
            (Side::Declared(subject), Side::Any) => Self::Entities { subject: Some(subject), resource: None },
            (Side::Any, Side::Declared(resource)) => Self::Entities { subject: None, resource: Some(resource) },
            (Side::Declared(subject), Side::Declared(resource)) => {
                Self::Entities { subject: Some(subject), resource: Some(resource) }
            }
            (Side::Run, Side::Declared(_)) | (Side::Declared(_), Side::Run) => {
                return Err(
                    "can never apply: an Instance calls a Tool, and declared types act on declared types".to_owned()
                );
            }
        };
        if matches!(domain, Self::Entities { .. }) && policy.annotation("require_approval").is_some() {
            return Err("only a run's call can wait for a person: leave @require_approval out".to_owned());
        }
        Ok(domain)
    }

    pub(crate) const fn has_runs(&self) -> bool {
        matches!(self, Self::Runs | Self::Both)
    }

    /// The part of a policy's scope that covers entities, with the types in the place of role and tool. `None` if it
    /// covers no entity.
    pub(crate) fn entity_scope(&self, scope: &Scope) -> Option<Scope> {
        match self {
            Self::Runs => None,
            Self::Both => Some(Scope { role: None, tool: None, actions: scope.actions.clone() }),
            Self::Entities { subject, resource } => {
                Some(Scope { role: subject.clone(), tool: resource.clone(), actions: scope.actions.clone() })
            }
        }
    }

    /// The type of an attribute of the principal or the resource, if it is known.
    pub(crate) fn attribute(&self, types: Option<&EntityTypes>, var: &Var, name: &str) -> Option<types::Kind> {
        match (self, var) {
            (Self::Runs, Var::Principal) => Some(match name {
                "depth" => LONG,
                "tools" => TEXTS,
                _ => STRING,
            }),
            (Self::Entities { subject, .. }, Var::Principal) => kind(types?.kind_of(subject.as_deref(), name)?),
            (Self::Entities { resource, .. }, Var::Resource) => kind(types?.kind_of(resource.as_deref(), name)?),
            _ => None,
        }
    }
}

const fn kind(kind: &ContextType) -> Option<types::Kind> {
    match kind {
        ContextType::One(scalar) => Some(types::Kind::One(*scalar)),
        ContextType::Set(scalar) => Some(types::Kind::Set(Some(*scalar))),
        ContextType::Record(_) => None,
    }
}

fn principal(policy: &Policy) -> Option<EntityTypeName> {
    match policy.principal_constraint() {
        PrincipalConstraint::Any => None,
        PrincipalConstraint::Is(kind) | PrincipalConstraint::IsIn(kind, _) => Some(kind),
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) => Some(uid.type_name().clone()),
    }
}

fn resource(policy: &Policy) -> Option<EntityTypeName> {
    match policy.resource_constraint() {
        ResourceConstraint::Any => None,
        ResourceConstraint::Is(kind) | ResourceConstraint::IsIn(kind, _) => Some(kind),
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => Some(uid.type_name().clone()),
    }
}

/// Whether the name is one of our entity types.
pub(crate) fn is_ours(name: &str) -> bool {
    [Kind::Instance, Kind::Role, Kind::Tool, Kind::Action].iter().any(|kind| kind.as_str().eq_ignore_ascii_case(name))
}
