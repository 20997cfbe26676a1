//! Cache extensions: how much longer than usual an ALLOW may be cached.

use countersign_core::{cache_extension::CacheExtension, ids::CacheExtensionId};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    convert::{number, parse, stored},
};

const TABLE: &str = "cache_extension";

struct Row {
    cache_extension_id: Uuid,
    extend_to_seconds: i32,
    life_seconds: i32,
    reason: String,
    proposed_by: String,
    propose_time: OffsetDateTime,
    confirmed_by: Option<String>,
    end_time: Option<OffsetDateTime>,
    stop_time: Option<OffsetDateTime>,
}

impl TryFrom<Row> for CacheExtension {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            cache_extension_id: CacheExtensionId(row.cache_extension_id),
            extend_to_seconds: number(TABLE, "extend_to_seconds", row.extend_to_seconds)?,
            life_seconds: number(TABLE, "life_seconds", row.life_seconds)?,
            reason: row.reason,
            proposed_by: parse(TABLE, "proposed_by", &row.proposed_by)?,
            propose_time: row.propose_time,
            confirmed_by: row.confirmed_by.map(|by| parse(TABLE, "confirmed_by", &by)).transpose()?,
            end_time: row.end_time,
            stop_time: row.stop_time,
        })
    }
}

/// Stores a proposal.
#[tracing::instrument(name = "store.cache_extension.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, extension: &CacheExtension) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO cache_extension (cache_extension_id, extend_to_seconds, life_seconds, reason, proposed_by, propose_time)
         VALUES ($1, $2, $3, $4, $5, $6)",
        extension.cache_extension_id.0,
        stored::<_, i32>(TABLE, extension.extend_to_seconds)?,
        stored::<_, i32>(TABLE, extension.life_seconds)?,
        extension.reason,
        extension.proposed_by.as_str(),
        extension.propose_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records who confirmed it and when it ends, or that it was stopped.
#[tracing::instrument(name = "store.cache_extension.update", target = "countersign_trace", level = "debug", skip_all)]
pub async fn update(conn: &mut Connection, extension: &CacheExtension) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE cache_extension SET confirmed_by = $2, end_time = $3, stop_time = $4 WHERE cache_extension_id = $1",
        extension.cache_extension_id.0,
        extension.confirmed_by.as_ref().map(AsRef::as_ref),
        extension.end_time,
        extension.stop_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One extension.
#[tracing::instrument(name = "store.cache_extension.get", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get(conn: &mut Connection, id: CacheExtensionId) -> Result<Option<CacheExtension>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT cache_extension_id, extend_to_seconds, life_seconds, reason, proposed_by, propose_time, confirmed_by, end_time,
             stop_time
         FROM cache_extension WHERE cache_extension_id = $1",
        id.0
    );
    row.fetch_optional(conn).await?.map(CacheExtension::try_from).transpose()
}

/// The newest extension.
#[tracing::instrument(name = "store.cache_extension.newest", target = "countersign_trace", level = "debug", skip_all)]
pub async fn newest(conn: &mut Connection) -> Result<Option<CacheExtension>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT cache_extension_id, extend_to_seconds, life_seconds, reason, proposed_by, propose_time, confirmed_by, end_time,
             stop_time
         FROM cache_extension ORDER BY cache_extension_id DESC LIMIT 1"
    );
    row.fetch_optional(conn).await?.map(CacheExtension::try_from).transpose()
}

/// The newest extension that was stopped while it was active: answers that were cached under it are no longer valid.
#[tracing::instrument(
    name = "store.cache_extension.newest_stopped",
    target = "countersign_trace",
    level = "debug",
    skip_all
)]
pub async fn newest_stopped(conn: &mut Connection) -> Result<Option<CacheExtensionId>, StoreError> {
    let id = sqlx::query_scalar!(
        "SELECT cache_extension_id FROM cache_extension WHERE stop_time IS NOT NULL AND end_time IS NOT NULL
         ORDER BY cache_extension_id DESC LIMIT 1"
    );
    Ok(id.fetch_optional(conn).await?.map(CacheExtensionId))
}

/// One page of extensions, newest first.
#[tracing::instrument(name = "store.cache_extension.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(conn: &mut Connection, page: &PageRequest) -> Result<Page<CacheExtension>, StoreError> {
    let before = page.after::<CacheExtensionId>()?.map_or(Uuid::max(), |id| id.0);
    let rows = sqlx::query_as!(
        Row,
        "SELECT cache_extension_id, extend_to_seconds, life_seconds, reason, proposed_by, propose_time, confirmed_by, end_time,
             stop_time
         FROM cache_extension WHERE cache_extension_id < $1 ORDER BY cache_extension_id DESC LIMIT $2",
        before,
        page.limit()
    );
    let found = rows.fetch_all(conn).await?.into_iter().map(CacheExtension::try_from).collect::<Result<_, _>>()?;
    Ok(Page::cut(found, page, |extension: &CacheExtension| extension.cache_extension_id))
}
