//! Checks that the schema is the one that this program needs, and brings it up to date (migrations), if this role may.
//! Decides how long a migration waits for a lock before it gives way, and how long it is tried again; refuses a schema
//! of another version and a role that lacks rights.
//!
//! A role that serves and owns nothing cannot use the migration runner even to ask whether migrations are missing,
//! because the runner begins by creating its own table. So the check comes first, and nothing is changed if nothing is
//! missing.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, migrate::MigrateError};
use tokio::time::{Instant, sleep};

use crate::{
    connection::Session,
    error::{self, StoreError},
    lesser_role::{self, Power},
    migrations::{MIGRATOR, lock},
    own_schema::{self, OWN, is_made},
    store::Store,
};

/// Why a server cannot serve on this schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Migrations are missing.
    #[error(
        "the schema is not up to date ({missing} migration(s) are missing), and {why}: run `countersign migrate --grant-to {role}` \
         as the role that owns the tables, then start the server again"
    )]
    Behind {
        /// How many migrations are missing.
        missing: usize,
        /// Why they are not run now.
        why: &'static str,
        /// The role of the session.
        role: String,
    },
    /// The database has migrations that this program does not know, or different ones with the same number.
    #[error(
        "the schema was made by another version of Countersign, or not by Countersign, and {why}: start the version that ran \
         `countersign migrate` last"
    )]
    Foreign {
        /// Why the schema is not checked any further.
        why: &'static str,
    },
    /// Rights are missing.
    #[error(
        "role {role:?} may not do what serving needs ({}): run `countersign migrate --grant-to {role}` as the role that owns the \
         tables, then start the server again",
        lacking.join(", ")
    )]
    Lacking {
        /// The role of the session.
        role: String,
        /// Some of the missing rights.
        lacking: Vec<String>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// While a migration waits for a lock on a table, every later statement on that table waits too, including stops. So a
/// migration waits no longer than this, releases all its locks and tries again.
pub const GIVING_WAY: &str = "SET LOCAL lock_timeout = '100ms'";
/// How long a migration keeps trying, and the pause between two tries.
const PATIENCE: Duration = Duration::from_mins(5);
const ANOTHER_TRY: Duration = Duration::from_millis(500);

/// Why missing migrations are not run.
const MAY_NOT: &str = "this role may not change it";
const MAY_NOT_MAKE: &str =
    "this role may not create the schema `countersign`, which holds them, in this database (GRANT CREATE ON DATABASE)";
const CANNOT_TELL: &str = "which migrations are missing cannot be told";
const NO_SESSION: &str = "no migration runs through a pooler";

/// Which of our migrations a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Current,
    Behind {
        missing: usize,
    },
    Foreign,
    /// This role cannot see them.
    Hidden,
}

/// A row of the record of migrations.
struct Applied {
    version: i64,
    checksum: Vec<u8>,
    success: bool,
}

/// Runs the missing migrations, all or none, under a lock, so that servers that start at once wait for each other.
/// Creates our own schema if the tables will be in it. Do not use the session afterwards.
pub async fn migrate(conn: &mut Session, own_schema: bool) -> Result<(), SchemaError> {
    let standing = look(conn).await?;
    if let Standing::Current | Standing::Foreign = standing {
        return judge(standing, "", CANNOT_TELL);
    }
    if let MayMigrate::No(why) = may_migrate(conn, own_schema).await? {
        return judge(standing, &role(conn).await?, why);
    }
    // To build an index over a large table takes longer than a request may, and so does the wait for another server.
    conn.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0").await?;
    let start = Instant::now();
    loop {
        match try_to_migrate(conn, own_schema).await {
            Err(SchemaError::Store(StoreError::Migrate(error)))
                if is_in_the_way(&error) && start.elapsed() < PATIENCE =>
            {
                sleep(ANOTHER_TRY).await;
            }
            done => return done,
        }
    }
}

async fn try_to_migrate(conn: &mut Session, own_schema: bool) -> Result<(), SchemaError> {
    let mut tx = conn.begin().await?;
    lock(&mut tx).await?;
    if own_schema {
        own_schema::make(&mut tx).await?;
    }
    tx.execute(GIVING_WAY).await?;
    MIGRATOR.run(&mut *tx).await.map_err(StoreError::from)?;
    Ok(tx.commit().await?)
}

/// Whether other work on the database kept a migration from getting its lock.
fn is_in_the_way(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error::is_lock_timeout(error),
        _ => false,
    }
}

/// The missing migrations by number and name, in the order in which [`migrate`] runs them. Returns an error if
/// [`migrate`] would. Writes nothing.
pub async fn missing(conn: &mut Session, own_schema: bool) -> Result<Vec<String>, SchemaError> {
    let standing = look(conn).await?;
    match standing {
        Standing::Current => return Ok(Vec::new()),
        Standing::Foreign => return judge(standing, "", CANNOT_TELL).map(|()| Vec::new()),
        Standing::Behind { .. } | Standing::Hidden => {}
    }
    if let MayMigrate::No(why) = may_migrate(conn, own_schema).await? {
        return judge(standing, &role(conn).await?, why).map(|()| Vec::new());
    }
    let there = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *conn).await?;
    let applied = if there { applied(conn).await? } else { Vec::new() };
    let missing = MIGRATOR.iter().filter(|one| !applied.iter().any(|applied| applied.version == one.version));
    Ok(missing.map(|one| format!("{:04} {}", one.version, one.description)).collect())
}

async fn role(conn: &mut Session) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT current_user::text").fetch_one(conn).await
}

impl Store {
    /// Runs the missing migrations.
    async fn migrate(&self) -> Result<(), SchemaError> {
        let mut conn = self.pool.acquire().await?;
        let migrated = migrate(&mut conn, self.pools.options.own_schema).await;
        // Closed instead of returned, so that the next user gets a session with the usual timeout.
        conn.close().await?;
        migrated
    }

    /// Brings the schema up to date if migrations are missing and this role may run them, and returns what the role
    /// could do that serving does not need.
    pub async fn prepare(&self) -> Result<Option<Power>, SchemaError> {
        let mut conn = self.connection().await?;
        let role = role(&mut conn).await?;
        let standing = look(&mut conn).await?;
        let may = if self.has_no_session() {
            MayMigrate::No(NO_SESSION)
        } else {
            may_migrate(&mut conn, self.pools.options.own_schema).await?
        };
        match may {
            MayMigrate::Yes if standing != Standing::Current => {
                drop(conn);
                self.migrate().await?;
                conn = self.connection().await?;
            }
            MayMigrate::Yes => {}
            MayMigrate::No(why) => judge(standing, &role, why)?,
        }
        let lacking = lesser_role::lacking(&mut conn).await?;
        if !lacking.is_empty() {
            return Err(SchemaError::Lacking { role, lacking });
        }
        Ok(lesser_role::power(&mut conn, &role).await?)
    }
}

fn judge(standing: Standing, role: &str, why: &'static str) -> Result<(), SchemaError> {
    match standing {
        Standing::Current => Ok(()),
        Standing::Behind { missing } => Err(SchemaError::Behind { missing, why, role: role.to_owned() }),
        Standing::Foreign => Err(SchemaError::Foreign { why }),
        Standing::Hidden => {
            let lacking = vec!["SELECT on _sqlx_migrations".to_owned()];
            Err(SchemaError::Lacking { role: role.to_owned(), lacking })
        }
    }
}

async fn look(conn: &mut Session) -> Result<Standing, StoreError> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *conn).await?;
    if !there {
        // Names in a schema that this role may not use are not found.
        let hidden: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE n.nspname = $1 AND c.relname = '_sqlx_migrations' AND NOT has_schema_privilege(n.oid, 'USAGE'))",
        )
        .bind(OWN)
        .fetch_one(conn)
        .await?;
        return Ok(if hidden { Standing::Hidden } else { Standing::Behind { missing: MIGRATOR.iter().count() } });
    }
    let allowed: bool =
        sqlx::query_scalar("SELECT has_table_privilege('_sqlx_migrations', 'SELECT')").fetch_one(&mut *conn).await?;
    if !allowed {
        return Ok(Standing::Hidden);
    }
    match applied(conn).await {
        Ok(applied) => Ok(compare(&applied)),
        // A table of that name with other columns, or with columns of other types.
        Err(error) if error::is_other_shape(&error) => Ok(Standing::Foreign),
        Err(error) => Err(error.into()),
    }
}

async fn applied(conn: &mut Session) -> Result<Vec<Applied>, sqlx::Error> {
    let rows = sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations").fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(version, checksum, success)| Applied { version, checksum, success }).collect())
}

fn compare(applied: &[Applied]) -> Standing {
    let ours = |Applied { version, checksum, success }: &Applied| {
        *success && MIGRATOR.iter().any(|one| one.version == *version && *one.checksum == **checksum)
    };
    if !applied.iter().all(ours) {
        return Standing::Foreign;
    }
    match MIGRATOR.iter().count() - applied.len() {
        0 => Standing::Current,
        missing => Standing::Behind { missing },
    }
}

/// Whether a role may run migrations.
enum MayMigrate {
    Yes,
    /// Why not.
    No(&'static str),
}

/// Whether this role makes the tables of a new installation, or owns those that are there.
async fn may_migrate(conn: &mut Session, own_schema: bool) -> Result<MayMigrate, StoreError> {
    let (makes, owns): (bool, bool) = sqlx::query_as(
        "SELECT CASE WHEN current_schema() IS NULL AND $1 THEN has_database_privilege(current_database(), 'CREATE')
                     ELSE coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) END,
                coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')), true)",
    )
    .bind(own_schema)
    .fetch_one(&mut *conn)
    .await?;
    let there = !own_schema || is_made(conn).await?;
    Ok(match (makes && owns, there) {
        (true, _) => MayMigrate::Yes,
        (false, true) => MayMigrate::No(MAY_NOT),
        (false, false) => MayMigrate::No(MAY_NOT_MAKE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Applied> {
        let applied = |one: &sqlx::migrate::Migration| Applied {
            version: one.version,
            checksum: one.checksum.to_vec(),
            success: true,
        };
        MIGRATOR.iter().map(applied).collect()
    }

    #[test]
    fn a_schema_is_current_behind_or_not_ours() {
        assert_eq!(compare(&all()), Standing::Current);
        assert_eq!(compare(&all()[1..]), Standing::Behind { missing: 1 });
        assert_eq!(compare(&[]), Standing::Behind { missing: all().len() });
        for change in [
            |row: &mut Applied| row.version = 99_999,
            |row: &mut Applied| row.checksum[0] ^= 1,
            |row: &mut Applied| row.success = false,
        ] {
            let mut rows = all();
            change(&mut rows[0]);
            assert_eq!(compare(&rows), Standing::Foreign);
        }
    }

    #[test]
    fn refusals_name_the_command() {
        let said = judge(Standing::Behind { missing: 2 }, "app", MAY_NOT).unwrap_err().to_string();
        assert!(
            said.contains("2 migration(s) are missing") && said.contains("countersign migrate --grant-to app"),
            "{said}"
        );
        let said = judge(Standing::Hidden, "app", "").unwrap_err().to_string();
        assert!(
            said.contains("SELECT on _sqlx_migrations") && said.contains("countersign migrate --grant-to app"),
            "{said}"
        );
        judge(Standing::Foreign, "app", MAY_NOT).unwrap_err();
        judge(Standing::Current, "app", "").unwrap();
    }
}
