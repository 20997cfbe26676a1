//! Operators and their API keys. A key's secret is kept as a keyed hash only.

use countersign_core::{
    names::OperatorId,
    operator::{OperatorRole, Roles},
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, StoreError,
    convert::{bytes, parse, parse_all, texts},
};

/// Stores an operator; [`StoreError::Exists`] where the id is taken.
pub async fn insert(
    conn: &mut Connection,
    operator_id: &OperatorId,
    display_name: &str,
    roles: Roles,
    created_by: &OperatorId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO operator (operator_id, display_name, roles, create_time, created_by) VALUES ($1, $2, $3, $4, $5)",
        operator_id.as_str(),
        display_name,
        &texts(&roles.iter().collect::<Vec<_>>()),
        now,
        created_by.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether there is any operator yet.
pub async fn any(conn: &mut Connection) -> Result<bool, StoreError> {
    let any = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM operator) AS "any!""#);
    Ok(any.fetch_one(conn).await?)
}

/// Whether this operator exists.
pub async fn exists(conn: &mut Connection, operator_id: &OperatorId) -> Result<bool, StoreError> {
    let exists = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM operator WHERE operator_id = $1) AS "exists!""#,
        operator_id.as_str()
    );
    Ok(exists.fetch_one(conn).await?)
}

/// An API key as its bearer is checked against it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The part of the key before the secret.
    pub key_id: Uuid,
    /// Whose it is.
    pub operator_id: OperatorId,
    /// Keyed hash of the secret.
    pub secret_hash: [u8; 32],
    /// What it may do: its own roles, as far as the operator still has them.
    pub roles: Roles,
    /// When it ends by itself.
    pub expire_time: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoke_time: Option<OffsetDateTime>,
}

/// Stores a key.
pub async fn insert_key(conn: &mut Connection, key: &ApiKey, now: OffsetDateTime) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO api_key (key_id, operator_id, secret_hash, roles, create_time, expire_time)
         VALUES ($1, $2, $3, $4, $5, $6)",
        key.key_id,
        key.operator_id.as_str(),
        &key.secret_hash,
        &texts(&key.roles.iter().collect::<Vec<_>>()),
        now,
        key.expire_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One key, whatever has become of it.
pub async fn key(conn: &mut Connection, key_id: Uuid) -> Result<Option<ApiKey>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT key_id, operator_id, secret_hash, api_key.roles, operator.roles AS operator_roles, expire_time, revoke_time
         FROM api_key JOIN operator USING (operator_id) WHERE key_id = $1"#,
        key_id
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let roles = |column, texts: &[String]| {
        parse_all::<OperatorRole>("api_key", column, texts).map(|roles| roles.into_iter().collect::<Roles>())
    };
    Ok(Some(ApiKey {
        key_id: row.key_id,
        operator_id: parse("api_key", "operator_id", &row.operator_id)?,
        secret_hash: bytes("api_key", "secret_hash", &row.secret_hash)?,
        roles: roles("roles", &row.roles)?.and(roles("operator.roles", &row.operator_roles)?),
        expire_time: row.expire_time,
        revoke_time: row.revoke_time,
    }))
}
