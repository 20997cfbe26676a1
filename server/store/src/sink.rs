//! Sinks of the export: how far each has come (its cursor), which server serves it (a lease by the database's clock), and the events
//! that it refused.

use std::time::Duration;

use sqlx::{postgres::types::PgInterval, types::Uuid};
use time::OffsetDateTime;

use crate::{Connection, StoreError, head::LOG_ID};

/// An event that a sink refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its place in the log.
    pub log_index: i64,
    /// `evt_...`.
    pub event_id: String,
    /// What the sink said, at most 1,000 characters.
    pub why: String,
}

/// How far a sink has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPosition {
    /// Every event before this index was taken or refused.
    pub next_index: i64,
    /// How many events it refused.
    pub refused: i64,
    /// When the event at `next_index` came, if there is one: its time is how far the sink is behind.
    pub next_time: Option<OffsetDateTime>,
}

fn interval(lease: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(lease.as_micros()).unwrap_or(i64::MAX) }
}

/// Takes or renews the lease of a sink for `holder`, and returns the index with which it goes on. A sink that is not known
/// yet begins at `start_index`. `None` if another server has the lease.
#[tracing::instrument(name = "store.sink.take", target = "countersign_trace", level = "debug", skip_all)]
pub async fn take(
    conn: &mut Connection,
    name: &str,
    start_index: i64,
    holder: Uuid,
    lease: Duration,
) -> Result<Option<i64>, StoreError> {
    let taken = sqlx::query_scalar!(
        "INSERT INTO sink (name, log_id, next_index, holder, lease_end)
         VALUES ($1, $2, $3, $4, clock_timestamp() + $5)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_end = excluded.lease_end
         WHERE sink.holder = excluded.holder OR sink.lease_end < clock_timestamp()
         RETURNING next_index",
        name,
        LOG_ID,
        start_index,
        holder,
        interval(lease)
    );
    Ok(taken.fetch_optional(conn).await?)
}

/// Moves a sink from index `from` to `to`, and notes what it refused on the way. Returns false, with nothing written, if
/// `holder` does not have the lease any more, or the sink is not at `from`.
#[tracing::instrument(name = "store.sink.advance", target = "countersign_trace", level = "debug", skip_all)]
pub async fn advance(
    conn: &mut Connection,
    name: &str,
    holder: Uuid,
    (from, to): (i64, i64),
    refused: &[Refusal],
) -> Result<bool, StoreError> {
    let indices: Vec<i64> = refused.iter().map(|one| one.log_index).collect();
    let text = |get: fn(&Refusal) -> &str| refused.iter().map(get).collect::<Vec<_>>();
    let (ids, reasons) = (text(|one| &one.event_id), text(|one| &one.why));
    let moved = sqlx::query_scalar!(
        r#"WITH moved AS (
               UPDATE sink SET next_index = $4, delivered_time = clock_timestamp()
               WHERE name = $1 AND holder = $2 AND next_index = $3 RETURNING name
           ), noted AS (
               INSERT INTO sink_refusal (sink, log_index, event_id, why)
               SELECT moved.name, refused.log_index, refused.event_id, refused.why
               FROM moved, UNNEST($5::bigint[], $6::text[], $7::text[]) AS refused (log_index, event_id, why)
               ON CONFLICT (sink, log_index) DO NOTHING
           )
           SELECT EXISTS (SELECT FROM moved) AS "moved!""#,
        name,
        holder,
        from,
        to,
        &indices,
        &ids as &[&str],
        &reasons as &[&str]
    );
    Ok(moved.fetch_one(conn).await?)
}

/// Gives the lease back, so that the next server goes on at once.
#[tracing::instrument(name = "store.sink.release", target = "countersign_trace", level = "debug", skip_all)]
pub async fn release(conn: &mut Connection, name: &str, holder: Uuid) -> Result<(), StoreError> {
    sqlx::query!("UPDATE sink SET lease_end = '-infinity' WHERE name = $1 AND holder = $2", name, holder)
        .execute(conn)
        .await?;
    Ok(())
}

/// How far a sink has come. `None` if no server has served it yet.
#[tracing::instrument(name = "store.sink.position", target = "countersign_trace", level = "debug", skip_all)]
pub async fn position(conn: &mut Connection, name: &str) -> Result<Option<SinkPosition>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT next_index, (SELECT count(*) FROM sink_refusal WHERE sink = $1) AS "refused!",
                  (SELECT event_id FROM custody_event WHERE log_index = sink.next_index LIMIT 1) AS event_id
           FROM sink WHERE name = $1"#,
        name
    );
    let Some(row) = row.fetch_optional(conn).await? else { return Ok(None) };
    let next_time = row.event_id.and_then(|id: Uuid| {
        let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
        let seconds = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
        Some(seconds + Duration::from_nanos(nanoseconds.into()))
    });
    Ok(Some(SinkPosition { next_index: row.next_index, refused: row.refused, next_time }))
}
