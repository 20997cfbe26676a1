//! Connections for single statements.
//!
//! Behind a pooler in transaction mode two statements in turn may meet two sessions of the database, and the driver sends a
//! statement in two steps: what one session has prepared, the other would be told to run. So there, even a single statement is
//! a transaction, which a pooler leaves on one session. The one for reads is read-only, so that a write that nobody would commit
//! fails at once.

use std::ops::{Deref, DerefMut};

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use crate::{Connection, Store, StoreError};

/// A connection on which statements take effect one by one; behind a pooler, together, by [`Statements::done`].
#[derive(Debug)]
pub struct Statements(Connection);

impl Statements {
    /// Whatever was written takes effect, if it has not yet.
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
    /// Whether a pooler in transaction mode is in front of the database: there is no session to keep anything in.
    #[must_use]
    pub fn has_no_session(&self) -> bool {
        self.pools.options.transaction_pooler
    }

    /// A connection for single statements that read.
    pub async fn connection(&self) -> Result<Statements, StoreError> {
        self.statements("BEGIN READ ONLY").await
    }

    /// A connection for single statements that write, until [`Statements::done`].
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

    /// How transactions of this store begin. A session that nobody set up for reads is told how long each may take.
    pub(crate) fn beginning(&self, begin: &'static str) -> SqlStr {
        match self.longest {
            Some(longest) if self.has_no_session() => {
                AssertSqlSafe(format!("{begin}; SET LOCAL statement_timeout = {}", longest.as_millis())).into_sql_str()
            }
            _ => begin.into_sql_str(),
        }
    }
}
