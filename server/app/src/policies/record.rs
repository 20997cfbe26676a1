//! A stored policy in the form in which callers get it.

use countersign_core::{ids::PolicyVersion, names::OperatorId};
use countersign_policy::Rule;
use countersign_store::policy::{PolicyState, StoredPolicy};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// One stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// Its version.
    pub version: PolicyVersion,
    /// SHA-256 of the document and the Cedar text.
    pub content_hash: [u8; 32],
    /// The YAML document; empty in lists.
    pub document: String,
    /// The Cedar text beside it; empty in lists.
    pub cedar: String,
    /// What it is currently used for.
    pub state: PolicyState,
    /// When it was stored.
    pub create_time: OffsetDateTime,
    /// The operator who stored it.
    pub created_by: OperatorId,
    /// When it last became active.
    pub activate_time: Option<OffsetDateTime>,
    /// Its rules; empty in lists.
    pub rules: Vec<Rule>,
    /// The number of its rules.
    pub rule_count: u32,
}

/// A version that was changed, in the form that is stored for a repeated request: only the number, and the rest is read
/// again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Changed {
    pub(crate) version: PolicyVersion,
    pub(crate) created: bool,
    pub(crate) log_index: i64,
}

pub(crate) fn record(stored: StoredPolicy, whole: bool) -> PolicyRecord {
    let text = |text: String| if whole { text } else { String::new() };
    PolicyRecord {
        version: stored.version,
        content_hash: stored.content_hash,
        document: text(stored.document),
        cedar: text(stored.cedar),
        state: stored.state,
        create_time: stored.create_time,
        created_by: stored.created_by,
        activate_time: stored.activate_time,
        rules: Vec::new(),
        rule_count: u32::try_from(stored.rule_count).unwrap_or(0),
    }
}
