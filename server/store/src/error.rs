//! Errors of the database: which SQLSTATE code or connection error means unavailable, too slow (statement timeout),
//! conflict (deadlock, serialization), exists already, or a stale plan; and why a database takes no writes (read-only,
//! out of disk space).

use std::fmt::Display;

use sqlx::postgres::PgDatabaseError;

use crate::freshness;

/// read_only_sql_transaction: the former primary is now a standby, or an administrator made the database read-only.
const READ_ONLY: &str = "25006";
/// disk_full, and io_error, which the server returns when it cannot write a file.
const NO_SPACE: [&str; 2] = ["53100", "58030"];

/// Errors of the database and of the connection to it. The texts are for the log, never for callers.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, refused the connection or broke it. It is unknown whether the last statement took
    /// effect.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The database ended a statement that took too long.
    #[error("a statement took too long: {0}")]
    TooSlow(#[source] sqlx::Error),
    /// A concurrent transaction won. The caller may try the same transaction again.
    #[error("a concurrent transaction won: {0}")]
    Conflict(#[source] sqlx::Error),
    /// A row exists already.
    #[error("a row with this key exists: {constraint}")]
    Exists {
        /// The constraint that reported it.
        constraint: String,
    },
    /// A stored value is one that this server could not have written.
    #[error("{table} holds a value that cannot be read: {what}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column, and what is wrong with it.
        what: String,
    },
    /// A number does not fit into its column.
    #[error("{number} is too large for {table}")]
    TooLarge {
        /// The table.
        table: &'static str,
        /// The number.
        number: String,
    },
    /// A text contains U+0000, which the database cannot store.
    #[error("a text holds a character that cannot be stored: {0}")]
    Text(#[source] sqlx::Error),
    /// The key after which a page begins is not a key of this list.
    #[error("the page's cursor does not belong to this list")]
    Cursor,
    /// The schema cannot be brought up to date.
    #[error("migration failed: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database refused for any other reason: a bug of ours.
    #[error("the database refused a statement: {0}")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// Why a database that answers does not accept writes, in words that every reader may see. `None` if it did not
    /// answer.
    #[must_use]
    pub fn why_no_writes(&self) -> Option<&'static str> {
        let Self::Unavailable(error) = self else { return Some("refuses to write") };
        Some(match code(error)?.as_str() {
            READ_ONLY => "is read-only: a standby, or set to read-only",
            code if NO_SPACE.contains(&code) => "is out of disk space",
            // It is stopping or starting, or the connection broke.
            code if code.starts_with("57") || code.starts_with("08") => return None,
            _ => "does not write",
        })
    }

    pub(crate) fn corrupt(table: &'static str, what: impl Display) -> Self {
        Self::Corrupt { table, what: what.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(code) = code(&error) else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Protocol(_)
                | sqlx::Error::Configuration(_) => Self::Unavailable(error),
                _ => Self::Database(error),
            };
        };
        let is_stale = is_stale_plan(&error);
        if code == READ_ONLY || is_stale {
            freshness::begin_anew();
        }
        if is_stale {
            return Self::Conflict(error);
        }
        match code.as_str() {
            // serialization_failure, deadlock_detected; and the session of an idle transaction that was ended: it had
            // no effect
            "40001" | "40P01" | "25P03" => Self::Conflict(error),
            // character_not_in_repertoire, untranslatable_character
            "22021" | "22P05" => Self::Text(error),
            // query_canceled
            "57014" => Self::TooSlow(error),
            "23505" => Self::Exists { constraint: constraint(&error) },
            // Shutting down or starting, out of connections or memory, cancelled by a timeout, read-only standby.
            code if ["57", "53", "58", "08", READ_ONLY, "55P03"].iter().any(|class| code.starts_with(class)) => {
                Self::Unavailable(error)
            }
            _ => Self::Database(error),
        }
    }
}

fn database(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
}

fn code(error: &sqlx::Error) -> Option<String> {
    database(error).map(|error| error.code().to_owned())
}

/// Whether the session prepared the statement before the types of its columns changed. Then nothing was done.
pub(crate) fn is_stale_plan(error: &sqlx::Error) -> bool {
    // feature_not_supported. The routine is compared because the error text is translated.
    database(error).is_some_and(|error| error.code() == "0A000" && error.routine() == Some("RevalidateCachedQuery"))
}

/// Whether a table lacks the columns that were named, or has them with other types.
pub(crate) fn is_other_shape(error: &sqlx::Error) -> bool {
    // undefined_column, undefined_function (an operator between types), datatype_mismatch, wrong_object_type
    code(error).is_some_and(|code| ["42703", "42883", "42804", "42809"].contains(&code.as_str()))
}

/// Whether a prepared statement of this name exists already.
pub(crate) fn is_there_already(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("42P05")
}

/// Whether a pooler refused a setting that the client asks for on connecting.
#[must_use]
pub fn is_refused_by_pooler(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("unsupported startup parameter"))
}

/// Whether a lock was not obtained within the lock timeout.
pub(crate) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("55P03")
}

/// Whether the role lacks a right.
pub(crate) fn is_denied(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("42501")
}

fn constraint(error: &sqlx::Error) -> String {
    database(error).and_then(PgDatabaseError::constraint).unwrap_or_default().to_owned()
}
