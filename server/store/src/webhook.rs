//! Notices that wait for delivery to webhooks (outbox). Servers share the work: each takes rows that no other server
//! has taken, and a row that was taken but not finished becomes due again.

use std::collections::BTreeMap;

use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, StoreError,
    convert::{number, stored},
};

/// A notice for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    /// The same for every endpoint and every attempt.
    pub message_id: Uuid,
    /// The endpoint's name.
    pub endpoint: String,
    /// What the notice is about.
    pub topic: &'static str,
    /// The JSON that is sent.
    pub body: String,
    /// When the event happened.
    pub create_time: OffsetDateTime,
    /// The time of the first attempt.
    pub next_time: OffsetDateTime,
}

/// A notice whose delivery is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The same for every endpoint and every attempt.
    pub message_id: Uuid,
    /// What the notice is about.
    pub topic: String,
    /// The JSON that is sent.
    pub body: String,
    /// When the event happened.
    pub create_time: OffsetDateTime,
    /// The number of this attempt, from 1.
    pub attempts: u32,
}

/// Writes notices. A notice replaces an earlier one with the same message id that was not attempted yet.
#[tracing::instrument(name = "store.webhook.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, notices: &[NewNotice]) -> Result<(), StoreError> {
    // A statement may write a row only once: of several notices with one id, the last is kept.
    let notices: BTreeMap<_, _> =
        notices.iter().map(|notice| ((notice.message_id, notice.endpoint.as_str()), notice)).collect();
    let notices: Vec<_> = notices.into_values().collect();
    let column = |get: fn(&NewNotice) -> &str| notices.iter().copied().map(get).collect::<Vec<_>>();
    let ids: Vec<Uuid> = notices.iter().map(|notice| notice.message_id).collect();
    let times = |get: fn(&NewNotice) -> OffsetDateTime| notices.iter().copied().map(get).collect::<Vec<_>>();
    sqlx::query!(
        "INSERT INTO webhook_outbox (message_id, endpoint, topic, body, create_time, next_time)
         SELECT message_id, endpoint, topic, body, create_time, next_time
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
              AS notice (message_id, endpoint, topic, body, create_time, next_time)
         ON CONFLICT (message_id, endpoint) DO UPDATE SET body = excluded.body
             WHERE webhook_outbox.attempts = 0",
        &ids,
        &column(|notice| &notice.endpoint) as &[&str],
        &column(|notice| notice.topic) as &[&str],
        &column(|notice| &notice.body) as &[&str],
        &times(|notice| notice.create_time),
        &times(|notice| notice.next_time)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Starts an attempt of what is due for `endpoint` at `now`, oldest first, at most `most`. No other server takes these
/// before `lost_at`. No notice is scheduled after `never`; one that is was written by a wrong clock, and is due.
#[tracing::instrument(name = "store.webhook.take_due", target = "countersign_trace", level = "debug", skip_all)]
pub async fn take_due(
    conn: &mut Connection,
    endpoint: &str,
    now: OffsetDateTime,
    lost_at: OffsetDateTime,
    never: OffsetDateTime,
    most: i64,
) -> Result<Vec<Due>, StoreError> {
    let rows = sqlx::query!(
        "UPDATE webhook_outbox AS taken SET attempts = attempts + 1, next_time = $3
         FROM (
            SELECT message_id FROM webhook_outbox WHERE endpoint = $1 AND (next_time <= $2 OR next_time > $5)
            ORDER BY next_time LIMIT $4 FOR UPDATE SKIP LOCKED
         ) AS due
         WHERE taken.message_id = due.message_id AND taken.endpoint = $1
         RETURNING taken.message_id, topic, body, create_time, attempts",
        endpoint,
        now,
        lost_at,
        most,
        never
    );
    rows.fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            Ok(Due {
                message_id: row.message_id,
                topic: row.topic,
                body: row.body,
                create_time: row.create_time,
                attempts: number("webhook_outbox", "attempts", row.attempts)?,
            })
        })
        .collect()
}

/// Deletes a notice that was delivered.
#[tracing::instrument(name = "store.webhook.delivered", target = "countersign_trace", level = "debug", skip_all)]
pub async fn delivered(conn: &mut Connection, endpoint: &str, message_id: Uuid) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM webhook_outbox WHERE message_id = $1 AND endpoint = $2", message_id, endpoint)
        .execute(conn)
        .await?;
    Ok(())
}

/// Sets when a notice whose attempt failed is attempted again; `None` means never. Nothing is written if a later
/// attempt has started.
#[tracing::instrument(name = "store.webhook.postpone", target = "countersign_trace", level = "debug", skip_all)]
pub async fn postpone(
    conn: &mut Connection,
    endpoint: &str,
    due: &Due,
    next_time: Option<OffsetDateTime>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE webhook_outbox SET next_time = $4 WHERE message_id = $1 AND endpoint = $2 AND attempts = $3",
        due.message_id,
        endpoint,
        stored::<_, i32>("webhook_outbox", due.attempts)?,
        next_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many notices wait for `endpoint`.
#[tracing::instrument(name = "store.webhook.waiting", target = "countersign_trace", level = "debug", skip_all)]
pub async fn waiting(conn: &mut Connection, endpoint: &str) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM webhook_outbox WHERE endpoint = $1 AND next_time IS NOT NULL"#,
        endpoint
    );
    Ok(count.fetch_one(conn).await?)
}

/// Deletes notices from before `before`, delivered or not.
#[tracing::instrument(name = "store.webhook.purge", target = "countersign_trace", level = "debug", skip_all)]
pub async fn purge(conn: &mut Connection, before: OffsetDateTime) -> Result<u64, StoreError> {
    let done = sqlx::query!("DELETE FROM webhook_outbox WHERE create_time < $1", before).execute(conn).await?;
    Ok(done.rows_affected())
}
