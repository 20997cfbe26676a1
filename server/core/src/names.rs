//! Ids that people choose: sponsors, operators, agents, roles, tools, actions.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// What a name looks like, in words for error messages.
pub const SHAPE: &str = "1 to 64 characters of a-z 0-9 . _ @ -";

/// Whether `text` is 1 to 64 of `[a-z0-9._@-]`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-'))
}

/// The text is not a name; says what one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {SHAPE}")]
pub struct InvalidName;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(InvalidName) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A sponsor: a named human who is accountable for agents.
    SponsorId
);
name!(
    /// An operator: an authenticated caller of the control plane.
    OperatorId
);
name!(
    /// A kind of agent, such as `support-assistant`.
    AgentName
);
name!(
    /// What an instance acts as, such as `support`.
    RoleName
);
name!(
    /// What is called, such as `billing`.
    ToolId
);
name!(
    /// How a tool is called, such as `refund`.
    ActionName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_lower_case_ascii() {
        for good in ["a", "alice", "alice@example.com", "file-store", "v1.2_x", &"a".repeat(64)] {
            assert!(good.parse::<SponsorId>().is_ok(), "{good}");
        }
        for bad in ["", "Alice", "a b", "ä", "a/b", "a\n", "a\0", &"a".repeat(65)] {
            assert_eq!(bad.parse::<SponsorId>(), Err(InvalidName), "{bad:?}");
        }
    }
}
