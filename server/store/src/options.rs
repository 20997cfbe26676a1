//! How the database is reached: hosts, the default number of connections, and the default timeouts (connect, statement,
//! read).

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

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
    /// Whether the tables are, or will be, in our own schema, as [`own_schema::home`](crate::own_schema::home) says. If false, they are in the
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
