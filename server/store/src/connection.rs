//! Connections and transactions whose statements survive a change of the schema (stale statements); the commit, whose
//! effect may be unknown; and the database's time.
//!
//! If a column's type has changed since a statement was prepared, the database refuses the statement (0A000), once on
//! each session that prepared it, before it does anything. A single statement is therefore prepared again and sent once
//! more here. In a transaction the error ends the transaction: it becomes [`StoreError::Conflict`], and the caller
//! tries the transaction again on a session that has prepared nothing yet (`freshness::begin_anew`).

use std::{
    io::ErrorKind,
    ops::{Deref, DerefMut},
};

use futures::{
    FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Connection as _, Describe, Either, Error, Execute, Executor, PgConnection, Postgres, SqlStr, Transaction,
    pool::PoolConnection,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
    query::Query,
};
use time::OffsetDateTime;

use crate::error::{StoreError, is_stale_plan};

/// A session with the database that is in no pool: for commands, and for checks before a server starts.
pub type Session = PgConnection;

/// Where statements are sent: a connection of a pool, or a transaction on one.
#[derive(Debug)]
pub struct Connection(Kind);

#[derive(Debug)]
enum Kind {
    Single(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Connection {
    /// A connection on which each statement takes effect by itself.
    pub(crate) const fn single(connection: PoolConnection<Postgres>) -> Self {
        Self(Kind::Single(connection))
    }

    /// Commits what has not taken effect yet. After an error other than a conflict it is unknown whether it took
    /// effect; after a conflict it did not.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self.0 {
            Kind::Single(_) => Ok(()),
            Kind::Transaction(transaction) => commit_transaction(transaction).await,
        }
    }
}

/// The session itself, for statements that change or inspect the schema: they are sent once and are not prepared
/// elsewhere.
impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.0 {
            Kind::Single(connection) => connection,
            Kind::Transaction(transaction) => transaction,
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.0 {
            Kind::Single(connection) => connection,
            Kind::Transaction(transaction) => transaction,
        }
    }
}

/// An open transaction; dropped without [`commit`] it is rolled back.
#[derive(Debug)]
pub struct Tx(Connection);

impl Tx {
    pub(crate) const fn new(transaction: Transaction<'static, Postgres>) -> Self {
        Self(Connection(Kind::Transaction(transaction)))
    }

    pub(crate) fn into_connection(self) -> Connection {
        self.0
    }

    /// Rolls back now.
    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        match self.0.0 {
            Kind::Single(_) => Ok(()),
            Kind::Transaction(transaction) => Ok(transaction.rollback().await?),
        }
    }
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// The time of the database's clock.
#[tracing::instrument(name = "store.connection.database_time", target = "countersign_trace", level = "debug", skip_all)]
pub async fn database_time(conn: &mut Connection) -> Result<OffsetDateTime, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(conn).await?)
}

/// Commits. After an error other than a conflict it is unknown whether the transaction took effect; after a conflict it
/// did not.
#[tracing::instrument(name = "store.connection.commit", target = "countersign_trace", level = "debug", skip_all)]
pub async fn commit(tx: Tx) -> Result<(), StoreError> {
    tx.into_connection().commit().await
}

async fn commit_transaction(transaction: Transaction<'static, Postgres>) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| match error {
        // The database had ended the session before, so the COMMIT was never sent.
        Error::Io(ref why) if why.kind() == ErrorKind::BrokenPipe => StoreError::Conflict(error),
        error => error.into(),
    })
}

/// A statement, as it can be sent more than once.
enum Statement {
    Prepared(PreparedStatement),
    /// Without arguments: it is not prepared, and sent as it is.
    Text(SqlStr),
}

struct PreparedStatement {
    sql: SqlStr,
    arguments: PgArguments,
    persistent: bool,
}

impl PreparedStatement {
    fn query(self) -> Query<'static, Postgres, PgArguments> {
        sqlx::query_with(self.sql, self.arguments).persistent(self.persistent)
    }

    fn again(&self) -> Query<'static, Postgres, PgArguments> {
        Self { sql: self.sql.clone(), arguments: self.arguments.clone(), persistent: self.persistent }.query()
    }
}

/// The statement with its arguments. A statement without arguments is not prepared; it is sent as it is.
fn statement<'q, E: Execute<'q, Postgres>>(mut query: E) -> Result<Statement, Error> {
    let persistent = query.persistent();
    let arguments = query.take_arguments().map_err(Error::Encode)?;
    let sql = query.sql();
    Ok(match arguments {
        Some(arguments) => Statement::Prepared(PreparedStatement { sql, arguments, persistent }),
        None => Statement::Text(sql),
    })
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let connection = match &mut self.0 {
            Kind::Single(connection) => connection,
            Kind::Transaction(transaction) => return transaction.fetch_many(query),
        };
        let statement = statement(query);
        let all = async move {
            let statement = match statement? {
                Statement::Prepared(statement) => statement,
                Statement::Text(sql) => return connection.fetch_many(sqlx::raw_sql(sql)).try_collect::<Vec<_>>().await,
            };
            match connection.fetch_many(statement.again()).try_collect().await {
                Err(error) if is_stale_plan(&error) => {
                    connection.clear_cached_statements().await?;
                    connection.fetch_many(statement.query()).try_collect().await
                }
                done => done,
            }
        };
        all.map_ok(|all| stream::iter(all).map(Ok)).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        // The answers to a statement are read to the end, because an error may follow the first row.
        let all = self.fetch_many(query);
        let first = |kept: Option<PgRow>, step| async move { Ok(kept.or(Either::right(step))) };
        all.try_fold(None, first).boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        (**self).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        (**self).describe(sql)
    }
}
