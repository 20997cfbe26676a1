//! The parts of a leaf that belong to certain kinds of event: changes, figures, grant, rollout, shadow, subject, terms.
//! As in the leaf, the order of the fields is the order in which they are hashed.

use std::borrow::Cow;

use countersign_core::decision::{Effect, Side};
use serde::{Deserialize, Serialize};

use super::{Decimal, Timestamp};

/// One attribute of the event's subject that the event set or changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change<'a> {
    /// Its value after the event; left out if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Cow<'a, str>>,
    /// Its value before the event; left out if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Cow<'a, str>>,
    /// Its name.
    pub field: Cow<'a, str>,
}

/// One figure: a count or a measured value in the event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure<'a> {
    /// What is counted, with its unit if it has one (`latency_p95_ms`).
    pub name: Cow<'a, str>,
    /// The value.
    pub value: Decimal,
}

/// What a credential grants its instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant<'a> {
    /// The kind of agent.
    pub agent: Cow<'a, str>,
    /// The version of the agent, as its issuer states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<Cow<'a, str>>,
    /// Distance from the root; 0 for a root.
    pub depth: u32,
    /// When the credential expires.
    pub expire_time: Timestamp,
    /// The key it is signed with (`kid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Cow<'a, str>>,
    /// Reserved: budgets of the grant, in rising order of `name`, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Figure<'a>>,
    /// The model that the agent runs on, as its issuer states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Cow<'a, str>>,
    /// The framework or platform that the agent runs in, as its issuer states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Cow<'a, str>>,
    /// The role of the instance.
    pub role: Cow<'a, str>,
    /// Whether it is valid for one decision only.
    pub single_use: bool,
    /// The tools it may call, in the order of the credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Cow<'a, str>>,
    /// Its length, seconds.
    pub ttl_seconds: u32,
}

/// A rollout in its state at the event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout<'a> {
    /// The caller's bucket, 0 to 9999; inside if it is below `percent` times 100. For decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u16>,
    /// Which rollout.
    pub id: Cow<'a, str>,
    /// The percentage of callers inside; for events of the rollout itself, after the event.
    pub percent: u8,
    /// The percentage of callers inside before the event. For events of the rollout itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_before: Option<u8>,
    /// Which policy answered. For decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
}

/// The answer that the other side of the rollout would have given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shadow<'a> {
    /// Its answer.
    pub effect: Effect,
    /// Its policy version; left out if that side is not a policy (`observe`, `deny`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<Cow<'a, str>>,
    /// The reason, as a reason code.
    pub reason: Cow<'a, str>,
    /// The rules that determined it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule_ids: Vec<Cow<'a, str>>,
}

/// The subject of the event, if no other field names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject<'a> {
    /// Its id; left out if the type is sufficient (`all`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// Its type: `sponsor`, `instance`, `credential`, `key`, `tool`, `agent`, `role`, `operator`, `api_key`, `all`, ...
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
}

/// The terms of a sponsor's registration and approval.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms<'a> {
    /// Reserved: budgets of the sponsor, in rising order of `name`, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Figure<'a>>,
    /// Deepest delegation below a root.
    pub max_depth: u32,
    /// Longest credential, seconds.
    pub max_ttl_seconds: u32,
    /// When the approval lapses; left out before there is an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_due_time: Option<Timestamp>,
    /// Roles that instances may have, in the order of the registration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Cow<'a, str>>,
}
