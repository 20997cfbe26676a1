//! The permitted characters and length of ids that people choose (sponsors, operators, persons, agents, roles), and of
//! the names of tools and actions, which other systems choose and in which upper and lower case differ.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The permitted form of a name, for error messages.
pub const SHAPE: &str = "1 to 64 characters of a-z 0-9 . _ @ -";

/// Whether `text` is 1 to 64 of `[a-z0-9._@-]`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-'))
}

/// The permitted form of the name of a tool or an action, for error messages.
pub const CALL_SHAPE: &str = "1 to 128 characters of A-Z a-z 0-9 . _ @ : / -";

/// Whether `text` is 1 to 128 characters of `[A-Za-z0-9._@:/-]`. Tools and actions are named by others (MCP servers,
/// HTTP APIs, policies from elsewhere), so upper and lower case are different: `Refund` and `refund` are two names.
#[must_use]
pub fn is_call_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b':' | b'/' | b'-'))
}

/// The text is not a name; the message shows the permitted form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {SHAPE}")]
pub struct InvalidName;

/// The text is not the name of a tool or an action; the message shows the permitted form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {CALL_SHAPE}")]
pub struct InvalidCallName;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        name!($(#[$doc])* $name, is_name, InvalidName);
    };
    ($(#[$doc:meta])* $name:ident, $fits:ident, $wrong:ident) => {
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
            type Err = $wrong;
            fn from_str(text: &str) -> Result<Self, $wrong> {
                if $fits(text) { Ok(Self(text.into())) } else { Err($wrong) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $wrong;
            fn try_from(text: String) -> Result<Self, $wrong> {
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
    /// A person: the human behind one or several operators.
    PersonId
);
name!(
    /// A kind of agent, such as `support-assistant`.
    AgentName
);
name!(
    /// The role of an instance, such as `support`.
    RoleName
);
name!(
    /// A tool, such as `billing` or `Orders/Lookup:v2`.
    ToolId,
    is_call_name,
    InvalidCallName
);
name!(
    /// An action of a tool, such as `refund` or `view:public`.
    ActionName,
    is_call_name,
    InvalidCallName
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

    #[test]
    fn tools_and_actions_keep_the_names_that_others_gave_them() {
        let longest = "x".repeat(128);
        for good in ["a", "billing", "Orders/Lookup:v2", "view:public", "User", "get_Weather-2.0", "a@b", "/", &longest]
        {
            assert_eq!(good.parse::<ToolId>().unwrap().as_str(), good);
            assert_eq!(good.parse::<ActionName>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "ä", "a\n", "a\0", "a\\b", "a\"b", "a*", "a+b", "a?b", "a#b", "a%2Fb", &"a".repeat(129)]
        {
            assert_eq!(bad.parse::<ToolId>(), Err(InvalidCallName), "{bad:?}");
            assert_eq!(bad.parse::<ActionName>(), Err(InvalidCallName), "{bad:?}");
        }
        assert_ne!("Refund".parse::<ActionName>(), "refund".parse::<ActionName>());
    }
}
