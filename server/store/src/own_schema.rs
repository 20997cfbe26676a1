//! The schema that holds our tables (`countersign`), where else the tables may be (search path), and the move of an
//! older installation into it, which needs that no server is connected.
//!
//! Older installations have their tables in the first schema of the session's `search_path`, which is `public` by
//! default, together with the tables of other programs. These statements are not checked at compile time, because they
//! use the catalogue.

use std::{fmt, time::Duration};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::time::{Instant, sleep};

use crate::{
    connection::Session,
    error::StoreError,
    installation,
    migrations::{MIGRATOR, lock},
};

/// The name of the schema.
pub const OWN: &str = "countersign";

/// How long the sessions of servers that were just stopped may take to end.
const ENDING: Duration = Duration::from_secs(2);
/// How long the move waits for sessions that read a table.
const LOCKS: &str = "SET LOCAL lock_timeout = '5s'";

/// Where the tables are, or will be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In our own schema.
    Own,
    /// Where the search path leads: a path is set for the role or in the address, or an older installation is there.
    Path,
    /// An installation is in our own schema and another in `public`, to the extent that this role can see. It is
    /// unknown which one is meant.
    Both,
}

/// Finds out where the tables are, or will be created.
pub async fn home(conn: &mut Session) -> Result<Home, StoreError> {
    let (usual, made, looks): (bool, bool, bool) = sqlx::query_as(
        r#"SELECT replace(current_setting('search_path'), ' ', '') IN ('"$user",public', $1),
                  EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                          WHERE n.nspname = $1 AND c.relname = '_sqlx_migrations'),
                  EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public' AND has_schema_privilege(oid, 'USAGE'))"#,
    )
    .bind(OWN)
    .fetch_one(&mut *conn)
    .await?;
    if !usual {
        return Ok(Home::Path);
    }
    let older = if made { looks && is_there(conn, "public.").await? } else { is_there(conn, "").await? };
    Ok(match (made, older) {
        (true, true) => Home::Both,
        (false, true) => Home::Path,
        (_, false) => Home::Own,
    })
}

/// Whether an installation is in this schema, or in the search path.
async fn is_there(conn: &mut Session, schema: &'static str) -> Result<bool, StoreError> {
    let (hidden, log): (Option<bool>, bool) = sqlx::query_as(
        "SELECT NOT has_table_privilege(to_regclass($1 || '_sqlx_migrations'), 'SELECT'), to_regclass($1 || 'custody_event') IS NOT NULL",
    )
    .bind(schema)
    .fetch_one(&mut *conn)
    .await?;
    match hidden {
        None => Ok(false),
        // Other programs have a table of that name too.
        Some(true) => Ok(log),
        Some(false) => installation::is_ours(conn, schema).await,
    }
}

/// Uses the tables in our own schema until the transaction ends.
pub async fn enter(tx: &mut Session) -> Result<(), StoreError> {
    tx.execute(AssertSqlSafe(format!("SET LOCAL search_path = {OWN}"))).await?;
    Ok(())
}

/// Whether the schema exists, whatever it contains.
pub(crate) async fn is_made(conn: &mut Session) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)").bind(OWN).fetch_one(conn).await
}

/// Creates the schema if it does not exist, in the transaction of the migrations.
pub(crate) async fn make(tx: &mut Session) -> Result<(), sqlx::Error> {
    if !is_made(tx).await? {
        tx.execute(AssertSqlSafe(format!("CREATE SCHEMA {OWN}"))).await?;
    }
    Ok(())
}

/// An open session of a server.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OpenSession {
    role: String,
    address: String,
}

impl fmt::Display for OpenSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {} from {}", self.role, self.address)
    }
}

/// Why an installation was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Servers are connected; they would continue to look for the tables in the old schema.
    #[error(
        "servers are connected ({}): stop them all, then run this again",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Connected(Vec<OpenSession>),
    /// There is no installation in the usual search path.
    #[error(
        "there is no installation to move: a search_path is set for this role or in the address, and the tables stay where it leads"
    )]
    PathIsSet,
    /// The installation does not belong to this role.
    #[error("role {0:?} does not own the tables, so it cannot move them: connect as the role that ran the migrations")]
    NotOwner(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for MoveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Moves the installation in the session's search path, completely or not at all. The schema must be up to date, and no
/// server may be connected.
pub async fn move_there(conn: &mut Session) -> Result<(), MoveError> {
    let mut tx = conn.begin().await?;
    lock(&mut tx).await?;
    tx.execute(LOCKS).await?;
    let usual = r#"SELECT replace(current_setting('search_path'), ' ', '') = '"$user",public'"#;
    if !sqlx::query_scalar::<_, bool>(usual).fetch_one(&mut *tx).await? {
        return Err(MoveError::PathIsSet);
    }
    let (role, owns, left, may): (String, bool, String, bool) = sqlx::query_as(
        "SELECT current_user::text, pg_has_role(relowner, 'USAGE'), relnamespace::regnamespace::text,
                has_schema_privilege(relnamespace, 'CREATE')
         FROM pg_class WHERE oid = to_regclass('custody_event')",
    )
    .fetch_one(&mut *tx)
    .await?;
    if !owns {
        return Err(MoveError::NotOwner(role));
    }
    nobody_else(&mut tx).await?;
    make(&mut tx).await?;
    let statements: Vec<String> = sqlx::query_scalar(STATEMENTS)
        .bind(OWN)
        .bind(installation::our_tables())
        .bind(our_functions())
        .fetch_all(&mut *tx)
        .await?;
    tx.execute(AssertSqlSafe(statements.join(";"))).await?;
    // A server of an older version finds this where it looks, and refuses to start. Without it, it would create a
    // second installation.
    if may {
        tx.execute(AssertSqlSafe(format!(
            "CREATE TABLE {left}._sqlx_migrations (moved_to_schema text NOT NULL);
             INSERT INTO {left}._sqlx_migrations (moved_to_schema) VALUES ('{OWN}');
             GRANT SELECT ON {left}._sqlx_migrations TO PUBLIC"
        )))
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Moves the tables (indexes, triggers and rights move with them) and the functions, one of which names its schema. A
/// role that may use the tables gets the right to use their schema.
const STATEMENTS: &str = "
    WITH home AS (SELECT oid, relnamespace FROM pg_class WHERE oid = to_regclass('custody_event'))
    SELECT statement FROM (
        SELECT 1 AS nth, format('ALTER TABLE %s SET SCHEMA %I', c.oid::regclass, $1::text) AS statement FROM pg_class c, home
        WHERE c.relnamespace = home.relnamespace
          AND (c.relname::text = ANY ($2) OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = home.oid))
        UNION ALL
        SELECT 2, format('ALTER FUNCTION %s SET SCHEMA %I', p.oid::regprocedure, $1::text) FROM pg_proc p, home
        WHERE p.pronamespace = home.relnamespace AND p.proname::text = ANY ($3)
        UNION ALL
        SELECT 3, format('ALTER FUNCTION %1$I.ensure_custody_partitions(date, integer) SET search_path = %1$I, pg_temp', $1::text)
        UNION ALL
        SELECT 4, format('GRANT USAGE ON SCHEMA %I TO %I', $1::text, r.rolname)
        FROM pg_class c, home, aclexplode(c.relacl) AS granted JOIN pg_roles r ON r.oid = granted.grantee
        WHERE c.oid = home.oid AND r.oid <> c.relowner
    ) AS all_of_them
    GROUP BY nth, statement ORDER BY nth, statement";

async fn nobody_else(tx: &mut Session) -> Result<(), MoveError> {
    let end = Instant::now() + ENDING;
    loop {
        let sessions: Vec<OpenSession> = sqlx::query_as(
            "SELECT coalesce(usename::text, '?') AS role, coalesce(host(client_addr), 'this machine') AS address
             FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'countersign'
             GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 10",
        )
        .fetch_all(&mut *tx)
        .await?;
        if sessions.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(MoveError::Connected(sessions));
        }
        sleep(Duration::from_millis(100)).await;
        // What was seen of other sessions is cached until the transaction ends, unless the cache is cleared.
        tx.execute("SELECT pg_stat_clear_snapshot()").await?;
    }
}

/// The functions that the migrations create, read from the migrations' text.
fn our_functions() -> Vec<String> {
    let made = |line: &str| {
        let name = line.strip_prefix("CREATE ")?.trim_start_matches("OR REPLACE ").strip_prefix("FUNCTION ")?;
        name.split('(').next().map(str::to_owned)
    };
    let mut names: Vec<_> =
        MIGRATOR.iter().flat_map(|one| one.sql.as_str().lines().filter_map(made).collect::<Vec<_>>()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_the_migrations_that_make_them() {
        let functions = our_functions();
        assert_eq!(
            functions,
            [
                "custody_event_is_append_only",
                "custody_event_is_not_truncated",
                "ensure_custody_partitions",
                "instance_is_revoked",
                "instance_standing",
                "log_tile_only_grows",
                "uuid_v7_floor",
            ]
        );
    }
}
