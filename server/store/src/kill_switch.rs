//! Kill switches that are engaged; a released one is deleted.

use countersign_core::{
    ids::KillSwitchId,
    kill_switch::{KillSwitch, KillSwitchScope, Target},
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{Connection, Page, PageRequest, StoreError, convert::parse};

const TABLE: &str = "kill_switch";

struct Row {
    kill_switch_id: Uuid,
    scope: String,
    target: Option<String>,
    reason: String,
    engaged_by: String,
    engage_time: OffsetDateTime,
}

impl TryFrom<Row> for KillSwitch {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let scope = parse(TABLE, "scope", &row.scope)?;
        Ok(Self {
            kill_switch_id: KillSwitchId(row.kill_switch_id),
            target: Target::new(scope, row.target.as_deref().unwrap_or_default())
                .map_err(|error| StoreError::corrupt(TABLE, format!("target: {error}")))?,
            reason: row.reason,
            engaged_by: parse(TABLE, "engaged_by", &row.engaged_by)?,
            engage_time: row.engage_time,
        })
    }
}

/// Engages a switch.
#[tracing::instrument(name = "store.kill_switch.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, switch: &KillSwitch) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO kill_switch (kill_switch_id, scope, target, reason, engaged_by, engage_time)
         VALUES ($1, $2, $3, $4, $5, $6)",
        switch.kill_switch_id.0,
        switch.target.scope().as_str(),
        switch.target.id(),
        switch.reason,
        switch.engaged_by.as_str(),
        switch.engage_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Releases and returns a switch. `None` if it is not engaged.
#[tracing::instrument(name = "store.kill_switch.delete", target = "countersign_trace", level = "debug", skip_all)]
pub async fn delete(conn: &mut Connection, kill_switch_id: KillSwitchId) -> Result<Option<KillSwitch>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "DELETE FROM kill_switch WHERE kill_switch_id = $1
         RETURNING kill_switch_id, scope, target, reason, engaged_by, engage_time",
        kill_switch_id.0
    );
    row.fetch_optional(conn).await?.map(KillSwitch::try_from).transpose()
}

/// How many switches are engaged.
#[tracing::instrument(name = "store.kill_switch.count", target = "countersign_trace", level = "debug", skip_all)]
pub async fn count(conn: &mut Connection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM kill_switch"#).fetch_one(conn).await?)
}

/// All engaged switches, newest first.
#[tracing::instrument(name = "store.kill_switch.all", target = "countersign_trace", level = "debug", skip_all)]
pub async fn all(conn: &mut Connection) -> Result<Vec<KillSwitch>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT kill_switch_id, scope, target, reason, engaged_by, engage_time FROM kill_switch ORDER BY kill_switch_id DESC"
    );
    rows.fetch_all(conn).await?.into_iter().map(KillSwitch::try_from).collect()
}

/// One page of engaged switches, newest first; with `scope`, only those of this scope.
#[tracing::instrument(name = "store.kill_switch.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    scope: Option<KillSwitchScope>,
    page: &PageRequest,
) -> Result<Page<KillSwitch>, StoreError> {
    let before = page.after::<KillSwitchId>()?.map_or(Uuid::max(), |id| id.0);
    let rows = sqlx::query_as!(
        Row,
        "SELECT kill_switch_id, scope, target, reason, engaged_by, engage_time FROM kill_switch
         WHERE kill_switch_id < $1 AND ($2::text IS NULL OR scope = $2)
         ORDER BY kill_switch_id DESC LIMIT $3",
        before,
        scope.map(KillSwitchScope::as_str),
        page.limit()
    );
    let switches = rows.fetch_all(conn).await?.into_iter().map(KillSwitch::try_from).collect::<Result<_, _>>()?;
    Ok(Page::cut(switches, page, |switch: &KillSwitch| switch.kill_switch_id))
}
