//! Every SQL statement of Countersign, one module per aggregate. Queries are checked against the schema at compile time
//! (`.sqlx`), row types are private to their module, and nothing here makes a decision.
//!
//! Writes take a [`Tx`]. Those that go into the custody log also take the locked [`head::Head`].

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
pub use pools::PoolUsage;
pub use session::Unfit;
pub use statements::Statements;

/// The schema, embedded.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// A session with the database that is in no pool: for commands, and for checks before a server starts.
pub type Session = PgConnection;

/// How to connect to the database, and with which limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address and the role.
    pub connect: PgConnectOptions,
    /// The hosts to try for this address, in order; each is as complete as `connect`.
    pub hosts: Vec<PgConnectOptions>,
    /// Largest number of connections for changes and workers. Reads, stops, the recorder and the authorization data
    /// have separate connections.
    pub max_connections: u32,
    /// Largest number of connections for reads.
    pub read_connections: u32,
    /// Longest wait for a free or a new connection.
    pub acquire_timeout: Duration,
    /// Statement timeout, by the database server's clock.
    pub statement_timeout: Duration,
    /// Statement timeout of reads.
    pub read_timeout: Duration,
    /// Whether the configuration says that the storage keeps acknowledged writes without fsync and full page writes.
    pub storage_replaces_fsync: bool,
    /// Whether a pooler in transaction mode is in front: it assigns a session of the database to a client for one
    /// transaction, and then to the next client.
    pub transaction_pooler: bool,
    /// Whether the tables are, or will be, in our own schema, as [`own_schema::home`] says. If false, they are in the
    /// first schema of the `search_path` of the role or the address.
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

/// Connects once, with the checks that every connection of a [`Store`] passes, and returns the error; a pool would only
/// report a timeout.
pub async fn connect(options: &Options) -> Result<Session, sqlx::Error> {
    let mut conn = session::connect_options(options).connect().await?;
    session::verify(&mut conn, Rules::of(options)).await?;
    Ok(conn)
}

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pools: Arc<Pools>,
    /// The pool from which this handle takes its connections.
    pool: PgPool,
    /// Statement timeout of this handle, if it differs from the session's.
    longest: Option<Duration>,
}

impl Store {
    /// A store on this database. It connects on first use, so the database may be down now and come up later.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let pools = Pools::new(options);
        Self { pool: pools.ordinary.clone(), longest: None, pools: Arc::new(pools) }
    }

    /// The same database over the connections that are reserved for stops.
    #[must_use]
    pub fn for_stops(&self) -> Self {
        Self { pool: self.pools.stops.clone(), longest: None, ..self.clone() }
    }

    /// The same database over the recorder's connections.
    #[must_use]
    pub fn for_recorder(&self) -> Self {
        Self { pool: self.pools.recorder.clone(), longest: None, ..self.clone() }
    }

    /// The same database over the connections for authorization data: keys, grants and the snapshot.
    #[must_use]
    pub fn for_authority(&self) -> Self {
        Self { pool: self.pools.authority.clone(), longest: None, ..self.clone() }
    }

    /// The same database over the connections for reads, whose statement timeout is shorter.
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

    /// Runs to the end even if the caller stops waiting. sqlx knows of a transaction only once its BEGIN is answered;
    /// before that it would give the connection to the next user, whose statements would never be committed.
    async fn begin_with(&self, statement: &'static str) -> Result<Tx, StoreError> {
        let conn = self.pool.acquire().await?;
        let begun = tokio::spawn(Transaction::begin(conn, Some(self.beginning(statement))));
        Ok(Tx::new(begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))?))
    }

    /// How many connections each pool has.
    #[must_use]
    pub fn usage(&self) -> [PoolUsage; 6] {
        self.pools.usage()
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pools.close().await;
    }
}

/// The time of the database's clock.
pub async fn database_time(conn: &mut Connection) -> Result<OffsetDateTime, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(conn).await?)
}

/// Commits. After an error other than a conflict it is unknown whether the transaction took effect; after a conflict it
/// did not.
pub async fn commit(tx: Tx) -> Result<(), StoreError> {
    tx.into_connection().commit().await
}

async fn commit_transaction(transaction: Transaction<'static, Postgres>) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| match error {
        // The database had ended the session before, so the COMMIT was never sent.
        sqlx::Error::Io(ref why) if why.kind() == ErrorKind::BrokenPipe => StoreError::Conflict(error),
        error => error.into(),
    })
}
