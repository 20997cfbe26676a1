//! Every SQL statement of Countersign, one module an aggregate. Queries are checked against the schema when this is
//! compiled (`.sqlx`), row types stay private to their module, and nothing here decides anything.
//!
//! Writes take a [`Tx`] and, where they stand in the custody log, the [`head::Head`] that its holder has locked.

pub mod api_key;
pub mod approval;
pub mod cache_extension;
pub mod comparison;
mod connection;
mod convert;
pub mod disabled_operator;
mod error;
pub mod event;
pub mod expiry;
pub mod gate_reading;
pub mod head;
pub mod hosts;
pub mod idempotency;
pub mod indicator;
pub mod installation;
pub mod instance;
pub mod kill_switch;
pub mod lesser_role;
pub mod look_back;
pub mod open_decision;
pub mod operator;
pub mod own_schema;
pub mod page;
pub mod person;
pub mod policy;
mod pools;
pub mod recorded;
pub mod revocation;
pub mod rollout;
pub mod schema;
pub mod sealed;
mod session;
pub mod settlement;
pub mod signing_key;
pub mod single_use;
pub mod sponsor;
mod statements;
pub mod stop_notice;
pub mod tool_call;
pub mod webhook;
mod write_probe;
pub mod x509_authority;

use std::{io::ErrorKind, sync::Arc, time::Duration};

use pools::Pools;
use session::Rules;
use sqlx::{ConnectOptions as _, PgConnection, PgPool, Postgres, Transaction, postgres::PgConnectOptions};
use time::OffsetDateTime;

pub use connection::{Connection, Tx};
pub use error::{StoreError, is_refused_by_pooler};
pub use page::{Page, PageRequest};
pub use session::Unfit;
pub use statements::Statements;

/// The schema, embedded.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// A session of the database that is in no pool: for commands, and for what is looked at before a server starts.
pub type Session = PgConnection;

/// How the database is reached.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where, and as whom.
    pub connect: PgConnectOptions,
    /// The hosts that may be that, in the order in which they are tried; each as whole as `connect`.
    pub hosts: Vec<PgConnectOptions>,
    /// Most connections at once for changes and workers. Reads, stops, the recorder and the question who may do what have
    /// connections of their own beside them.
    pub max_connections: u32,
    /// Most connections at once for reads.
    pub read_connections: u32,
    /// Longest wait for a free or a new connection.
    pub acquire_timeout: Duration,
    /// Longest statement, by the server's clock.
    pub statement_timeout: Duration,
    /// Longest statement of a read.
    pub read_timeout: Duration,
    /// Whether the configuration says that the storage keeps what it acknowledged without fsync and full page writes.
    pub storage_replaces_fsync: bool,
    /// Whether a pooler in transaction mode is in front: one that gives a session of the database to a client for a transaction,
    /// and then to the next.
    pub transaction_pooler: bool,
    /// Whether the tables are, or are to be, in the schema of our own: what [`own_schema::home`] says. False: they are where the
    /// role's or the address's `search_path` leads.
    pub own_schema: bool,
}

impl Options {
    /// The defaults for this address.
    #[must_use]
    pub fn new(connect: PgConnectOptions) -> Self {
        Self {
            hosts: vec![connect.clone()],
            connect,
            max_connections: 16,
            read_connections: 4,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(3),
            storage_replaces_fsync: false,
            transaction_pooler: false,
            own_schema: true,
        }
    }
}

/// Connects once, as every connection of a [`Store`] does, and says what is wrong; a pool would only say that it waited.
pub async fn connect(options: &Options) -> Result<Session, sqlx::Error> {
    let mut conn = session::connect_options(options).connect().await?;
    session::verify(&mut conn, Rules::of(options)).await?;
    Ok(conn)
}

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pools: Arc<Pools>,
    /// The one of them that this handle takes its connections from.
    pool: PgPool,
    /// Longest statement of this handle, where it is not that of every session.
    longest: Option<Duration>,
}

impl Store {
    /// A store on this database. Connects when first used, so that a database that is down now can come up later.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let pools = Pools::new(options);
        Self { pool: pools.ordinary.clone(), longest: None, pools: Arc::new(pools) }
    }

    /// The same database over the connections that only stops take.
    #[must_use]
    pub fn for_stops(&self) -> Self {
        Self { pool: self.pools.stops.clone(), longest: None, ..self.clone() }
    }

    /// The same database over the connections of the recorder.
    #[must_use]
    pub fn for_recorder(&self) -> Self {
        Self { pool: self.pools.recorder.clone(), longest: None, ..self.clone() }
    }

    /// The same database over the connections that say who may do what: keys, grants, and the snapshot.
    #[must_use]
    pub fn for_authority(&self) -> Self {
        Self { pool: self.pools.authority.clone(), longest: None, ..self.clone() }
    }

    /// The same database over the connections of reads, whose statements end sooner.
    #[must_use]
    pub fn for_reads(&self) -> Self {
        Self { pool: self.pools.reads.clone(), longest: Some(self.pools.options.read_timeout), ..self.clone() }
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_with("BEGIN").await
    }

    /// Begins a read-only transaction that sees one state of the database throughout.
    pub async fn begin_snapshot(&self) -> Result<Tx, StoreError> {
        self.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Begins to the end, whoever stops waiting: sqlx knows of a transaction once its BEGIN is answered, and would give a
    /// connection on which it is not yet to the next user, whose statements nobody would then commit.
    async fn begin_with(&self, statement: &'static str) -> Result<Tx, StoreError> {
        let conn = self.pool.acquire().await?;
        let begun = tokio::spawn(Transaction::begin(conn, Some(self.beginning(statement))));
        Ok(Tx::new(begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))?))
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pools.close().await;
    }
}

/// What the database's clock shows.
pub async fn database_time(conn: &mut Connection) -> Result<OffsetDateTime, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(conn).await?)
}

/// Commits. After an error it is open whether the transaction stands, unless it is a conflict: then nothing of it does.
pub async fn commit(tx: Tx) -> Result<(), StoreError> {
    tx.into_connection().commit().await
}

async fn commit_transaction(transaction: Transaction<'static, Postgres>) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| match error {
        // The database had ended the session before, so that the word to commit never left.
        sqlx::Error::Io(ref why) if why.kind() == ErrorKind::BrokenPipe => StoreError::Conflict(error),
        error => error.into(),
    })
}
