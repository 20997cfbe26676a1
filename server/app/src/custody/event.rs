//! Custody events as they are reported and read, and whether a stored event is not the one that was recorded (altered),
//! by the hash in the tree.

use countersign_core::{
    decision::Outcome,
    ids::{DecisionId, EventId},
};
use countersign_ledger::{
    export::Disclosed,
    leaf::Leaf,
    merkle::{Hash, leaf_hash},
};
use countersign_store::{Connection, event::StoredEvent, log_tree};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Error, Idempotency, Trace};

/// How an allowed call ended.
#[derive(Debug, Clone)]
pub struct RecordToolCall {
    /// The ALLOW to which it belongs.
    pub policy_decision_id: DecisionId,
    /// How it ended.
    pub outcome: Outcome,
    /// SHA-256 of the result.
    pub response_hash: Option<[u8; 32]>,
    /// How long it took, microseconds.
    pub duration_micros: Option<u64>,
    /// The reporter.
    pub emitter_id: Option<String>,
    /// The reporter's counter.
    pub emitter_seq: Option<u64>,
    /// When it ended, by the reporter's clock.
    pub timestamp: Option<OffsetDateTime>,
    /// The trace of the report.
    pub trace: Option<Trace>,
    /// The idempotency key of the report.
    pub idempotency: Option<Idempotency>,
}

/// Where an outcome was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallRecorded {
    /// The event.
    pub event_id: EventId,
    /// Its place in the log.
    pub log_index: i64,
}

/// One custody event that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// Its place in the log.
    pub log_index: i64,
    /// The event, exactly as hashed.
    pub leaf_bytes: Vec<u8>,
    /// The parsed event.
    pub leaf: Leaf<'static>,
    /// The texts that are not erased.
    pub disclosed: Disclosed,
    /// The hash of the leaf; if it is known that the tree holds another one, the tree's.
    pub leaf_hash: Hash,
    /// Whether the tree holds another hash: the stored leaf is not the one that was recorded.
    pub altered: bool,
}

impl EventRecord {
    /// These events, compared with the hashes that the tree holds for them.
    pub(crate) async fn compared(conn: &mut Connection, events: Vec<StoredEvent>) -> Result<Vec<Self>, Error> {
        let indices: Vec<_> = events.iter().map(|event| event.log_index).collect();
        let recorded = log_tree::recorded_hashes(conn, &indices).await?;
        events
            .into_iter()
            .zip(recorded)
            .map(|(event, recorded)| Self::try_from(event).map(|event| event.held_to(recorded)))
            .collect()
    }

    /// Compared with the hash that the tree holds at its index; events of the last second have none yet.
    fn held_to(mut self, recorded: Option<Hash>) -> Self {
        if let Some(recorded) = recorded {
            self.altered = recorded != self.leaf_hash;
            self.leaf_hash = recorded;
        }
        self
    }
}

impl TryFrom<StoredEvent> for EventRecord {
    type Error = Error;
    fn try_from(event: StoredEvent) -> Result<Self, Error> {
        let leaf =
            Leaf::parse(&event.leaf_bytes).map_err(|error| Error::internal("a stored leaf cannot be read", error))?;
        Ok(Self {
            log_index: event.log_index,
            leaf_hash: leaf_hash(&event.leaf_bytes),
            leaf_bytes: event.leaf_bytes,
            leaf,
            disclosed: event.disclosed,
            altered: false,
        })
    }
}
