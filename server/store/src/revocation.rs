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

/// The entries above `floor` and those of keys, oldest first.
pub async fn kept(conn: &mut Connection, floor: i64) -> Result<Vec<Revocation>, StoreError> {
    let rows = sqlx::query!(
        "SELECT seq, kind, id, create_time FROM revocation WHERE seq > $1 OR kind = 'key' ORDER BY seq",
        floor
    );
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

/// The newest entry up to which all above `floor` were entered before `before`; `floor` itself where the oldest was not.
pub async fn older(conn: &mut Connection, floor: i64, before: OffsetDateTime) -> Result<i64, StoreError> {
    let seq = sqlx::query_scalar!(
        r#"SELECT coalesce(
               (SELECT min(seq) - 1 FROM revocation WHERE seq > $1 AND create_time >= $2),
               (SELECT max(seq) FROM revocation WHERE seq > $1),
               $1
           ) AS "seq!""#,
        floor,
        before
    );
    Ok(seq.fetch_one(conn).await?)
}
