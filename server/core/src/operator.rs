//! Operators and what they may do.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What an operator may do. Default deny: an RPC names the roles that may call it.
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
    /// A tool's gateway: asks for decisions and records tool calls for others.
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

/// The text names no operator role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of admin, registrar, approver, issuer, gate, policy-admin, auditor")]
pub struct InvalidRole;

impl FromStr for OperatorRole {
    type Err = InvalidRole;
    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(InvalidRole)
    }
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of operator roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

    /// Whether every role of `other` is here.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The roles in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
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
        }
    }
}
