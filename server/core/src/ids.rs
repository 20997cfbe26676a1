//! Ids that the server creates: UUIDv7 with a prefix that names the kind (`inst_`, `dec_`, `evt_` and others), and
//! policy versions (`pv_1`, `pv_2`). Each has one spelling.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {prefix} followed by a UUID, such as {prefix}01890a5d-ac96-774b-bcce-b302099a8057")]
pub struct InvalidId {
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub Uuid);

        impl $name {
            /// The prefix of this kind of id.
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = Uuid::encode_buffer();
                f.write_str(Self::PREFIX)?;
                f.write_str(self.0.hyphenated().encode_lower(&mut buffer))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let bare = text.strip_prefix(Self::PREFIX).filter(|bare| bare.len() == 36);
                bare.and_then(|bare| Uuid::try_parse(bare).ok())
                    .map(Self)
                    // One spelling per id: a text in another spelling is not an id of ours.
                    .filter(|id| id.to_string() == text)
                    .ok_or(InvalidId { prefix: Self::PREFIX })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(
    /// One run of an agent.
    InstanceId,
    "inst_"
);
id!(
    /// One recorded answer. Shares its UUID with the decision's custody event.
    DecisionId,
    "dec_"
);
id!(
    /// One custody event.
    EventId,
    "evt_"
);
id!(
    /// One request for a human's answer.
    ApprovalId,
    "appr_"
);
id!(
    /// One move of callers from a baseline policy to a candidate.
    RolloutId,
    "roll_"
);
id!(
    /// One extension of how long an ALLOW may be cached.
    CacheExtensionId,
    "cext_"
);
id!(
    /// One issued credential: the token's `jti`.
    CredentialId,
    "cred_"
);
id!(
    /// One engaged kill switch.
    KillSwitchId,
    "kill_"
);

impl DecisionId {
    /// The custody event that records this decision.
    #[must_use]
    pub const fn event_id(self) -> EventId {
        EventId(self.0)
    }

    /// When it was decided, in whole milliseconds, because the id is a UUIDv7. For any other UUID, 1970.
    #[must_use]
    pub fn decide_time(self) -> OffsetDateTime {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
        let seconds = i64::try_from(seconds).unwrap_or(0);
        OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
            + Duration::nanoseconds(nanos.into())
    }
}

/// The version of a stored policy document: `pv_1`, `pv_2`, ... in the order of their creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyVersion(pub i64);

/// The text is not a policy version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be pv_ followed by a number, such as pv_3")]
pub struct InvalidPolicyVersion;

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pv_{}", self.0)
    }
}

impl FromStr for PolicyVersion {
    type Err = InvalidPolicyVersion;
    fn from_str(text: &str) -> Result<Self, InvalidPolicyVersion> {
        text.strip_prefix("pv_")
            .and_then(|n| n.parse::<i64>().ok())
            .filter(|n| *n > 0)
            .map(Self)
            .filter(|version| version.to_string() == text)
            .ok_or(InvalidPolicyVersion)
    }
}

impl TryFrom<String> for PolicyVersion {
    type Error = InvalidPolicyVersion;
    fn try_from(text: String) -> Result<Self, InvalidPolicyVersion> {
        text.parse()
    }
}

impl From<PolicyVersion> for String {
    fn from(version: PolicyVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{SystemEntropy, uuid_v7};

    proptest! {
        #[test]
        fn an_id_is_read_back_as_written(bytes: [u8; 16]) {
            let id = InstanceId(Uuid::from_bytes(bytes));
            prop_assert_eq!(id.to_string().parse::<InstanceId>(), Ok(id));
            prop_assert!(id.to_string().parse::<EventId>().is_err());
        }

        #[test]
        fn arbitrary_text_is_no_id_unless_it_is_the_canonical_spelling(text: String) {
            if let Ok(id) = text.parse::<DecisionId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn a_decision_says_when_it_was_taken() {
        let now = OffsetDateTime::from_unix_timestamp_nanos(1_767_323_045_123_000_000).unwrap();
        assert_eq!(DecisionId(uuid_v7(now, &SystemEntropy)).decide_time(), now);
        assert_eq!(DecisionId(Uuid::nil()).decide_time(), OffsetDateTime::UNIX_EPOCH);
    }

    #[test]
    fn policy_versions_have_one_spelling() {
        assert_eq!("pv_3".parse(), Ok(PolicyVersion(3)));
        for bad in ["pv_0", "pv_-1", "pv_03", "pv_+3", "3", "pv_", "pv_99999999999999999999"] {
            assert_eq!(bad.parse::<PolicyVersion>(), Err(InvalidPolicyVersion), "{bad}");
        }
    }
}
