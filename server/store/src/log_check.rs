//! The comparison of the stored events with the tiles: how far it is, and what it found.

use countersign_core::ids::{EventId, InstanceId};
use countersign_ledger::{export::Disclosed, merkle::Hash};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, StoreError, convert,
    event::{Row as EventRow, StoredEvent},
    head::LOG_ID,
};

/// An event that does not match the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The first index that does not match.
    pub log_index: i64,
    /// What is wrong with it.
    pub why: String,
}

/// How far the comparison is, by all servers together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogCheck {
    /// The events before this one were compared in the round that is under way.
    pub checked_size: i64,
    /// When that round began. `None` before the first one.
    pub round_start: Option<OffsetDateTime>,
    /// What it found so far.
    pub round_bad: Option<Finding>,
    /// What the last whole round found.
    pub bad: Option<Finding>,
    /// How many events the last whole round compared.
    pub whole_size: Option<i64>,
    /// When it was complete.
    pub whole_time: Option<OffsetDateTime>,
}

impl LogCheck {
    /// What is known to be wrong: what this round found, or else the last one.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        let found = self.round_bad.iter().chain(&self.bad);
        found.min_by_key(|finding| finding.log_index)
    }
}

struct Row {
    checked_size: i64,
    round_start: Option<OffsetDateTime>,
    round_bad: Option<i64>,
    round_why: Option<String>,
    bad_index: Option<i64>,
    bad_why: Option<String>,
    whole_size: Option<i64>,
    whole_time: Option<OffsetDateTime>,
}

impl From<Row> for LogCheck {
    fn from(row: Row) -> Self {
        let finding = |index: Option<i64>, why: Option<String>| {
            index.map(|log_index| Finding { log_index, why: why.unwrap_or_default() })
        };
        Self {
            checked_size: row.checked_size,
            round_start: row.round_start,
            round_bad: finding(row.round_bad, row.round_why),
            bad: finding(row.bad_index, row.bad_why),
            whole_size: row.whole_size,
            whole_time: row.whole_time,
        }
    }
}

/// Locks the check until the transaction ends. `None` if another server is at it.
#[tracing::instrument(name = "store.log_check.try_lock", target = "countersign_trace", level = "debug", skip_all)]
pub async fn try_lock(conn: &mut Connection) -> Result<Option<LogCheck>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT checked_size, round_start, round_bad, round_why, bad_index, bad_why, whole_size, whole_time
         FROM log_check WHERE log_id = $1 FOR UPDATE SKIP LOCKED",
        LOG_ID
    );
    Ok(row.fetch_optional(conn).await?.map(LogCheck::from))
}

/// Reads how far the check is.
#[tracing::instrument(name = "store.log_check.read", target = "countersign_trace", level = "debug", skip_all)]
pub async fn read(conn: &mut Connection) -> Result<LogCheck, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT checked_size, round_start, round_bad, round_why, bad_index, bad_why, whole_size, whole_time
         FROM log_check WHERE log_id = $1",
        LOG_ID
    );
    Ok(row.fetch_one(conn).await?.into())
}

/// Writes how far the check is. The caller has locked it.
#[tracing::instrument(name = "store.log_check.write", target = "countersign_trace", level = "debug", skip_all)]
pub async fn write(conn: &mut Connection, check: &LogCheck) -> Result<(), StoreError> {
    let part =
        |finding: &Option<Finding>| finding.as_ref().map(|finding| (finding.log_index, finding.why.clone())).unzip();
    let ((round_bad, round_why), (bad_index, bad_why)) = (part(&check.round_bad), part(&check.bad));
    sqlx::query!(
        "UPDATE log_check SET checked_size = $2, round_start = $3, round_bad = $4, round_why = $5, bad_index = $6,
             bad_why = $7, whole_size = $8, whole_time = $9
         WHERE log_id = $1",
        LOG_ID,
        check.checked_size,
        check.round_start,
        round_bad,
        round_why,
        bad_index,
        bad_why,
        check.whole_size,
        check.whole_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An event with all columns beside its leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// Its id.
    pub event_id: EventId,
    /// The kind.
    pub kind: String,
    /// The sponsor.
    pub sponsor_id: Option<String>,
    /// The instance.
    pub instance_id: Option<InstanceId>,
    /// The root of the chain.
    pub root_instance_id: Option<InstanceId>,
    /// The tool.
    pub tool_id: Option<String>,
    /// The answer.
    pub effect: Option<String>,
    /// The decision that it belongs to.
    pub decision_id: Option<Uuid>,
    /// The leaf, the index, and the texts.
    pub event: StoredEvent,
    /// The hash that the tree holds at this index. `None` if no tile has one.
    pub tile_hash: Option<Hash>,
}

/// The events from index `from` until before `to`, in the order of their indices, whatever their columns say.
#[tracing::instrument(name = "store.log_check.rows", target = "countersign_trace", level = "debug", skip_all)]
pub async fn rows(conn: &mut Connection, from: i64, to: i64) -> Result<Vec<StoredRow>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT log_index, event_id, kind, sponsor_id, instance_id, root_instance_id, tool_id, effect, decision_id, leaf_bytes,
                  purpose, purpose_salt, reason, reason_salt, identity, identity_salt, on_behalf_of, on_behalf_of_salt,
                  (SELECT nullif(substring(hashes FROM (log_index % 256 * 32 + 1)::integer FOR 32), '') FROM log_tile
                   WHERE log_id = $3 AND level = 0 AND tile_index = log_index / 256) AS tile_hash
           FROM custody_event WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index"#,
        from,
        to,
        LOG_ID
    );
    let mut stored = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let event = EventRow {
            log_index: row.log_index,
            leaf_bytes: row.leaf_bytes,
            purpose: row.purpose,
            purpose_salt: row.purpose_salt,
            reason: row.reason,
            reason_salt: row.reason_salt,
            identity: row.identity,
            identity_salt: row.identity_salt,
            on_behalf_of: row.on_behalf_of,
            on_behalf_of_salt: row.on_behalf_of_salt,
        };
        let (leaf_bytes, log_index) = (event.leaf_bytes.clone(), event.log_index);
        stored.push(StoredRow {
            event_id: EventId(row.event_id),
            kind: row.kind,
            sponsor_id: row.sponsor_id,
            instance_id: row.instance_id.map(InstanceId),
            root_instance_id: row.root_instance_id.map(InstanceId),
            tool_id: row.tool_id,
            effect: row.effect,
            decision_id: row.decision_id,
            // A salt of another length is a finding, and not an error.
            event: StoredEvent::try_from(event).unwrap_or(StoredEvent {
                log_index,
                leaf_bytes,
                disclosed: Disclosed::default(),
            }),
            tile_hash: row.tile_hash.map(|hash| convert::bytes("log_tile", "hashes", &hash)).transpose()?,
        });
    }
    Ok(stored)
}
