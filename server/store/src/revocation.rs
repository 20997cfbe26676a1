//! Revocation entries: append-only, numbered under the log head, so the numbers have no gaps and are committed in
//! order.

use countersign_core::revocation::Revocation;
use time::OffsetDateTime;

use crate::{Connection, StoreError, convert::parse};

/// Stores entries.
#[tracing::instrument(name = "store.revocation.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, entries: &[Revocation]) -> Result<(), StoreError> {
    let seqs: Vec<i64> = entries.iter().map(|entry| entry.seq).collect();
    let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    let times: Vec<OffsetDateTime> = entries.iter().map(|entry| entry.create_time).collect();
    sqlx::query!(
        "INSERT INTO revocation (seq, kind, id, create_time)
         SELECT seq, kind, id, create_time
         FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[]) AS entry (seq, kind, id, create_time)",
        &seqs,
        &kinds as &[&str],
        &ids as &[&str],
        &times
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The entries above `floor` and those of signing keys, oldest first.
#[tracing::instrument(name = "store.revocation.kept", target = "countersign_trace", level = "debug", skip_all)]
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

/// The newest entry such that it and all earlier ones above `floor` were made before `before`. Returns `floor` if there
/// is none.
#[tracing::instrument(name = "store.revocation.older", target = "countersign_trace", level = "debug", skip_all)]
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
