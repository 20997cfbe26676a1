//! Single-use credentials: each is consumed in the transaction that records its decision.

use countersign_core::ids::CredentialId;
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{Connection, StoreError};

/// Which of these credentials were used before. The caller holds the head, so nobody uses one meanwhile.
pub async fn used(conn: &mut Connection, ids: &[Uuid]) -> Result<Vec<CredentialId>, StoreError> {
    let ids = sqlx::query_scalar!("SELECT credential_id FROM consumed_credential WHERE credential_id = ANY ($1)", ids);
    Ok(ids.fetch_all(conn).await?.into_iter().map(CredentialId).collect())
}

/// Notes that these credentials are used; each is forgotten some time after it has expired anyway.
pub async fn consume(conn: &mut Connection, credentials: &[(CredentialId, OffsetDateTime)]) -> Result<(), StoreError> {
    let (ids, times): (Vec<Uuid>, Vec<OffsetDateTime>) = credentials.iter().map(|(id, at)| (id.0, *at)).unzip();
    sqlx::query!("INSERT INTO consumed_credential SELECT * FROM UNNEST($1::uuid[], $2::timestamptz[])", &ids, &times)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets credentials that expired before `before`.
pub async fn purge(conn: &mut Connection, before: OffsetDateTime) -> Result<u64, StoreError> {
    let done = sqlx::query!("DELETE FROM consumed_credential WHERE expire_time < $1", before).execute(conn).await?;
    Ok(done.rows_affected())
}
