//! Custody events as they are reported and read.

use countersign_core::{
    decision::Outcome,
    ids::{DecisionId, EventId},
};
use countersign_ledger::{export::Disclosed, leaf::Leaf};
use countersign_store::event::StoredEvent;
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
}

impl TryFrom<StoredEvent> for EventRecord {
    type Error = Error;
    fn try_from(event: StoredEvent) -> Result<Self, Error> {
        let leaf =
            Leaf::parse(&event.leaf_bytes).map_err(|error| Error::internal("a stored leaf cannot be read", error))?;
        Ok(Self { log_index: event.log_index, leaf_bytes: event.leaf_bytes, leaf, disclosed: event.disclosed })
    }
}
