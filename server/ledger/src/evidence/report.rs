//! The report on a bundle: what a check found to hold, and what it did not verify (cosignatures, missing keys and
//! grounds).

use std::collections::BTreeMap;

use crate::{leaf::Timestamp, merkle::Hash};

/// What was checked, and against which key. Everything here follows from leaves that are in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log.
    pub origin: String,
    /// The verifier key that the checkpoint was checked against.
    pub key: String,
    /// Whether the caller expected this key. If not, the file itself named it, and only proves that it agrees with
    /// itself.
    pub key_is_expected: bool,
    /// The size of the log, leaves.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The size at the earlier checkpoint, which the log has continued.
    pub earlier_size: Option<u64>,
    /// Lines of the checkpoint that have the form of a witness's cosignature. They are not verified.
    pub cosignatures: usize,
    /// How many events there are of each kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// The lowest and the highest log index.
    pub indexes: Option<(u64, u64)>,
    /// The instances whose grants are among the events, in the order of the log.
    pub instances: Vec<Instance>,
    /// How many texts are disclosed and open their commitments.
    pub disclosed: usize,
    /// How many commitments have no text here: never given, erased, or withheld.
    pub undisclosed: usize,
    /// How many policy documents there are; each is one that a leaf names, and none that a leaf names is missing.
    pub policies: usize,
    /// Keys that grants name and that the bundle's key set does not have.
    pub keys_missing: Vec<String>,
    /// Earlier events that an ALLOW stands on (`grounds`) and that are not in the bundle.
    pub grounds_missing: usize,
    /// What is known of completeness; `None` for a chain, which is complete in what its leaves name.
    pub completeness: Option<Completeness>,
}

/// One instance: its place in the tree of custody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The instance.
    pub id: String,
    /// Who started it; `None` for a root.
    pub parent: Option<String>,
    /// The root of its chain.
    pub root: String,
    /// Who answers for it.
    pub sponsor: String,
    /// The index in the log of its first grant in the bundle.
    pub log_index: u64,
}

/// What the manifests say of a sponsor's events. It holds as far as the log's own manifests do: whatever never reached
/// the log is in no manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// The sponsor.
    pub sponsor_id: String,
    /// From when, inclusive.
    pub from: Timestamp,
    /// Until when, exclusive.
    pub to: Timestamp,
    /// The range of the manifests, both ends included.
    pub indexes: (u64, u64),
    /// How many manifests cover it.
    pub manifests: usize,
    /// Events of the sponsor in the range: as many as the manifests count.
    pub events: u64,
    /// Decisions of the sponsor from `from` until `to`.
    pub decisions: u64,
    /// Numbers that reporters left out in the range, over all manifests.
    pub missing_reports: u64,
    /// Allowed calls without an outcome when the last manifest was made.
    pub open_decisions: u64,
}
