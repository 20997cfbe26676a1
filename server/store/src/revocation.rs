//! Revocation entries: append-only, numbered under the head, so the numbers have no gaps and commit in order.

use countersign_core::revocation::Revocation;
use time::OffsetDateTime;

use crate::{Connection, StoreError, convert::parse};

/// Stores an entry.
pub async fn insert(conn: &mut Connection, entry: &Revocation) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO revocation (seq, kind, id, create_time) VALUES ($1, $2, $3, $4)",
        entry.seq,
        entry.kind.as_str(),
        entry.id,
        entry.create_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The entries since `since`, oldest first.
pub async fn since(conn: &mut Connection, since: OffsetDateTime) -> Result<Vec<Revocation>, StoreError> {
    let rows =
        sqlx::query!("SELECT seq, kind, id, create_time FROM revocation WHERE create_time >= $1 ORDER BY seq", since);
    rows.fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            Ok(Revocation {
                seq: row.seq,
                kind: parse("revocation", "kind", &row.kind)?,
                id: row.id,
                create_time: row.create_time,
            })
        })
        .collect()
}
