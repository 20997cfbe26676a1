//! Decisions that allowed and have no outcome yet: which of them have waited long enough, judged only by the database's
//! clock and the log order.

use std::time::Duration;

use countersign_core::{
    ids::InstanceId,
    names::{SponsorId, ToolId},
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    event::{Row, StoredEvent},
    head::LOG_ID,
};

/// A range of the log in which decisions are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// No decision before this index is open.
    pub from: i64,
    /// Everything before this index has waited long enough.
    pub to: i64,
}

/// A decision that allowed and has no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDecision {
    /// Its event.
    pub event_id: Uuid,
    /// Its place in the log.
    pub log_index: i64,
    /// The event, exactly as hashed.
    pub leaf_bytes: Vec<u8>,
}

/// Records the length of the log if it has grown past what is closed and no length was recorded within `spacing`. `now`
/// is the database's clock.
#[tracing::instrument(name = "store.open_decision.mark", target = "countersign_trace", level = "debug", skip_all)]
pub async fn mark(conn: &mut Connection, spacing: Duration, now: OffsetDateTime) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO outcome_mark (size, mark_time)
         SELECT head.size, $3::timestamptz FROM log_head head JOIN outcome_closed closed USING (log_id)
         WHERE head.log_id = $1 AND head.size > closed.size AND NOT EXISTS (
             SELECT FROM outcome_mark WHERE mark_time > $3 - make_interval(secs => $2) AND mark_time <= $3
         )
         ON CONFLICT (size) DO UPDATE SET mark_time = excluded.mark_time WHERE outcome_mark.mark_time > excluded.mark_time",
        LOG_ID,
        spacing.as_secs_f64(),
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Where decisions have waited for `deadline` at `now`. `None` if there is no such range.
#[tracing::instrument(name = "store.open_decision.due", target = "countersign_trace", level = "debug", skip_all)]
pub async fn due(conn: &mut Connection, deadline: Duration, now: OffsetDateTime) -> Result<Option<Due>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT size AS "from!",
                  (SELECT max(size) FROM outcome_mark WHERE mark_time <= $3::timestamptz - make_interval(secs => $2)) AS "to"
           FROM outcome_closed WHERE log_id = $1"#,
        LOG_ID,
        deadline.as_secs_f64(),
        now
    )
    .fetch_one(conn)
    .await?;
    Ok(row.to.filter(|to| *to > row.from).map(|to| Due { from: row.from, to }))
}

/// The open decisions in a range, the first `most`.
#[tracing::instrument(name = "store.open_decision.open", target = "countersign_trace", level = "debug", skip_all)]
pub async fn open(conn: &mut Connection, stretch: Due, most: i64) -> Result<Vec<OpenDecision>, StoreError> {
    let rows = sqlx::query_as!(
        OpenDecision,
        "SELECT event_id, log_index, leaf_bytes FROM custody_event
         WHERE log_index >= $1 AND log_index < $2 AND kind = 'decision' AND effect = 'ALLOW'
           AND NOT EXISTS (SELECT FROM tool_call WHERE tool_call.decision_id = custody_event.event_id)
         ORDER BY log_index LIMIT $3",
        stretch.from,
        stretch.to,
        most
    );
    Ok(rows.fetch_all(conn).await?)
}

/// Which open decisions to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct OpenDecisionFilter {
    /// Of this sponsor.
    pub sponsor_id: Option<SponsorId>,
    /// Of this instance.
    pub agent_instance_id: Option<InstanceId>,
    /// On this tool.
    pub tool_id: Option<ToolId>,
    /// At or after this instant.
    pub start_time: Option<OffsetDateTime>,
    /// Before this instant.
    pub end_time: Option<OffsetDateTime>,
}

/// One page of decisions that allowed and have no outcome, oldest first. Before the index up to which outcomes are closed
/// there are none, so that the read begins there.
#[tracing::instrument(name = "store.open_decision.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    filter: &OpenDecisionFilter,
    page: &PageRequest,
) -> Result<Page<StoredEvent>, StoreError> {
    let after = page.after::<i64>()?.map_or(0, |last| last.saturating_add(1));
    let rows = sqlx::query_as!(
        Row,
        "SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                on_behalf_of, on_behalf_of_salt
         FROM custody_event
         WHERE log_index >= greatest($1, (SELECT size FROM outcome_closed WHERE log_id = $2))
           AND kind = 'decision' AND effect = 'ALLOW'
           AND NOT EXISTS (SELECT FROM tool_call WHERE tool_call.decision_id = custody_event.event_id)
           AND ($3::text IS NULL OR sponsor_id = $3)
           AND ($4::uuid IS NULL OR instance_id = $4)
           AND ($5::text IS NULL OR tool_id = $5)
           AND ($6::timestamptz IS NULL OR event_id >= uuid_v7_floor($6))
           AND ($7::timestamptz IS NULL OR event_id < uuid_v7_floor($7))
         ORDER BY log_index LIMIT $8",
        after,
        LOG_ID,
        filter.sponsor_id.as_ref().map(SponsorId::as_str),
        filter.agent_instance_id.map(|id| id.0),
        filter.tool_id.as_ref().map(ToolId::as_str),
        filter.start_time,
        filter.end_time,
        page.limit()
    );
    let events = rows.fetch_all(conn).await?.into_iter().map(StoredEvent::try_from).collect::<Result<_, _>>()?;
    Ok(Page::cut(events, page, |event: &StoredEvent| event.log_index))
}

/// Records that no decision before `size` is open.
#[tracing::instrument(name = "store.open_decision.close", target = "countersign_trace", level = "debug", skip_all)]
pub async fn close(conn: &mut Connection, size: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH closed AS (UPDATE outcome_closed SET size = $2 WHERE log_id = $1 AND size < $2 RETURNING size)
         DELETE FROM outcome_mark USING closed WHERE outcome_mark.size <= closed.size",
        LOG_ID,
        size
    )
    .execute(conn)
    .await?;
    Ok(())
}
