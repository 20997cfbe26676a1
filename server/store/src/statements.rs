//! Connections for single statements, also behind a pooler in transaction mode, where each sets its statement timeout.
//!
//! Behind such a pooler, two consecutive statements may go to two sessions of the database. The driver sends a
//! statement in two steps, so one session would prepare it and another would be told to run it. There, even a single
//! statement is therefore a transaction, which a pooler keeps on one session. The transaction for reads is read-only,
//! so that a write, which would never be committed, fails at once.

use std::ops::{Deref, DerefMut};

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use crate::{connection::Connection, error::StoreError, store::Store};

/// A connection on which statements take effect one by one; behind a pooler, together, on [`Statements::done`].
#[derive(Debug)]
pub struct Statements(Connection);

impl Statements {
    /// Commits what was written, if it has not taken effect yet.
    #[tracing::instrument(name = "store.statements.done", target = "countersign_trace", level = "debug", skip_all)]
    pub async fn done(self) -> Result<(), StoreError> {
        self.0.commit().await
    }
}

impl Deref for Statements {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Statements {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Store {
    /// Whether a pooler in transaction mode is in front of the database, so that no state can be kept in a session.
    #[must_use]
    pub fn has_no_session(&self) -> bool {
        self.pools.options.transaction_pooler
    }

    /// A connection for single statements that read.
    #[tracing::instrument(
        name = "store.statements.connection",
        target = "countersign_trace",
        level = "debug",
        skip_all
    )]
    pub async fn connection(&self) -> Result<Statements, StoreError> {
        self.statements("BEGIN READ ONLY").await
    }

    /// A connection for single statements that write, until [`Statements::done`].
    #[tracing::instrument(name = "store.statements.writing", target = "countersign_trace", level = "debug", skip_all)]
    pub async fn writing(&self) -> Result<Statements, StoreError> {
        self.statements("BEGIN").await
    }

    async fn statements(&self, begin: &'static str) -> Result<Statements, StoreError> {
        Ok(Statements(if self.has_no_session() {
            self.begin_with(begin).await?.into_connection()
        } else {
            Connection::single(self.pool.acquire().await?)
        }))
    }

    /// How transactions of this store begin. A session that was not set up for reads is told the statement timeout.
    pub(crate) fn beginning(&self, begin: &'static str) -> SqlStr {
        match self.longest {
            Some(longest) if self.has_no_session() => {
                AssertSqlSafe(format!("{begin}; SET LOCAL statement_timeout = {}", longest.as_millis())).into_sql_str()
            }
            _ => begin.into_sql_str(),
        }
    }
}
