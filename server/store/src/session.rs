//! Settings that a database session must have: timeouts, durability (`synchronous_commit`, `fsync`), encoding,
//! isolation, not read-only, search path; and what a pooler must do. They are read back on every new connection, in one
//! round trip, because a pooler or a role may change them.

use std::{error::Error as StdError, fmt};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Row as _,
    postgres::{PgConnectOptions, PgConnection, PgRow},
};

use crate::{connection::Session, error::is_there_already, options::Options, own_schema::OWN};

/// Longest time that a transaction may be idle, in milliseconds.
const IDLE_IN_TRANSACTION: &str = "30000";

/// The address, with the settings that sessions begin with.
pub(crate) fn connect_options(options: &Options) -> PgConnectOptions {
    let connect = options.connect.clone().application_name("countersign");
    if options.transaction_pooler {
        // A pooler would refuse to pass these on, because its sessions are shared; and no statement stays prepared from
        // one transaction to the next.
        return connect.extra_float_digits(None).statement_cache_capacity(0);
    }
    let connect = connect.options(settings(options));
    // If the schema is not ours, the search path of the role or the address leads to the tables.
    if options.own_schema { connect.options([("search_path", OWN)]) } else { connect }
}

/// The settings that sessions begin with, besides `synchronous_commit`.
pub(crate) fn settings(options: &Options) -> [(&'static str, String); 7] {
    [
        ("statement_timeout", options.statement_timeout.as_millis().to_string()),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION.to_owned()),
        // The wait for a lock is part of the statement timeout.
        ("lock_timeout", "0".to_owned()),
        ("default_transaction_isolation", "read committed".to_owned()),
        ("standard_conforming_strings", "on".to_owned()),
        // Statements here are short and many; compiling one takes longer than running it.
        ("jit", "off".to_owned()),
        // The server's log is for messages that an operator needs.
        ("client_min_messages", "warning".to_owned()),
    ]
}

/// Sets what may only become stronger. `remote_apply` waits for more than `on` and is kept; a weaker setting could lose
/// answers that were already given.
const STRENGTHENED: &str = "set_config('synchronous_commit', CASE current_setting('synchronous_commit')
        WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)";
/// The same behind a pooler, where a setting would stay with a session that the next client uses.
const AS_IT_IS: &str = "current_setting('synchronous_commit')";

/// The other settings that count, in the order of [`Rules::judge`].
const OTHERS: &str = "
    current_setting('fsync'),
    current_setting('full_page_writes'),
    current_setting('server_encoding'),
    current_setting('default_transaction_isolation'),
    current_setting('standard_conforming_strings'),
    CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE current_setting('default_transaction_read_only') END,
    (extract(epoch FROM current_setting('statement_timeout')::interval) * 1000)::bigint::text,
    (extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval) * 1000)::bigint::text,
    (extract(epoch FROM current_setting('lock_timeout')::interval) * 1000)::bigint::text,
    current_setting('search_path')";

/// Prepares a statement and leaves it on the session, as every statement of the driver does.
const LEAVE: &str = "PREPARE countersign_left_this AS SELECT 1";
/// Whether the prepared statement is gone.
const LEFT: &str = "SELECT count(*)::text FROM pg_prepared_statements";

/// A setting of the database that this server cannot work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    setting: &'static str,
    found: String,
    wanted: &'static str,
    why: &'static str,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, found, wanted, why } = self;
        write!(f, "the database's {setting} is {found} and must be {wanted}: {why}")
    }
}

impl StdError for Unfit {}

/// The requirements for a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Whether the configuration says that the storage keeps acknowledged writes without fsync.
    storage_replaces_fsync: bool,
    /// The longest permitted statement timeout of a session, in milliseconds.
    longest_statement: i64,
    /// Whether a pooler in transaction mode is in front.
    transaction_pooler: bool,
    /// Whether the tables are in our own schema.
    own_schema: bool,
}

impl Rules {
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            storage_replaces_fsync: options.storage_replaces_fsync,
            longest_statement: i64::try_from(options.statement_timeout.as_millis()).unwrap_or(i64::MAX),
            transaction_pooler: options.transaction_pooler,
            own_schema: options.own_schema,
        }
    }

    fn judge(self, found: &[String; 11]) -> Result<(), Unfit> {
        let [commit, fsync, pages, encoding, isolation, strings, read_only, statement, idle, lock, path] = found;
        let unfit = |setting, found: &str, wanted, why| Err(Unfit { setting, found: found.to_owned(), wanted, why });
        let within = |text: &str, longest: i64| text.parse().is_ok_and(|value: i64| (1..=longest).contains(&value));
        let lost = "answers that were given would be lost in a crash. Where the storage itself keeps what it acknowledged, say so \
                    with database_storage: replaces-fsync-and-full-page-writes";
        let role = "the session does not have what servers need. Behind a pooler it is set for the role: \
                    `countersign migrate --grant-to ROLE` does that";
        if encoding != "UTF8" {
            let why = "purposes, reasons and names are UTF-8, and a database's encoding cannot be changed: create one with \
                       ENCODING 'UTF8' TEMPLATE template0";
            return unfit("server_encoding", encoding, "UTF8", why);
        }
        if read_only != "off" {
            let why = "nothing could be decided, as every decision is recorded. A standby must be promoted, or the address must \
                       be the primary's";
            return unfit("default_transaction_read_only", read_only, "off", why);
        }
        if !matches!(commit.as_str(), "on" | "remote_apply") {
            return unfit(
                "synchronous_commit",
                commit,
                "on or remote_apply",
                "answers that were given would be lost in a crash",
            );
        }
        if !self.storage_replaces_fsync && fsync != "on" {
            return unfit("fsync", fsync, "on", lost);
        }
        if !self.storage_replaces_fsync && pages != "on" {
            return unfit("full_page_writes", pages, "on", lost);
        }
        if isolation != "read committed" {
            return unfit("default_transaction_isolation", isolation, "read committed", role);
        }
        if strings != "on" {
            return unfit("standard_conforming_strings", strings, "on", role);
        }
        if !within(statement, self.longest_statement) {
            return unfit("statement_timeout", statement, "the server's", role);
        }
        if !within(idle, 30_000) {
            return unfit("idle_in_transaction_session_timeout", idle, "at most 30000 ms", role);
        }
        if lock != "0" && !lock.parse().is_ok_and(|value: i64| value >= 1_000) {
            return unfit("lock_timeout", lock, "0 or at least 1000 ms", role);
        }
        if self.own_schema && path != OWN {
            return unfit("search_path", path, OWN, role);
        }
        Ok(())
    }
}

/// Checks a session that has just begun, with a simple query: one round trip, and no prepared statement is left behind.
pub(crate) async fn verify(conn: &mut PgConnection, rules: Rules) -> Result<(), sqlx::Error> {
    if rules.transaction_pooler {
        is_swept(conn).await?;
    }
    let commit = if rules.transaction_pooler { AS_IT_IS } else { STRENGTHENED };
    let look = AssertSqlSafe(format!("SELECT {commit}, {OTHERS}"));
    let row: PgRow = sqlx::raw_sql(look).fetch_one(conn).await?;
    let mut found: [String; 11] = Default::default();
    for (nth, text) in found.iter_mut().enumerate() {
        *text = row.try_get(nth)?;
    }
    rules.judge(&found).map_err(|unfit| sqlx::Error::Configuration(Box::new(unfit)))
}

/// Returns an error if the pooler passes on sessions with their prepared statements: the names of two clients would
/// collide.
async fn is_swept(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let left = match sqlx::raw_sql(LEAVE).execute(&mut *conn).await {
        Ok(_) => sqlx::raw_sql(LEFT).fetch_one(conn).await?.try_get(0)?,
        Err(error) if is_there_already(&error) => "1".to_owned(),
        Err(error) => return Err(error),
    };
    if left == "0" {
        return Ok(());
    }
    Err(sqlx::Error::Configuration(Box::new(Unfit {
        setting: "pg_prepared_statements",
        found: left,
        wanted: "empty after each transaction",
        why: "the pooler must clear a session before the next client has it. For PgBouncer set server_reset_query_always = 1, and \
              max_prepared_statements = 0 where it has that",
    })))
}

/// Connects once, with the checks that every connection of a [`Store`](crate::Store) passes, and returns the error; a pool would only
/// report a timeout.
#[tracing::instrument(name = "store.session.connect", target = "countersign_trace", level = "debug", skip_all)]
pub async fn connect(options: &Options) -> Result<Session, sqlx::Error> {
    let mut conn = connect_options(options).connect().await?;
    verify(&mut conn, Rules::of(options)).await?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings that fit, in the order of [`Rules::judge`].
    const FIT: [&str; 11] = ["on", "on", "on", "UTF8", "read committed", "on", "off", "10000", "30000", "0", OWN];

    fn judged(nth: usize, value: &str, storage_replaces_fsync: bool) -> Result<(), Unfit> {
        let mut found = FIT.map(str::to_owned);
        value.clone_into(&mut found[nth]);
        let rules =
            Rules { storage_replaces_fsync, longest_statement: 10_000, transaction_pooler: false, own_schema: true };
        rules.judge(&found)
    }

    #[test]
    fn weaker_settings_are_refused_by_name_and_stronger_ones_kept() {
        for (nth, value, refused) in [
            (0, "on", None),
            (0, "remote_apply", None),
            (0, "off", Some("synchronous_commit")),
            (0, "local", Some("synchronous_commit")),
            (1, "off", Some("fsync")),
            (2, "off", Some("full_page_writes")),
            (3, "LATIN1", Some("server_encoding")),
            (3, "SQL_ASCII", Some("server_encoding")),
            (4, "serializable", Some("default_transaction_isolation")),
            (5, "off", Some("standard_conforming_strings")),
            (6, "on", Some("default_transaction_read_only")),
            (6, "standby", Some("default_transaction_read_only")),
            (7, "5000", None),
            (7, "0", Some("statement_timeout")),
            (7, "60000", Some("statement_timeout")),
            (8, "0", Some("idle_in_transaction_session_timeout")),
            (9, "5000", None),
            (9, "1", Some("lock_timeout")),
            (10, "public", Some("search_path")),
        ] {
            let judged = judged(nth, value, false);
            assert_eq!(judged.as_ref().err().map(|unfit| unfit.setting), refused, "{value}");
            if let Err(unfit) = judged {
                assert!(unfit.to_string().contains(value), "{unfit}");
            }
        }
    }

    #[test]
    fn storage_that_replaces_fsync_is_declared() {
        for (nth, refused) in [(1, "fsync"), (2, "full_page_writes")] {
            assert_eq!(judged(nth, "off", true), Ok(()));
            assert_eq!(judged(nth, "off", false).unwrap_err().setting, refused);
        }
        assert!(judged(0, "off", true).is_err(), "synchronous_commit is another thing");
    }
}
