//! The authorities that sign X.509-SVIDs, shared by replicas. The private half is stored encrypted.

use time::OffsetDateTime;

use crate::{Connection, StoreError};

/// An authority as stored.
#[derive(Debug, Clone)]
pub struct StoredAuthority {
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub authority_id: String,
    /// The trust domain whose SVIDs it signs.
    pub trust_domain: String,
    /// The certificate in DER.
    pub certificate: Vec<u8>,
    /// Nonce of the encryption of the private half.
    pub private_nonce: Vec<u8>,
    /// The private half, encrypted under the key-encryption key.
    pub private_key: Vec<u8>,
    /// The start of its time in the bundle.
    pub publish_time: OffsetDateTime,
    /// When it starts signing.
    pub sign_from: OffsetDateTime,
    /// When it stops signing.
    pub sign_until: OffsetDateTime,
    /// When it leaves the bundle and its certificate expires.
    pub expire_time: OffsetDateTime,
}

/// Stores a new authority.
#[tracing::instrument(name = "store.x509_authority.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, authority: &StoredAuthority) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO x509_authority (authority_id, trust_domain, certificate, private_nonce, private_key,
             publish_time, sign_from, sign_until, expire_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        authority.authority_id,
        authority.trust_domain,
        authority.certificate,
        authority.private_nonce,
        authority.private_key,
        authority.publish_time,
        authority.sign_from,
        authority.sign_until,
        authority.expire_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The authorities of a trust domain, in the order in which they sign.
#[tracing::instrument(name = "store.x509_authority.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(conn: &mut Connection, trust_domain: &str) -> Result<Vec<StoredAuthority>, StoreError> {
    let rows = sqlx::query_as!(
        StoredAuthority,
        "SELECT authority_id, trust_domain, certificate, private_nonce, private_key, publish_time, sign_from, sign_until,
             expire_time
         FROM x509_authority WHERE trust_domain = $1 ORDER BY sign_from, authority_id",
        trust_domain
    );
    Ok(rows.fetch_all(conn).await?)
}

/// Removes the authorities that have expired, of any trust domain, and returns their ids.
#[tracing::instrument(
    name = "store.x509_authority.remove_expired",
    target = "countersign_trace",
    level = "debug",
    skip_all
)]
pub async fn remove_expired(conn: &mut Connection, now: OffsetDateTime) -> Result<Vec<String>, StoreError> {
    let ids = sqlx::query_scalar!("DELETE FROM x509_authority WHERE expire_time <= $1 RETURNING authority_id", now);
    Ok(ids.fetch_all(conn).await?)
}
