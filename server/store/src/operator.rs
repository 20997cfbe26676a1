//! Operators: stored, listed, and their roles changed.

use countersign_core::{
    names::OperatorId,
    operator::{Operator, OperatorRole},
};
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    convert::{parse, roles, texts},
};

const TABLE: &str = "operator";

struct Row {
    operator_id: String,
    display_name: String,
    roles: Vec<String>,
    create_time: OffsetDateTime,
    revision: i64,
    disable_time: Option<OffsetDateTime>,
    deleted: Option<bool>,
}

impl TryFrom<Row> for Operator {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            operator_id: parse(TABLE, "operator_id", &row.operator_id)?,
            display_name: row.display_name,
            roles: roles(TABLE, "roles", &row.roles)?,
            create_time: row.create_time,
            revision: row.revision,
            disable_time: row.disable_time,
            deleted: row.deleted.unwrap_or_default(),
        })
    }
}

/// Stores an operator; [`StoreError::Exists`] where the id is taken.
#[tracing::instrument(name = "store.operator.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, operator: &Operator, created_by: &OperatorId) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO operator (operator_id, display_name, roles, create_time, created_by) VALUES ($1, $2, $3, $4, $5)",
        operator.operator_id.as_str(),
        operator.display_name,
        &texts(&operator.roles.iter().collect::<Vec<_>>()),
        operator.create_time,
        created_by.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether there is any operator yet.
#[tracing::instrument(name = "store.operator.any", target = "countersign_trace", level = "debug", skip_all)]
pub async fn any(conn: &mut Connection) -> Result<bool, StoreError> {
    let any = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM operator) AS "any!""#);
    Ok(any.fetch_one(conn).await?)
}

/// One operator.
#[tracing::instrument(name = "store.operator.get", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get(conn: &mut Connection, operator_id: &OperatorId) -> Result<Option<Operator>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT operator_id, display_name, roles, create_time, revision, disable_time AS "disable_time?", deleted AS "deleted?"
         FROM operator LEFT JOIN disabled_operator USING (operator_id) WHERE operator_id = $1"#,
        operator_id.as_str()
    );
    row.fetch_optional(conn).await?.map(Operator::try_from).transpose()
}

/// Writes the roles of an operator.
#[tracing::instrument(name = "store.operator.update", target = "countersign_trace", level = "debug", skip_all)]
pub async fn update(conn: &mut Connection, operator: &Operator) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE operator SET roles = $2, revision = $3 WHERE operator_id = $1",
        operator.operator_id.as_str(),
        &texts(&operator.roles.iter().collect::<Vec<_>>()),
        operator.revision
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One page of operators, in the order of their ids; with `role`, those who have it; with `deleted`, also the deleted
/// ones.
#[tracing::instrument(name = "store.operator.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    role: Option<OperatorRole>,
    deleted: bool,
    page: &PageRequest,
) -> Result<Page<Operator>, StoreError> {
    let after = page.after::<OperatorId>()?;
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT operator_id, display_name, roles, create_time, revision, disable_time AS "disable_time?", deleted AS "deleted?"
         FROM operator LEFT JOIN disabled_operator USING (operator_id)
         WHERE operator_id COLLATE "C" > $1 AND ($2::text IS NULL OR $2 = ANY (roles)) AND ($4 OR deleted IS NOT TRUE)
         ORDER BY operator_id COLLATE "C" LIMIT $3"#,
        after.as_ref().map(OperatorId::as_str).unwrap_or_default(),
        role.map(OperatorRole::as_str),
        page.limit(),
        deleted
    );
    let operators = rows.fetch_all(conn).await?.into_iter().map(Operator::try_from).collect::<Result<_, _>>()?;
    Ok(Page::cut(operators, page, |operator: &Operator| operator.operator_id.clone()))
}
