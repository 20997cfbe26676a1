//! The database, by the kinds of work that it is used for (stops, recorder, authorization, reads), each with its
//! connections; and how a transaction begins.

use std::{sync::Arc, time::Duration};

use sqlx::Transaction;

use crate::{
    connection::Tx,
    error::StoreError,
    options::Options,
    pools::{Pool, PoolUsage, Pools},
};

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pools: Arc<Pools>,
    /// The pool from which this handle takes its connections.
    pub(crate) pool: Pool,
    /// Statement timeout of this handle, if it differs from the session's.
    pub(crate) longest: Option<Duration>,
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
    #[tracing::instrument(name = "store.store.begin", target = "countersign_trace", level = "debug", skip_all)]
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_with("BEGIN").await
    }

    /// Begins a read-only transaction that sees one state of the database throughout.
    #[tracing::instrument(name = "store.store.begin_snapshot", target = "countersign_trace", level = "debug", skip_all)]
    pub async fn begin_snapshot(&self) -> Result<Tx, StoreError> {
        self.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Runs to the end even if the caller stops waiting. sqlx knows of a transaction only once its BEGIN is answered;
    /// before that it would give the connection to the next user, whose statements would never be committed.
    pub(crate) async fn begin_with(&self, statement: &'static str) -> Result<Tx, StoreError> {
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
    #[tracing::instrument(name = "store.store.close", target = "countersign_trace", level = "debug", skip_all)]
    pub async fn close(&self) {
        self.pools.close().await;
    }
}
