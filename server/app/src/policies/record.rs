//! A stored policy, as it is told.

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
    /// SHA-256 of document and Cedar.
    pub content_hash: [u8; 32],
    /// The YAML document; empty in lists.
    pub document: String,
    /// Raw Cedar beside it; empty in lists.
    pub cedar: String,
    /// What it is used for now.
    pub state: PolicyState,
    /// When stored.
    pub create_time: OffsetDateTime,
    /// Who stored it.
    pub created_by: OperatorId,
    /// When it last became active.
    pub activate_time: Option<OffsetDateTime>,
    /// Its rules in short; empty in lists.
    pub rules: Vec<Rule>,
    /// How many rules it holds.
    pub rule_count: u32,
}

/// A version that a change is about, as it is kept for a repeated request: the version alone, read again then.
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
