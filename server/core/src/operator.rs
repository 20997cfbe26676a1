//! Operators: their roles (admin, registrar, approver, issuer, gate, policy-admin, auditor), and the ids that are
//! reserved: `bootstrap`, `dev`, and all that begin with `oidc.`, for operators of identity providers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{likeness::did_you_mean, names::OperatorId};

/// A role of an operator. The default is deny: an RPC names the roles that may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorRole {
    /// Operators, keys, configuration.
    Admin,
    /// Registers sponsors.
    Registrar,
    /// Approves sponsors, and answers approvals.
    Approver,
    /// Issues credentials.
    Issuer,
    /// An enforcement point, such as a tool's gateway: asks for decisions and records tool calls for others.
    Gate,
    /// Policies and rollouts.
    PolicyAdmin,
    /// Reads everything, changes nothing.
    Auditor,
}

impl OperatorRole {
    /// Every role.
    pub const ALL: [Self; 7] =
        [Self::Admin, Self::Registrar, Self::Approver, Self::Issuer, Self::Gate, Self::PolicyAdmin, Self::Auditor];

    /// The role's name on the wire and in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Registrar => "registrar",
            Self::Approver => "approver",
            Self::Issuer => "issuer",
            Self::Gate => "gate",
            Self::PolicyAdmin => "policy-admin",
            Self::Auditor => "auditor",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The text is not the name of an operator role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of admin, registrar, approver, issuer, gate, policy-admin, auditor{0}")]
pub struct InvalidRole(String);

impl FromStr for OperatorRole {
    type Err = InvalidRole;
    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| InvalidRole(did_you_mean(text, Self::ALL.map(Self::as_str))))
    }
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of operator roles; written as the list of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<OperatorRole>", into = "Vec<OperatorRole>")]
pub struct Roles(u8);

impl Roles {
    /// No role at all.
    pub const NONE: Self = Self(0);

    /// These roles.
    #[must_use]
    pub const fn of(roles: &[OperatorRole]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < roles.len() {
            bits |= roles[i].bit();
            i += 1;
        }
        Self(bits)
    }

    /// Every role.
    #[must_use]
    pub const fn all() -> Self {
        Self::of(&OperatorRole::ALL)
    }

    /// Whether `role` is in the set.
    #[must_use]
    pub const fn has(self, role: OperatorRole) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether the two sets share a role.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether this set contains every role of `other`.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The roles in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The roles that are in this set but not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles, in the order of [`OperatorRole::ALL`].
    pub fn iter(self) -> impl Iterator<Item = OperatorRole> {
        OperatorRole::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

impl FromIterator<OperatorRole> for Roles {
    fn from_iter<I: IntoIterator<Item = OperatorRole>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}

impl From<Vec<OperatorRole>> for Roles {
    fn from(roles: Vec<OperatorRole>) -> Self {
        roles.into_iter().collect()
    }
}

impl From<Roles> for Vec<OperatorRole> {
    fn from(roles: Roles) -> Self {
        roles.iter().collect()
    }
}

/// The names, separated by commas.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, role) in self.iter().enumerate() {
            write!(f, "{}{role}", if nth > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// An authenticated caller of the control plane that the server stores: a person or a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The chosen id.
    pub operator_id: OperatorId,
    /// The name for persons.
    pub display_name: String,
    /// Their roles.
    pub roles: Roles,
    /// When added.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub create_time: OffsetDateTime,
    /// Since when they are disabled. `None` if they are not.
    #[serde(default, with = "time::serde::timestamp::microseconds::option")]
    pub disable_time: Option<OffsetDateTime>,
    /// Whether they were deleted, which is permanent.
    #[serde(default)]
    pub deleted: bool,
    /// The number of changes; the etag is its text.
    #[serde(default = "first")]
    pub revision: i64,
}

/// The revision of an operator stored by a version that could not change operators.
const fn first() -> i64 {
    1
}

impl Operator {
    /// A new operator.
    #[must_use]
    pub fn new(operator_id: OperatorId, display_name: String, roles: Roles, create_time: OffsetDateTime) -> Self {
        Self { operator_id, display_name, roles, create_time, disable_time: None, deleted: false, revision: first() }
    }

    /// The etag of this row.
    #[must_use]
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }
}

/// The operator for what the first start and the command line do on the machine itself.
pub const BOOTSTRAP: &str = "bootstrap";
/// The operator for every caller on this machine in dev mode.
pub const ANONYMOUS: &str = "dev";
/// The prefix of the ids of operators that an identity provider names.
pub const OIDC_PREFIX: &str = "oidc.";

/// The name of an operator at its source: the id, or the name in `oidc.<provider>.<name>`. It is used to see that two
/// names belong to one person; two different names prove nothing.
#[must_use]
pub fn own_name(operator_id: &OperatorId) -> &str {
    let id = operator_id.as_str();
    let of_provider = id.strip_prefix(OIDC_PREFIX).and_then(|rest| rest.split_once('.'));
    // `oidc.<provider>@<hash>` contains no name; a dot after an @ cannot be part of it.
    of_provider.map_or(id, |(_, name)| name)
}

/// Why no operator may have this id, if that is so: the log would show two operators under one name.
#[must_use]
pub fn reserved(operator_id: &OperatorId) -> Option<&'static str> {
    match operator_id.as_str() {
        BOOTSTRAP => Some("is the server's own name in the custody log: choose another id"),
        ANONYMOUS => Some("is the name of callers without a credential in dev mode: choose another id"),
        id if id.starts_with(OIDC_PREFIX) => {
            Some("must not begin with oidc., which is for operators of identity providers")
        }
        _ => None,
    }
}

/// Why this login may not be bound to a person, if that is so: it belongs to no person.
#[must_use]
pub fn reserved_person(operator_id: &OperatorId) -> Option<&'static str> {
    match operator_id.as_str() {
        BOOTSTRAP => Some("is the server itself, and not a person's login"),
        ANONYMOUS => Some("is every caller of a dev server without a credential, and not a person's login"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_set_holds_what_was_put_in() {
        for role in OperatorRole::ALL {
            let set = Roles::of(&[role]);
            assert_eq!(set.iter().collect::<Vec<_>>(), [role]);
            assert_eq!(role.as_str().parse(), Ok(role));
            assert!(Roles::all().covers(set) && !Roles::NONE.meets(set));
            assert!(!Roles::all().without(set).has(role) && set.without(Roles::all()).is_empty());
        }
    }

    #[test]
    fn a_role_set_is_written_as_names_and_read_back() {
        let set = Roles::of(&[OperatorRole::Gate, OperatorRole::PolicyAdmin]);
        assert_eq!(set.to_string(), "gate,policy-admin");
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!((text.as_str(), serde_json::from_str(&text).unwrap()), (r#"["gate","policy-admin"]"#, set));
    }

    #[test]
    fn an_operator_of_a_provider_has_a_name_of_their_own() {
        for (id, name) in [
            ("alice", "alice"),
            ("oidc.corp.alice", "alice"),
            ("oidc.corp.alice@example.com", "alice@example.com"),
            ("oidc.corp@0123abcd", "oidc.corp@0123abcd"),
        ] {
            assert_eq!(own_name(&id.parse().unwrap()), name);
        }
    }

    #[test]
    fn names_of_the_server_and_of_providers_cannot_be_chosen() {
        for (id, is) in
            [("bootstrap", true), ("dev", true), ("oidc.corp.alice", true), ("alice", false), ("oidc", false)]
        {
            assert_eq!(reserved(&id.parse().unwrap()).is_some(), is, "{id}");
        }
    }
}
