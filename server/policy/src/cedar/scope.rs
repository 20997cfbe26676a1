//! The scope of a rule: a role, a tool, actions. The index is built from scopes.

use std::{fmt, sync::Arc};

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

use super::entity::Kind;

/// The scope of a rule. `None` means every role, tool or action.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(crate) role: Option<Arc<str>>,
    pub(crate) tool: Option<Arc<str>>,
    /// Sorted, each once.
    pub(crate) actions: Option<Vec<Arc<str>>>,
}

impl Scope {
    /// The scope of a raw policy, and whether it expresses the whole head of the policy. If it does not, it is wider
    /// and never narrower, so Cedar must still evaluate the policy for what it covers.
    ///
    /// An instance is in exactly its role, and tools and actions are in nothing, so for them `in` and `==` mean the
    /// same.
    pub(crate) fn of(policy: &Policy) -> (Self, bool) {
        let role = match policy.principal_constraint() {
            PrincipalConstraint::Any => Some(None),
            PrincipalConstraint::Is(kind) if is(&kind, Kind::Instance) => Some(None),
            PrincipalConstraint::IsIn(kind, uid) if is(&kind, Kind::Instance) => named(&uid, Kind::Role).map(Some),
            PrincipalConstraint::In(uid) => named(&uid, Kind::Role).map(Some),
            _ => None,
        };
        let tool = match policy.resource_constraint() {
            ResourceConstraint::Any => Some(None),
            ResourceConstraint::Is(kind) if is(&kind, Kind::Tool) => Some(None),
            ResourceConstraint::IsIn(kind, uid) if is(&kind, Kind::Tool) => named(&uid, Kind::Tool).map(Some),
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => named(&uid, Kind::Tool).map(Some),
            _ => None,
        };
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => Some(None),
            ActionConstraint::Eq(uid) => named(&uid, Kind::Action).map(|action| Some(vec![action])),
            ActionConstraint::In(uids) => {
                uids.iter().map(|uid| named(uid, Kind::Action)).collect::<Option<Vec<_>>>().map(Some)
            }
        };
        let exact = role.is_some() && tool.is_some() && actions.is_some();
        let scope = Self { role: role.flatten(), tool: tool.flatten(), actions: actions.flatten().map(sorted) };
        (scope, exact)
    }
}

/// The head of a Cedar policy.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Some(role) => write!(f, "(principal in Role::{role:?}, ")?,
            None => f.write_str("(principal, ")?,
        }
        match &self.actions {
            Some(actions) => {
                let actions: Vec<String> = actions.iter().map(|action| format!("Action::{action:?}")).collect();
                write!(f, "action in [{}], ", actions.join(", "))?;
            }
            None => f.write_str("action, ")?,
        }
        match &self.tool {
            Some(tool) => write!(f, "resource == Tool::{tool:?})"),
            None => f.write_str("resource)"),
        }
    }
}

/// `actions` in order, each once.
pub(crate) fn sorted(mut actions: Vec<Arc<str>>) -> Vec<Arc<str>> {
    actions.sort();
    actions.dedup();
    actions
}

fn is(name: &cedar_policy::EntityTypeName, kind: Kind) -> bool {
    name.to_string() == kind.as_str()
}

fn named(uid: &EntityUid, kind: Kind) -> Option<Arc<str>> {
    (Kind::of(uid) == Some(kind)).then(|| uid.id().unescaped().into())
}
