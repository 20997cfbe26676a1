//! Manifests: how far the log is counted, and the counts of a range of it: by kind, sponsor and tool, numbers that a
//! reporter left out, and outcomes that were reported or overdue.

use countersign_ledger::leaf::{Count, Decimal, Emitter};
use time::OffsetDateTime;

use crate::{Connection, StoreError, convert, head::LOG_ID};

/// How far the log is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The events before this one are counted.
    pub size: i64,
    /// As of when they were all events. `None` before the first manifest.
    pub whole_time: Option<OffsetDateTime>,
    /// Of the decisions before it that allowed, those without an outcome before it.
    pub open_decisions: i64,
    /// Allowed calls whose outcome was reported before the deadline, in the last hour that is counted and since.
    pub reported: i64,
    /// Allowed calls whose outcome was not, in the same time.
    pub overdue: i64,
    /// The last full hour at which the log was counted.
    pub hour_time: OffsetDateTime,
}

/// Reads how far the log is counted.
pub async fn read(conn: &mut Connection) -> Result<Counted, StoreError> {
    let row = sqlx::query_as!(
        Counted,
        "SELECT size, whole_time, open_decisions, reported, overdue, hour_time FROM log_manifest WHERE log_id = $1",
        LOG_ID
    );
    Ok(row.fetch_one(conn).await?)
}

/// Writes how far the log is counted. The caller holds the log head.
pub async fn write(conn: &mut Connection, counted: &Counted) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE log_manifest SET size = $2, whole_time = $3, open_decisions = $4, reported = $5, overdue = $6, hour_time = $7
         WHERE log_id = $1",
        LOG_ID,
        counted.size,
        counted.whole_time,
        counted.open_decisions,
        counted.reported,
        counted.overdue,
        counted.hour_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the turn to count, until the transaction ends. Returns whether it was free. It saves work, and no more: which
/// range is next is decided under the log head.
pub async fn try_turn(conn: &mut Connection) -> Result<bool, StoreError> {
    let taken =
        sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtext('countersign.manifest')) AS "taken!""#);
    Ok(taken.fetch_one(conn).await?)
}

/// What a range of the log has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeCounts {
    /// Its events by kind, sponsor and tool.
    pub counts: Vec<Count<'static>>,
    /// The reporters that number their events.
    pub emitters: Vec<Emitter<'static>>,
    /// Decisions that allowed.
    pub allowed: i64,
    /// Decisions whose first outcome is in the range, and was reported.
    pub reported: i64,
    /// Decisions whose first outcome is in the range, and is that nobody had reported one at the deadline.
    pub overdue: i64,
}

/// Counts the events from index `from` until before `to`. `None` if counts and reporters together are more than `most`.
pub async fn count(conn: &mut Connection, from: i64, to: i64, most: i64) -> Result<Option<RangeCounts>, StoreError> {
    let mut range = RangeCounts::default();
    let rows = sqlx::query!(
        r#"SELECT kind, sponsor_id, tool_id, count(*) AS "count!",
                  count(*) FILTER (WHERE kind = 'decision' AND effect = 'ALLOW') AS "allowed!"
           FROM custody_event WHERE log_index >= $1 AND log_index < $2
           GROUP BY kind, sponsor_id, tool_id LIMIT $3::bigint + 1"#,
        from,
        to,
        most
    );
    for row in rows.fetch_all(&mut *conn).await? {
        range.allowed += row.allowed;
        range.counts.push(Count {
            count: Decimal(convert::number("custody_event", "count", row.count)?),
            kind: convert::parse("custody_event", "kind", &row.kind)?,
            sponsor_id: row.sponsor_id.map(Into::into),
            tool_id: row.tool_id.map(Into::into),
        });
    }
    // Parsing that many leaves takes seconds. A leaf is canonical: no string in it holds a quotation mark, the two fields
    // follow each other, and together they are shorter than this. Their numbers have up to 64 bits.
    let rows = sqlx::query!(
        r#"SELECT emitter_id AS "emitter_id!", min(seq)::text AS "first!", max(seq)::text AS "last!",
                  (max(seq) - min(seq) + 1 - count(DISTINCT seq))::text AS "missing!"
           FROM (
               SELECT split_part(fields, '"', 4) AS emitter_id, split_part(fields, '"', 8)::numeric AS seq
               FROM (
                   SELECT convert_from(
                       substring(leaf_bytes FROM position('"emitter_id":"'::bytea IN leaf_bytes) FOR 200), 'UTF8'
                   ) AS fields
                   FROM custody_event
                   WHERE log_index >= $1 AND log_index < $2 AND kind = 'tool_call'
                     AND position('"emitter_id":"'::bytea IN leaf_bytes) > 0
                   OFFSET 0 -- so that each is cut out once
               ) AS numbered WHERE split_part(fields, '"', 6) = 'emitter_seq'
           ) AS reported
           GROUP BY emitter_id LIMIT $3::bigint + 1"#,
        from,
        to,
        most
    );
    let number = |text: &str| convert::parse("custody_event", "emitter_seq", text).map(Decimal);
    for row in rows.fetch_all(&mut *conn).await? {
        range.emitters.push(Emitter {
            emitter_id: row.emitter_id.into(),
            first_seq: number(&row.first)?,
            last_seq: number(&row.last)?,
            missing: number(&row.missing)?,
        });
    }
    if i64::try_from(range.counts.len() + range.emitters.len()).is_ok_and(|parts| parts > most) {
        return Ok(None);
    }
    let firsts = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE outcome.reporter <> 'SERVER') AS "reported!",
                  count(*) FILTER (WHERE outcome.reporter = 'SERVER') AS "overdue!"
           FROM custody_event event
           JOIN tool_call outcome ON outcome.decision_id = event.decision_id AND outcome.log_index = event.log_index
           WHERE event.log_index >= $1 AND event.log_index < $2 AND event.kind = 'tool_call' AND NOT EXISTS (
               SELECT FROM tool_call earlier
               WHERE earlier.decision_id = outcome.decision_id AND earlier.log_index < outcome.log_index
           )"#,
        from,
        to
    );
    let row = firsts.fetch_one(conn).await?;
    (range.reported, range.overdue) = (row.reported, row.overdue);
    Ok(Some(range))
}
