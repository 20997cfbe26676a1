//! Bindings of operator logins to the persons who use them; whether a login is the sponsor's, and whether there were
//! ever two persons who can confirm others.

use countersign_core::{
    names::{OperatorId, PersonId, SponsorId},
    person::Binding,
};
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    convert::{parse, texts},
};

const TABLE: &str = "person_binding";

struct Row {
    operator_id: String,
    person_id: String,
    bound_by: Option<String>,
    bind_time: OffsetDateTime,
    confirmed_by: Option<String>,
    confirm_time: Option<OffsetDateTime>,
}

impl TryFrom<Row> for Binding {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let operator = |column, id: Option<String>| id.map(|id| parse(TABLE, column, &id)).transpose();
        Ok(Self {
            operator_id: parse(TABLE, "operator_id", &row.operator_id)?,
            person_id: parse(TABLE, "person_id", &row.person_id)?,
            bound_by: operator("bound_by", row.bound_by)?,
            bind_time: row.bind_time,
            confirmed_by: operator("confirmed_by", row.confirmed_by)?,
            confirm_time: row.confirm_time,
        })
    }
}

/// Writes the person of a login, in place of an earlier one.
#[tracing::instrument(name = "store.person.upsert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn upsert(conn: &mut Connection, binding: &Binding) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO person_binding (operator_id, person_id, bound_by, bind_time, confirmed_by, confirm_time)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (operator_id) DO UPDATE SET
             person_id = excluded.person_id, bound_by = excluded.bound_by, bind_time = excluded.bind_time,
             confirmed_by = excluded.confirmed_by, confirm_time = excluded.confirm_time",
        binding.operator_id.as_str(),
        binding.person_id.as_str(),
        binding.bound_by.as_ref().map(OperatorId::as_str),
        binding.bind_time,
        binding.confirmed_by.as_ref().map(OperatorId::as_str),
        binding.confirm_time,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The bindings of these logins, without the logins that are not bound.
#[tracing::instrument(name = "store.person.get_all", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get_all(conn: &mut Connection, operators: &[OperatorId]) -> Result<Vec<Binding>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT operator_id, person_id, bound_by, bind_time, confirmed_by, confirm_time
         FROM person_binding WHERE operator_id = ANY ($1)",
        &texts(operators)
    );
    rows.fetch_all(conn).await?.into_iter().map(Binding::try_from).collect()
}

/// Whether two persons who can confirm others were ever confirmed here.
#[tracing::instrument(name = "store.person.were_two", target = "countersign_trace", level = "debug", skip_all)]
pub async fn were_two(conn: &mut Connection) -> Result<bool, StoreError> {
    let were = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM two_persons) AS "were!""#);
    Ok(were.fetch_one(conn).await?)
}

/// Records, once, that there are two persons who can confirm others: confirmed, with the role for it, and with a key or
/// another way to log in. A right that an identity provider or a certificate grants is not known here, and counts.
#[tracing::instrument(name = "store.person.note_two", target = "countersign_trace", level = "debug", skip_all)]
pub async fn note_two(conn: &mut Connection, now: OffsetDateTime) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO two_persons (since)
         SELECT $1 WHERE (
             SELECT count(DISTINCT person_id) FROM person_binding b LEFT JOIN operator o USING (operator_id)
             WHERE confirmed_by IS NOT NULL AND (o.roles IS NULL OR (
                 o.roles && ARRAY['admin', 'approver']
                 AND EXISTS (SELECT FROM api_key k WHERE k.operator_id = b.operator_id AND k.confirmed)
             ))
         ) > 1
         ON CONFLICT DO NOTHING",
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many logins wait for a second person to confirm their binding.
#[tracing::instrument(name = "store.person.unconfirmed", target = "countersign_trace", level = "debug", skip_all)]
pub async fn unconfirmed(conn: &mut Connection) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM person_binding WHERE confirmed_by IS NULL"#);
    Ok(count.fetch_one(conn).await?)
}

/// Whether the login belongs to the sponsor's person; with `confirmed`, only if second persons confirmed both bindings.
#[tracing::instrument(name = "store.person.is_sponsor", target = "countersign_trace", level = "debug", skip_all)]
pub async fn is_sponsor(
    conn: &mut Connection,
    operator_id: &OperatorId,
    sponsor_id: &SponsorId,
    confirmed: bool,
) -> Result<bool, StoreError> {
    let is = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM person_binding JOIN sponsor USING (person_id)
             WHERE operator_id = $1 AND sponsor_id = $2 AND (NOT $3 OR (confirmed_by IS NOT NULL AND person_confirmed))
         ) AS "is!""#,
        operator_id.as_str(),
        sponsor_id.as_str(),
        confirmed
    );
    Ok(is.fetch_one(conn).await?)
}

/// Whether any sponsor is this person.
#[tracing::instrument(name = "store.person.is_any_sponsor", target = "countersign_trace", level = "debug", skip_all)]
pub async fn is_any_sponsor(conn: &mut Connection, person: &PersonId) -> Result<bool, StoreError> {
    let is =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM sponsor WHERE person_id = $1) AS "is!""#, person.as_str());
    Ok(is.fetch_one(conn).await?)
}

/// One page of bindings, in the order of their logins; with `unconfirmed`, those that wait for a second person.
#[tracing::instrument(name = "store.person.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    person_id: Option<&PersonId>,
    unconfirmed: bool,
    page: &PageRequest,
) -> Result<Page<Binding>, StoreError> {
    let after = page.after::<OperatorId>()?;
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT operator_id, person_id, bound_by, bind_time, confirmed_by, confirm_time FROM person_binding
         WHERE operator_id COLLATE "C" > $1
           AND ($2::text IS NULL OR person_id = $2)
           AND (NOT $3 OR confirmed_by IS NULL)
         ORDER BY operator_id COLLATE "C" LIMIT $4"#,
        after.as_ref().map(OperatorId::as_str).unwrap_or_default(),
        person_id.map(PersonId::as_str),
        unconfirmed,
        page.limit()
    );
    let bindings = rows.fetch_all(conn).await?.into_iter().map(Binding::try_from).collect::<Result<_, _>>()?;
    Ok(Page::cut(bindings, page, |binding: &Binding| binding.operator_id.clone()))
}
