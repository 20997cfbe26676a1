//! The database role with which a server runs: it owns nothing, and has only the rights on each table that serving
//! needs. Grants them (`countersign migrate --grant-to`), names those that are missing, and finds a role that is too
//! powerful.
//!
//! These statements are not checked at compile time, because they use the catalogue and name a role.

use std::{fmt, iter};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::{
    connection::Session,
    error::{self, StoreError},
    options::Options,
    own_schema::OWN,
    session,
};

/// The rights that serving needs on each table. A test compares them with this crate's statements.
const TABLES: [(&str, &str); 46] = [
    ("_sqlx_migrations", "SELECT"),
    ("active_policy", "SELECT, INSERT, UPDATE"),
    ("api_key", "SELECT, INSERT, UPDATE"),
    ("approval", "SELECT, INSERT, UPDATE"),
    ("cache_extension", "SELECT, INSERT, UPDATE"),
    ("consumed_credential", "SELECT, INSERT, DELETE"),
    ("custody_event", "SELECT, INSERT"),
    ("disabled_operator", "SELECT, INSERT, UPDATE, DELETE"),
    ("expiry_announced", "SELECT, INSERT, DELETE"),
    ("forgotten", "SELECT, UPDATE"),
    ("gate_reading", "SELECT, INSERT, UPDATE"),
    ("idempotency", "SELECT, INSERT, DELETE"),
    ("indicator_slot", "SELECT, INSERT, DELETE"),
    ("installation", "SELECT, INSERT"),
    ("instance", "SELECT, INSERT, UPDATE"),
    ("kill_switch", "SELECT, INSERT, DELETE"),
    ("log_check", "SELECT, UPDATE"),
    ("log_checkpoint", "SELECT, INSERT, UPDATE, DELETE"),
    ("log_head", "SELECT, UPDATE"),
    ("log_manifest", "SELECT, UPDATE"),
    ("log_override", "SELECT, INSERT"),
    ("log_tile", "SELECT, INSERT, UPDATE"),
    ("log_tree", "SELECT, UPDATE"),
    ("missing_sponsor_slot", "SELECT, INSERT"),
    ("operator", "SELECT, INSERT, UPDATE"),
    ("outcome_closed", "SELECT, UPDATE"),
    ("outcome_mark", "SELECT, INSERT, UPDATE, DELETE"),
    ("person_binding", "SELECT, INSERT, UPDATE"),
    ("policy", "SELECT, INSERT, UPDATE"),
    ("revocation", "SELECT, INSERT"),
    ("rollout", "SELECT, INSERT, UPDATE"),
    ("rollout_comparison", "SELECT, INSERT, UPDATE"),
    ("rollout_rule_comparison", "SELECT, INSERT, UPDATE"),
    ("rollout_slot", "SELECT, INSERT"),
    ("sealed_secret", "SELECT, INSERT, UPDATE"),
    ("settled_revocation", "SELECT, UPDATE"),
    ("signing_key", "SELECT, INSERT, UPDATE"),
    ("sink", "SELECT, INSERT, UPDATE"),
    ("sink_refusal", "SELECT, INSERT"),
    ("sponsor", "SELECT, INSERT, UPDATE"),
    ("tool_call", "SELECT, INSERT"),
    ("two_persons", "SELECT, INSERT"),
    ("webhook_outbox", "SELECT, INSERT, UPDATE, DELETE"),
    ("write_probe", "SELECT, UPDATE"),
    ("write_probe_filler", "SELECT, INSERT"),
    ("x509_authority", "SELECT, INSERT, UPDATE, DELETE"),
];

/// The functions that serving calls. The first one runs with its owner's rights: it creates the partitions of the
/// custody log.
const FUNCTIONS: [&str; 2] = ["ensure_custody_partitions(date, integer)", "uuid_v7_floor(timestamptz)"];

/// How many missing rights are named, at most.
const NAMED: i64 = 3;

/// A right that serving does not need, with which a role could change what is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It may do everything.
    Superuser,
    /// It owns tables, so it could disable triggers, alter and drop.
    Owner,
    /// It may create roles, so it could make itself a member of the owner.
    MakesRoles,
    /// It may update, delete or truncate events, or add triggers.
    ChangesEvents,
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Superuser => "is a superuser, or a member of a role that is or can become one",
            Self::Owner => "owns the tables, their schema or the database, or is a member of the role that does",
            Self::MakesRoles => "may create roles, and so become a member of the role that owns the tables",
            Self::ChangesEvents => {
                "may change or empty custody_event: itself, through a role it is a member of, or because PUBLIC may"
            }
        })
    }
}

/// Whether the session settings of the role could be set as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    /// They are set.
    Set,
    /// The owner may not set them for another role. An administrator of the database must run these statements.
    ForAnAdministrator(Vec<String>),
}

/// Why a role was given no rights.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The role does not exist.
    #[error("there is no database role {0:?}: create it first (CREATE ROLE {quoted} LOGIN PASSWORD '...')", quoted = identifier(.0))]
    NoRole(String),
    /// The role could change what is on record, whatever it is granted.
    #[error("role {role:?} cannot be a lesser role, because it {power}: name another one")]
    TooPowerful {
        /// The role.
        role: String,
        /// Why.
        power: Power,
    },
    /// The role of the session does not own the tables.
    #[error(
        "role {0:?} does not own the tables, so it cannot grant rights on them: connect as the role that ran the migrations"
    )]
    NotOwner(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for GrantError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Creates the role if it does not exist. It logs in without a password, which the private Postgres permits.
pub async fn ensure(conn: &mut Session, role: &str) -> Result<(), StoreError> {
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(role)
        .fetch_one(&mut *conn)
        .await?;
    if !there {
        conn.execute(AssertSqlSafe(format!("CREATE ROLE {} LOGIN", identifier(role)))).await?;
    }
    Ok(())
}

/// Grants a role what serving needs and takes all other rights from it, completely or not at all. A second call changes
/// nothing. The schema must be up to date, and the session must be that of the tables' owner.
pub async fn grant(conn: &mut Session, role: &str, options: &Options) -> Result<Settings, GrantError> {
    let mut tx = conn.begin().await?;
    // Two such calls at once would update the same rows of the catalogue.
    tx.execute("SELECT pg_advisory_xact_lock(hashtext('countersign.grant_to'))").await?;
    let refused = |power| GrantError::TooPowerful { role: role.to_owned(), power };
    match role_of(&mut tx, role).await? {
        Role::Missing => return Err(GrantError::NoRole(role.to_owned())),
        // This one is taken away below.
        Role::Lesser | Role::Powerful(Power::ChangesEvents) => {}
        Role::Powerful(power) => return Err(refused(power)),
    }
    let (user, is_owner): (String, bool) = sqlx::query_as(
        "SELECT current_user::text, pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('custody_event')",
    )
    .fetch_one(&mut *tx)
    .await?;
    if !is_owner {
        return Err(GrantError::NotOwner(user));
    }
    grant_tables(&mut tx, role).await?;
    let_in(&mut tx, role).await?;
    if let Role::Powerful(power) = role_of(&mut tx, role).await? {
        return Err(refused(power));
    }
    let settings = set_settings(&mut tx, role, options).await?;
    tx.commit().await?;
    Ok(settings)
}

async fn grant_tables(tx: &mut Session, role: &str) -> Result<(), sqlx::Error> {
    let role = identifier(role);
    // Events are written through the partitioned table, which needs no rights on its partitions.
    let partitions: Vec<String> = sqlx::query_scalar(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass('custody_event')",
    )
    .fetch_all(&mut *tx)
    .await?;
    let tables = TABLES.iter().map(|(table, _)| *table).chain(partitions.iter().map(String::as_str));
    let tables = tables.collect::<Vec<_>>().join(", ");
    let rights = TABLES.iter().map(|(table, privileges)| format!("GRANT {privileges} ON TABLE {table} TO {role}"));
    let calls = FUNCTIONS.iter().map(|function| format!("GRANT EXECUTE ON FUNCTION {function} TO {role}"));
    let statements: Vec<_> =
        iter::once(format!("REVOKE ALL ON TABLE {tables} FROM {role}")).chain(rights).chain(calls).collect();
    tx.execute(AssertSqlSafe(statements.join(";"))).await?;
    Ok(())
}

/// Most databases let every role connect, and the database's owner is not always the owner of the tables.
async fn let_in(tx: &mut Session, role: &str) -> Result<(), sqlx::Error> {
    let closed: Vec<String> = sqlx::query_scalar(
        "SELECT format('GRANT USAGE ON SCHEMA %s TO %I', relnamespace::regnamespace, $1) FROM pg_class
         WHERE oid = to_regclass('custody_event') AND NOT has_schema_privilege($1::name, relnamespace, 'USAGE')
         UNION ALL
         SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), $1)
         WHERE NOT has_database_privilege($1::name, current_database(), 'CONNECT')",
    )
    .bind(role)
    .fetch_all(&mut *tx)
    .await?;
    for statement in closed {
        tx.execute(AssertSqlSafe(statement)).await?;
    }
    Ok(())
}

/// Sets for the role the settings that a server otherwise requests when it connects, and that a pooler would not pass
/// on.
async fn set_settings(tx: &mut Session, role: &str, options: &Options) -> Result<Settings, sqlx::Error> {
    let (database, commit): (String, String) = sqlx::query_as(
        "SELECT quote_ident(current_database()), CASE WHEN EXISTS (
             SELECT FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole JOIN pg_database d
             ON d.oid = s.setdatabase OR s.setdatabase = 0
             WHERE r.rolname = $1 AND d.datname = current_database() AND 'synchronous_commit=remote_apply' = ANY (s.setconfig)
         ) THEN 'remote_apply' ELSE current_setting('synchronous_commit') END",
    )
    .bind(role)
    .fetch_one(&mut *tx)
    .await?;
    let settings = session::settings(options).into_iter().chain([("synchronous_commit", commit)]);
    // If the tables are not in our own schema, they are found through the role's search path, as before.
    let settings = settings.chain(options.own_schema.then(|| ("search_path", OWN.to_owned())));
    let role = identifier(role);
    let statements: Vec<_> = settings
        .map(|(name, value)| format!("ALTER ROLE {role} IN DATABASE {database} SET {name} = '{value}'"))
        .collect();
    let mut inner = tx.begin().await?;
    match inner.execute(AssertSqlSafe(statements.join(";"))).await {
        Ok(_) => inner.commit().await.map(|()| Settings::Set),
        Err(error) if error::is_denied(&error) => {
            inner.rollback().await?;
            Ok(Settings::ForAnAdministrator(statements))
        }
        Err(error) => Err(error),
    }
}

/// What a role is, beside what serving needs.
enum Role {
    Missing,
    /// It could do no more.
    Lesser,
    /// It could do this, too.
    Powerful(Power),
}

async fn role_of(conn: &mut Session, role: &str) -> Result<Role, StoreError> {
    let found = sqlx::query_as::<_, (Option<String>,)>(
        "SELECT CASE
             WHEN EXISTS (SELECT FROM pg_roles s
                          WHERE (s.rolsuper OR s.rolname IN ('pg_execute_server_program', 'pg_write_server_files'))
                            AND pg_has_role(r.oid, s.oid, 'MEMBER')) THEN 'superuser'
             WHEN EXISTS (SELECT FROM (
                              SELECT relowner AS owner FROM pg_class
                              WHERE relname::text = ANY ($2) AND relnamespace = ours.relnamespace
                              UNION SELECT proowner FROM pg_proc WHERE oid = to_regprocedure($3)
                              UNION SELECT nspowner FROM pg_namespace WHERE oid = ours.relnamespace
                              UNION SELECT datdba FROM pg_database WHERE datname = current_database()
                          ) AS owners WHERE pg_has_role(r.oid, owner, 'MEMBER')) THEN 'owner'
             WHEN EXISTS (SELECT FROM pg_roles s
                          WHERE s.rolcreaterole AND pg_has_role(r.oid, s.oid, 'MEMBER')) THEN 'makes roles'
             WHEN EXISTS (SELECT FROM pg_class c
                          WHERE (c.oid = ours.oid OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = ours.oid))
                            AND (has_table_privilege(r.oid, c.oid, 'DELETE, TRUNCATE, TRIGGER')
                                 OR has_any_column_privilege(r.oid, c.oid, 'UPDATE'))) THEN 'changes events'
         END
         FROM pg_roles r, pg_class ours WHERE r.rolname = $1 AND ours.oid = to_regclass('custody_event')",
    )
    .bind(role)
    .bind(TABLES.map(|(table, _)| table.to_owned()))
    .bind(FUNCTIONS[0])
    .fetch_optional(conn)
    .await?;
    let Some((power,)) = found else { return Ok(Role::Missing) };
    Ok(match power.as_deref() {
        None => Role::Lesser,
        Some("superuser") => Role::Powerful(Power::Superuser),
        Some("owner") => Role::Powerful(Power::Owner),
        Some("makes roles") => Role::Powerful(Power::MakesRoles),
        Some(_) => Role::Powerful(Power::ChangesEvents),
    })
}

/// What the role of this session could do that serving does not need.
pub(crate) async fn power(conn: &mut Session, role: &str) -> Result<Option<Power>, StoreError> {
    Ok(match role_of(conn, role).await? {
        Role::Powerful(power) => Some(power),
        Role::Lesser | Role::Missing => None,
    })
}

/// Some of the rights that serving needs and the role of this session lacks.
pub(crate) async fn lacking(conn: &mut Session) -> Result<Vec<String>, StoreError> {
    let needed = TABLES.iter().flat_map(|(table, privileges)| privileges.split(", ").map(move |one| (*table, one)));
    let (tables, privileges): (Vec<_>, Vec<_>) = needed.unzip();
    let lacking = sqlx::query_scalar(
        "SELECT privilege || ' on ' || name FROM unnest($1::text[], $2::text[]) AS needed (name, privilege)
         WHERE NOT coalesce(has_table_privilege(to_regclass(name), privilege), false)
         UNION ALL
         SELECT 'EXECUTE on ' || name FROM unnest($3::text[]) AS name
         WHERE NOT coalesce(has_function_privilege(to_regprocedure(name), 'EXECUTE'), false)
         LIMIT $4",
    );
    let functions = FUNCTIONS.map(str::to_owned);
    Ok(lacking
        .bind(&tables as &[&str])
        .bind(&privileges as &[&str])
        .bind(functions)
        .bind(NAMED)
        .fetch_all(conn)
        .await?)
}

/// A name quoted as an SQL identifier, whatever it contains.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::Path,
    };

    use super::*;
    use crate::MIGRATOR;

    /// What the statements of this crate do with each table, besides reading it.
    fn written() -> BTreeMap<String, BTreeSet<&'static str>> {
        let mut written: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            let text = fs::read_to_string(&file).unwrap();
            // The files whose statements the owner runs.
            if ["lesser_role.rs", "own_schema.rs"].iter().any(|of_owners| file.ends_with(of_owners)) {
                continue;
            }
            let words: Vec<_> = text.split(|at: char| at.is_whitespace() || "\"(;,".contains(at)).collect();
            let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
            let mut inserted = "";
            for nth in 0..words.len() {
                let word = |more: usize| words.get(nth + more).copied().unwrap_or_default();
                let (table, done) = match (word(0), word(1)) {
                    ("INSERT", "INTO") => {
                        inserted = word(2);
                        (inserted, "INSERT")
                    }
                    ("DO", "UPDATE") => (inserted, "UPDATE"),
                    ("DELETE", "FROM") => (word(2), "DELETE"),
                    // Not the end of FOR UPDATE.
                    ("UPDATE", table) if table != ")" && ["SET", "AS"].contains(&word(2)) => (table, "UPDATE"),
                    _ => continue,
                };
                written.entry(table.to_owned()).or_default().insert(done);
            }
        }
        written
    }

    #[test]
    fn each_table_is_granted_for_what_is_done_with_it() {
        let written = written();
        for (table, privileges) in TABLES {
            let granted: BTreeSet<_> = privileges.split(", ").filter(|one| *one != "SELECT").collect();
            assert_eq!(granted, written.get(table).cloned().unwrap_or_default(), "{table}");
        }
        let known: BTreeSet<_> = TABLES.iter().map(|(table, _)| *table).collect();
        for table in written.keys() {
            assert!(known.contains(table.as_str()), "{table} is written, and not granted");
        }
    }

    #[test]
    fn tables_of_migrations_are_granted_and_there_are_no_sequences() {
        let granted: BTreeSet<_> = TABLES.iter().map(|(table, _)| (*table).to_owned()).collect();
        // Rows of events are reached through the partitioned table.
        let unreached = "custody_event_default";
        for migration in MIGRATOR.iter() {
            for line in migration.sql.as_str().lines().filter(|line| !line.starts_with("--")) {
                for word in ["serial", "bigserial", "SEQUENCE", "IDENTITY"] {
                    let has = line.split_whitespace().any(|one| one.trim_end_matches(',') == word);
                    assert!(!has, "grant the sequence of {line}");
                }
                let Some(name) = line.strip_prefix("CREATE TABLE ") else { continue };
                let name = name.split_whitespace().next().unwrap();
                assert!(name == unreached || granted.contains(name), "{name} is not granted");
            }
        }
    }

    #[test]
    fn a_name_cannot_end_its_quotation() {
        assert_eq!(identifier(r#"a"; DROP TABLE x; --"#), r#""a""; DROP TABLE x; --""#);
    }
}
