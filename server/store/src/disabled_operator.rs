//! Logins that admit nobody.

use countersign_core::names::OperatorId;
use time::OffsetDateTime;

use crate::{Connection, StoreError, convert::parse};

/// That a login admits nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub time: OffsetDateTime,
    /// Whether for good.
    pub deleted: bool,
}

/// Since when a login admits nobody; none: it does not stand here.
pub async fn get(conn: &mut Connection, operator_id: &OperatorId) -> Result<Option<Disabled>, StoreError> {
    let row = sqlx::query_as!(
        Disabled,
        "SELECT disable_time AS time, deleted FROM disabled_operator WHERE operator_id = $1",
        operator_id.as_str()
    );
    Ok(row.fetch_optional(conn).await?)
}

/// Every login that admits nobody.
pub async fn all(conn: &mut Connection) -> Result<Vec<OperatorId>, StoreError> {
    let ids = sqlx::query_scalar!("SELECT operator_id FROM disabled_operator");
    ids.fetch_all(conn).await?.iter().map(|id| parse("disabled_operator", "operator_id", id)).collect()
}

/// Writes that a login admits nobody any more. Since when, it keeps where it did not already.
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

/// Lets a login admit whose it is again.
pub async fn delete(conn: &mut Connection, operator_id: &OperatorId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM disabled_operator WHERE operator_id = $1", operator_id.as_str()).execute(conn).await?;
    Ok(())
}
