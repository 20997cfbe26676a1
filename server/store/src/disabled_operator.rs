//! Disabled and deleted operators: logins that are refused.

use countersign_core::names::OperatorId;
use time::OffsetDateTime;

use crate::{Connection, StoreError, convert::parse};

/// The record that a login is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub time: OffsetDateTime,
    /// Whether it was deleted, which is permanent.
    pub deleted: bool,
}

/// Since when a login is disabled. `None` if it is not.
#[tracing::instrument(name = "store.disabled_operator.get", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get(conn: &mut Connection, operator_id: &OperatorId) -> Result<Option<Disabled>, StoreError> {
    let row = sqlx::query_as!(
        Disabled,
        "SELECT disable_time AS time, deleted FROM disabled_operator WHERE operator_id = $1",
        operator_id.as_str()
    );
    Ok(row.fetch_optional(conn).await?)
}

/// Every disabled login.
#[tracing::instrument(name = "store.disabled_operator.all", target = "countersign_trace", level = "debug", skip_all)]
pub async fn all(conn: &mut Connection) -> Result<Vec<OperatorId>, StoreError> {
    let ids = sqlx::query_scalar!("SELECT operator_id FROM disabled_operator");
    ids.fetch_all(conn).await?.iter().map(|id| parse("disabled_operator", "operator_id", id)).collect()
}

/// Records that a login is disabled. If it was disabled already, the earlier time is kept.
#[tracing::instrument(name = "store.disabled_operator.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(
    conn: &mut Connection,
    operator_id: &OperatorId,
    by: &OperatorId,
    disabled: Disabled,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO disabled_operator (operator_id, disabled_by, disable_time, deleted) VALUES ($1, $2, $3, $4)
         ON CONFLICT (operator_id) DO UPDATE SET deleted = disabled_operator.deleted OR excluded.deleted",
        operator_id.as_str(),
        by.as_str(),
        disabled.time,
        disabled.deleted
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Enables a login again.
#[tracing::instrument(name = "store.disabled_operator.delete", target = "countersign_trace", level = "debug", skip_all)]
pub async fn delete(conn: &mut Connection, operator_id: &OperatorId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM disabled_operator WHERE operator_id = $1", operator_id.as_str()).execute(conn).await?;
    Ok(())
}
