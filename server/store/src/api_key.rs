//! API keys of operators. Only a keyed hash of a key's secret is stored. A key has only the roles that its operator
//! still has. Also finds out whether another key lets an administrator in (the last admin).

use countersign_core::{
    api_key::{ApiKey, ApiKeyId},
    key_scope::KeyScope,
    names::OperatorId,
    operator::OperatorRole,
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    convert::{bytes, parse, parse_all, roles, texts},
};

const TABLE: &str = "api_key";

/// A key, with the hash against which a presented secret is checked.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The key.
    pub key: ApiKey,
    /// Keyed hash of its secret.
    pub secret_hash: [u8; 32],
}

struct Row {
    key_id: Uuid,
    operator_id: String,
    secret_hash: Vec<u8>,
    roles: Vec<String>,
    scoped_roles: Vec<String>,
    scope_tools: Vec<String>,
    scope_sponsors: Vec<String>,
    operator_roles: Vec<String>,
    create_time: OffsetDateTime,
    expire_time: Option<OffsetDateTime>,
    revoke_time: Option<OffsetDateTime>,
    made_by: Option<String>,
    confirmed: bool,
}

impl TryFrom<Row> for StoredKey {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let scope = KeyScope {
            tools: parse_all(TABLE, "scope_tools", &row.scope_tools)?.into_iter().collect(),
            sponsors: parse_all(TABLE, "scope_sponsors", &row.scope_sponsors)?.into_iter().collect(),
        };
        let of_key = if scope.is_empty() {
            roles(TABLE, "roles", &row.roles)?
        } else {
            roles(TABLE, "scoped_roles", &row.scoped_roles)?
        };
        let key = ApiKey {
            key_id: ApiKeyId(row.key_id),
            operator_id: parse(TABLE, "operator_id", &row.operator_id)?,
            roles: of_key.and(roles(TABLE, "operator.roles", &row.operator_roles)?),
            create_time: row.create_time,
            expire_time: row.expire_time,
            revoke_time: row.revoke_time,
            made_by: row.made_by.map(|by| parse(TABLE, "made_by", &by)).transpose()?,
            confirmed: row.confirmed,
            scope,
        };
        Ok(Self { key, secret_hash: bytes(TABLE, "secret_hash", &row.secret_hash)? })
    }
}

/// Stores a key.
#[tracing::instrument(name = "store.api_key.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, stored: &StoredKey) -> Result<(), StoreError> {
    let (key, scope) = (&stored.key, &stored.key.scope);
    let names = texts(&key.roles.iter().collect::<Vec<_>>());
    let (free, scoped) = if scope.is_empty() { (names, Vec::new()) } else { (Vec::new(), names) };
    sqlx::query!(
        "INSERT INTO api_key (key_id, operator_id, secret_hash, roles, create_time, expire_time, made_by, confirmed, scoped_roles,
             scope_tools, scope_sponsors)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        key.key_id.0,
        key.operator_id.as_str(),
        &stored.secret_hash,
        &free,
        key.create_time,
        key.expire_time,
        key.made_by.as_ref().map(OperatorId::as_str),
        key.confirmed,
        &scoped,
        &texts(&scope.tools.iter().collect::<Vec<_>>()),
        &texts(&scope.sponsors.iter().collect::<Vec<_>>())
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The ids of all stored keys, at most `most`.
#[tracing::instrument(name = "store.api_key.ids", target = "countersign_trace", level = "debug", skip_all)]
pub async fn ids(conn: &mut Connection, most: i64) -> Result<Vec<ApiKeyId>, StoreError> {
    let ids = sqlx::query_scalar!("SELECT key_id FROM api_key ORDER BY key_id LIMIT $1", most);
    Ok(ids.fetch_all(conn).await?.into_iter().map(ApiKeyId).collect())
}

/// One key, active or not.
#[tracing::instrument(name = "store.api_key.get", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get(conn: &mut Connection, key_id: ApiKeyId) -> Result<Option<StoredKey>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT key_id, operator_id, secret_hash, api_key.roles, scoped_roles, scope_tools, scope_sponsors,
             operator.roles AS operator_roles, api_key.create_time,
             expire_time, revoke_time, made_by, confirmed
         FROM api_key JOIN operator USING (operator_id) WHERE key_id = $1",
        key_id.0
    );
    row.fetch_optional(conn).await?.map(StoredKey::try_from).transpose()
}

/// Records that the key was confirmed, so that its operator can use it.
#[tracing::instrument(name = "store.api_key.confirm", target = "countersign_trace", level = "debug", skip_all)]
pub async fn confirm(conn: &mut Connection, key_id: ApiKeyId) -> Result<(), StoreError> {
    sqlx::query!("UPDATE api_key SET confirmed = true WHERE key_id = $1", key_id.0).execute(conn).await?;
    Ok(())
}

/// Records that a key was revoked at `now`.
#[tracing::instrument(name = "store.api_key.revoke", target = "countersign_trace", level = "debug", skip_all)]
pub async fn revoke(conn: &mut Connection, key_id: ApiKeyId, now: OffsetDateTime) -> Result<(), StoreError> {
    sqlx::query!("UPDATE api_key SET revoke_time = $2 WHERE key_id = $1", key_id.0, now).execute(conn).await?;
    Ok(())
}

/// Keys that are not considered.
#[derive(Debug, Clone, Copy)]
pub enum Except<'a> {
    /// This one.
    Key(ApiKeyId),
    /// All of this operator.
    KeysOf(&'a OperatorId),
}

/// Whether a key lets an administrator in at `now`, other than these.
#[tracing::instrument(
    name = "store.api_key.another_admits_an_admin",
    target = "countersign_trace",
    level = "debug",
    skip_all
)]
pub async fn another_admits_an_admin(
    conn: &mut Connection,
    except: Except<'_>,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let (key_id, operator_id) = match except {
        Except::Key(key_id) => (Some(key_id.0), None),
        Except::KeysOf(operator_id) => (None, Some(operator_id.as_str())),
    };
    let another = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM api_key JOIN operator USING (operator_id)
             WHERE ($1::uuid IS NULL OR key_id <> $1) AND ($4::text IS NULL OR operator_id <> $4)
               AND confirmed AND revoke_time IS NULL AND (expire_time IS NULL OR expire_time > $2)
               AND $3 = ANY (api_key.roles) AND $3 = ANY (operator.roles)
               AND NOT EXISTS (SELECT FROM disabled_operator d WHERE d.operator_id = operator.operator_id)
         ) AS "another!""#,
        key_id,
        now,
        OperatorRole::Admin.as_str(),
        operator_id
    );
    Ok(another.fetch_one(conn).await?)
}

/// One page of keys, oldest first. Keys that are not active at `now` are included only if `dead` is set.
#[tracing::instrument(name = "store.api_key.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    operator_id: Option<&OperatorId>,
    dead: bool,
    now: OffsetDateTime,
    page: &PageRequest,
) -> Result<Page<ApiKey>, StoreError> {
    let after = page.after::<ApiKeyId>()?.map_or(Uuid::nil(), |id| id.0);
    let rows = sqlx::query_as!(
        Row,
        "SELECT key_id, operator_id, secret_hash, api_key.roles, scoped_roles, scope_tools, scope_sponsors,
             operator.roles AS operator_roles, api_key.create_time,
             expire_time, revoke_time, made_by, confirmed
         FROM api_key JOIN operator USING (operator_id)
         WHERE key_id > $1
           AND ($2::text IS NULL OR operator_id = $2)
           AND ($3 OR (revoke_time IS NULL AND (expire_time IS NULL OR expire_time > $4)))
         ORDER BY key_id LIMIT $5",
        after,
        operator_id.map(OperatorId::as_str),
        dead,
        now,
        page.limit()
    );
    let keys = rows.fetch_all(conn).await?.into_iter().map(|row| StoredKey::try_from(row).map(|stored| stored.key));
    Ok(Page::cut(keys.collect::<Result<_, _>>()?, page, |key: &ApiKey| key.key_id))
}
