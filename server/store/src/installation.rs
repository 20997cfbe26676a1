//! Which program made this database, with `serve` or `serve --dev`, and whether it has tables of other programs. A
//! server asks before it writes anything.
//!
//! These statements are not checked at compile time, because they are sent to databases that may not have our tables.

use sqlx::{AssertSqlSafe, Connection as _, Row as _, postgres::PgRow};

use crate::{
    connection::Session,
    error::{self, StoreError},
    migrations::MIGRATOR,
};

/// How many foreign tables are named, at most.
const NAMED: i64 = 3;

/// Which command made an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeBy {
    /// `serve --dev`, which lets every caller in.
    Dev,
    /// `serve`.
    Serve,
}

impl MadeBy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Serve => "serve",
        }
    }
}

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No tables of ours.
    NoInstallation,
    /// Our tables. `used` says whether they hold operators.
    Installation {
        /// Which command made it. `None` if an older version did, or if no server has started on it yet.
        made_by: Option<MadeBy>,
        /// Whether a server has started on it.
        used: bool,
    },
}

/// Whether the database holds an installation of ours.
pub async fn find(conn: &mut Session) -> Result<Found, StoreError> {
    if !is_ours(conn, "").await? {
        return Ok(Found::NoInstallation);
    }
    // Another server that is starting may be creating the tables at this moment.
    let operators = has_table(conn, "operator").await?;
    let used = operators && sqlx::query_scalar("SELECT EXISTS (SELECT FROM operator)").fetch_one(&mut *conn).await?;
    let made_by = if has_table(conn, "installation").await? { made_by(conn).await? } else { None };
    Ok(Found::Installation { made_by, used })
}

/// The names of some tables and views that are not ours. Those of extensions do not count.
pub async fn foreign_tables(conn: &mut Session) -> Result<Vec<String>, StoreError> {
    let ours = is_ours(conn, "").await?;
    let names = sqlx::query_scalar(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v')
           AND n.nspname NOT IN ('pg_catalog', 'information_schema')
           AND n.nspname !~ '^pg_(toast|temp)'
           AND NOT EXISTS (SELECT FROM pg_depend d
                           WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
           AND NOT (c.relname = '_sqlx_migrations' AND EXISTS (SELECT FROM pg_attribute a
                    WHERE a.attrelid = c.oid AND a.attname = 'moved_to_schema'))
           AND NOT ($1 AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('_sqlx_migrations'))
                    AND (c.relname::text = ANY ($2)
                         OR EXISTS (SELECT FROM pg_inherits i
                                    WHERE i.inhrelid = c.oid AND i.inhparent = to_regclass('custody_event'))))
         ORDER BY 1 LIMIT $3",
    );
    Ok(names.bind(ours).bind(our_tables()).bind(NAMED).fetch_all(conn).await?)
}

/// Marks a new installation as made by this start. Returns the stored mark: another start may have been first.
pub async fn claim(conn: &mut Session, by: MadeBy) -> Result<MadeBy, StoreError> {
    sqlx::query("INSERT INTO installation (made_by) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(by.as_str())
        .execute(&mut *conn)
        .await?;
    made_by(conn).await?.ok_or_else(|| StoreError::corrupt("installation", "no row"))
}

async fn has_table(conn: &mut Session, name: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(name).fetch_one(conn).await?)
}

async fn made_by(conn: &mut Session) -> Result<Option<MadeBy>, StoreError> {
    let row = sqlx::query("SELECT made_by FROM installation").fetch_optional(conn).await?;
    let read = |row: PgRow| match row.try_get(0)? {
        "dev" => Ok(MadeBy::Dev),
        "serve" => Ok(MadeBy::Serve),
        other => Err(StoreError::corrupt("installation", format!("made_by {other}"))),
    };
    row.map(read).transpose()
}

/// Whether the record of migrations in a schema (its name with a dot), or in the search path, is ours. Other programs
/// keep a record of the same name.
pub(crate) async fn is_ours(conn: &mut Session, schema: &'static str) -> Result<bool, StoreError> {
    let Some(first) = MIGRATOR.iter().next() else { return Ok(false) };
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1 || '_sqlx_migrations') IS NOT NULL")
        .bind(schema)
        .fetch_one(&mut *conn)
        .await?;
    if !there {
        return Ok(false);
    }
    // In a transaction by itself, so that its failure does not fail the statements that follow.
    let mut attempt = conn.begin().await?;
    let look = format!("SELECT EXISTS (SELECT FROM {schema}_sqlx_migrations WHERE version = $1 AND checksum = $2)");
    let ours = sqlx::query_scalar(AssertSqlSafe(look))
        .bind(first.version)
        .bind(first.checksum.as_ref())
        .fetch_one(&mut *attempt)
        .await;
    attempt.rollback().await?;
    match ours {
        // A table of that name with other columns, or with columns of other types.
        Err(error) if error::is_other_shape(&error) => Ok(false),
        other => Ok(other?),
    }
}

/// The tables that the migrations create, read from the migrations' text.
pub(crate) fn our_tables() -> Vec<String> {
    let made = |line: &str| {
        let name = line.strip_prefix("CREATE TABLE ")?.trim_start_matches("IF NOT EXISTS ");
        name.split(|at: char| !(at.is_ascii_alphanumeric() || at == '_')).next().map(str::to_owned)
    };
    let named =
        MIGRATOR.iter().flat_map(|migration| migration.sql.as_str().lines().filter_map(made).collect::<Vec<_>>());
    named.chain(["_sqlx_migrations".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_known_by_the_migrations_that_make_them() {
        let tables = our_tables();
        for name in
            ["log_head", "custody_event", "custody_event_default", "installation", "operator", "_sqlx_migrations"]
        {
            assert!(tables.iter().any(|table| table == name), "{name} is not among {tables:?}");
        }
        assert!(tables.iter().all(|name| !name.is_empty()), "{tables:?}");
    }
}
