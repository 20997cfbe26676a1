//! Single-use credentials: each is consumed in the transaction that records its decision. One whose use was forgotten
//! counts as used.

use std::collections::BTreeMap;

use countersign_core::ids::CredentialId;
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{Connection, StoreError};

/// Which of these credentials, each with its expiry, were used before, or expire so early that their use may have been
/// forgotten. The caller holds the log head, so no other transaction uses one meanwhile.
#[tracing::instrument(name = "store.single_use.used", target = "countersign_trace", level = "debug", skip_all)]
pub async fn used(
    conn: &mut Connection,
    expire_times: &BTreeMap<CredentialId, OffsetDateTime>,
) -> Result<Vec<CredentialId>, StoreError> {
    let ids: Vec<Uuid> = expire_times.keys().map(|id| id.0).collect();
    let times: Vec<OffsetDateTime> = expire_times.values().copied().collect();
    // Two questions, of which the first is the index's: together in one condition, all that was ever used would be read.
    let ids = sqlx::query_scalar!(
        r#"SELECT credential_id AS "id!" FROM consumed_credential WHERE credential_id = ANY ($1::uuid[])
           UNION ALL
           SELECT asked.id FROM UNNEST($1::uuid[], $2::timestamptz[]) AS asked (id, expire_time), forgotten
           WHERE asked.expire_time < forgotten.single_use_until"#,
        &ids,
        &times
    );
    Ok(ids.fetch_all(conn).await?.into_iter().map(CredentialId).collect())
}

/// Records that these credentials were used. A record is deleted some time after its credential has expired.
#[tracing::instrument(name = "store.single_use.consume", target = "countersign_trace", level = "debug", skip_all)]
pub async fn consume(
    conn: &mut Connection,
    expire_times: &BTreeMap<CredentialId, OffsetDateTime>,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = expire_times.keys().map(|id| id.0).collect();
    let times: Vec<OffsetDateTime> = expire_times.values().copied().collect();
    sqlx::query!(
        "INSERT INTO consumed_credential (credential_id, expire_time)
         SELECT used.id, used.expire_time FROM UNNEST($1::uuid[], $2::timestamptz[]) AS used (id, expire_time)",
        &ids,
        &times
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets credentials that expire before `before`; from now on they count as used.
#[tracing::instrument(name = "store.single_use.purge", target = "countersign_trace", level = "debug", skip_all)]
pub async fn purge(conn: &mut Connection, before: OffsetDateTime) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "WITH moved AS (
             UPDATE forgotten SET single_use_until = greatest(single_use_until, $1) RETURNING single_use_until
         )
         DELETE FROM consumed_credential USING moved WHERE expire_time < moved.single_use_until",
        before
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
