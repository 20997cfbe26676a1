//! Checkpoints: signed sizes and roots of the log, of which old ones are thinned out to one an hour; and those that a
//! person gave up after a backup was restored.

use countersign_ledger::merkle::Hash;
use time::OffsetDateTime;

use crate::{Connection, StoreError, convert, head::LOG_ID};

/// A checkpoint as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// How many leaves the log had.
    pub size: i64,
    /// The root over them.
    pub root_hash: Hash,
    /// The C2SP signed note.
    pub note: String,
    /// When it was signed last.
    pub sign_time: OffsetDateTime,
}

struct Row {
    size: i64,
    root_hash: Vec<u8>,
    note: String,
    sign_time: OffsetDateTime,
}

impl TryFrom<Row> for StoredCheckpoint {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let root_hash = convert::bytes("log_checkpoint", "root_hash", &row.root_hash)?;
        Ok(Self { size: row.size, root_hash, note: row.note, sign_time: row.sign_time })
    }
}

/// Stores a checkpoint. One of the same size is signed again: it gets the time.
#[tracing::instrument(name = "store.checkpoint.write", target = "countersign_trace", level = "debug", skip_all)]
pub async fn write(conn: &mut Connection, checkpoint: &StoredCheckpoint) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO log_checkpoint (log_id, size, root_hash, note, sign_time) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (log_id, size) DO UPDATE SET sign_time = excluded.sign_time",
        LOG_ID,
        checkpoint.size,
        checkpoint.root_hash.as_slice(),
        checkpoint.note,
        checkpoint.sign_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The checkpoint of the largest size.
#[tracing::instrument(name = "store.checkpoint.newest", target = "countersign_trace", level = "debug", skip_all)]
pub async fn newest(conn: &mut Connection) -> Result<Option<StoredCheckpoint>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT size, root_hash, note, sign_time FROM log_checkpoint WHERE log_id = $1 ORDER BY size DESC LIMIT 1",
        LOG_ID
    );
    row.fetch_optional(conn).await?.map(StoredCheckpoint::try_from).transpose()
}

/// The checkpoint of exactly this size.
#[tracing::instrument(name = "store.checkpoint.of_size", target = "countersign_trace", level = "debug", skip_all)]
pub async fn of_size(conn: &mut Connection, size: i64) -> Result<Option<StoredCheckpoint>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT size, root_hash, note, sign_time FROM log_checkpoint WHERE log_id = $1 AND size = $2",
        LOG_ID,
        size
    );
    row.fetch_optional(conn).await?.map(StoredCheckpoint::try_from).transpose()
}

/// Thins out the checkpoints that were signed before `before`: of each hour, the last one stays.
#[tracing::instrument(name = "store.checkpoint.thin_out", target = "countersign_trace", level = "debug", skip_all)]
pub async fn thin_out(conn: &mut Connection, before: OffsetDateTime) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM log_checkpoint old WHERE old.log_id = $1 AND old.sign_time < $2 AND EXISTS (
             SELECT FROM log_checkpoint later
             WHERE later.log_id = $1 AND later.size > old.size
               AND date_trunc('hour', later.sign_time, 'UTC') = date_trunc('hour', old.sign_time, 'UTC')
         )",
        LOG_ID,
        before
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Published checkpoints that a person gave up: those of sizes above `from_size`, up to `to_size`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The size that the database had.
    pub from_size: i64,
    /// The size of the newest published checkpoint that was given up.
    pub to_size: i64,
    /// Its root.
    pub root_hash: Hash,
    /// When.
    pub override_time: OffsetDateTime,
}

/// Records that published checkpoints are given up.
#[tracing::instrument(name = "store.checkpoint.give_up", target = "countersign_trace", level = "debug", skip_all)]
pub async fn give_up(conn: &mut Connection, given_up: &Override) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO log_override (log_id, from_size, to_size, root_hash, override_time) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (log_id, to_size, root_hash) DO NOTHING",
        LOG_ID,
        given_up.from_size,
        given_up.to_size,
        given_up.root_hash.as_slice(),
        given_up.override_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a checkpoint of this size was given up, by itself or with a later one.
#[tracing::instrument(name = "store.checkpoint.is_given_up", target = "countersign_trace", level = "debug", skip_all)]
pub async fn is_given_up(conn: &mut Connection, size: i64) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM log_override WHERE log_id = $1 AND $2 > from_size AND $2 <= to_size
           ) AS "found!""#,
        LOG_ID,
        size
    );
    Ok(found.fetch_one(conn).await?)
}
