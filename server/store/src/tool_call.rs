//! Outcomes of decisions (tool calls), as stored. Each reporter may report at most one per decision.

use countersign_core::{
    decision::Reporter,
    ids::{DecisionId, EventId},
};
use sqlx::types::Uuid;

use crate::{
    Connection, StoreError,
    convert::{bytes, parse},
};

/// An outcome of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolCall {
    /// The decision whose outcome it is.
    pub decision_id: DecisionId,
    /// The event that records it.
    pub event_id: EventId,
    /// That event's place in the log.
    pub log_index: i64,
    /// Hash of the report: the same report is answered again, a different one is refused.
    pub fingerprint: [u8; 32],
    /// The party that reported it.
    pub reporter: Reporter,
}

/// The outcomes of these decisions, if there are any, in log order.
#[tracing::instrument(name = "store.tool_call.get_all", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get_all(conn: &mut Connection, decisions: &[Uuid]) -> Result<Vec<ToolCall>, StoreError> {
    let rows = sqlx::query!(
        "SELECT decision_id, event_id, log_index, fingerprint, reporter FROM tool_call WHERE decision_id = ANY ($1) ORDER BY log_index",
        decisions
    );
    rows.fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            Ok(ToolCall {
                decision_id: DecisionId(row.decision_id),
                event_id: EventId(row.event_id),
                log_index: row.log_index,
                fingerprint: bytes("tool_call", "fingerprint", &row.fingerprint)?,
                reporter: parse("tool_call", "reporter", &row.reporter)?,
            })
        })
        .collect()
}

/// Stores outcomes.
#[tracing::instrument(name = "store.tool_call.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert<'a>(
    conn: &mut Connection,
    calls: impl IntoIterator<Item = &'a ToolCall>,
) -> Result<(), StoreError> {
    let calls: Vec<_> = calls.into_iter().collect();
    let decisions: Vec<_> = calls.iter().map(|call| call.decision_id.0).collect();
    let events: Vec<_> = calls.iter().map(|call| call.event_id.0).collect();
    let indices: Vec<_> = calls.iter().map(|call| call.log_index).collect();
    let fingerprints: Vec<&[u8]> = calls.iter().map(|call| call.fingerprint.as_slice()).collect();
    let reporters: Vec<&str> = calls.iter().map(|call| call.reporter.as_str()).collect();
    sqlx::query!(
        "INSERT INTO tool_call (decision_id, event_id, log_index, fingerprint, reporter)
         SELECT decision_id, event_id, log_index, fingerprint, reporter
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::text[])
              AS call (decision_id, event_id, log_index, fingerprint, reporter)",
        &decisions,
        &events,
        &indices,
        &fingerprints as &[&[u8]],
        &reporters as &[&str]
    )
    .execute(conn)
    .await?;
    Ok(())
}
