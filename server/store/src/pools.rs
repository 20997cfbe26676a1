//! Connection pools, one for each kind of work (stops, recorder, authorization, reads, others), so that no kind of work
//! takes the connections that another needs; the number of connections of each.

use std::{
    fmt,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{
    PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    freshness,
    options::Options,
    session::{self, Rules},
};

/// Connections for stops: stops wait for the log head one after the other, so a few are enough.
const STOPS: u32 = 3;
/// Connections for the recorder: one for batches that need no lock, one for batches that do.
const RECORDER: u32 = 2;
/// Connections for API keys, grants and the snapshot, whose statements are short.
const AUTHORITY: u32 = 3;

/// The connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// Its name.
    pub pool: &'static str,
    /// Those in use.
    pub busy: u32,
    /// Those that wait for use.
    pub idle: u32,
    /// Callers that wait for one of them, or for one that is being opened.
    pub waiting: u32,
}

/// The connections for one kind of work.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    connections: PgPool,
    waiting: Arc<AtomicU32>,
}

/// A caller that waits: from when it asks until it has a connection, or stops waiting.
struct Waits<'a>(&'a AtomicU32);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// A connection, as soon as one is free or opened.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        self.connections.acquire().await
    }

    /// The pool itself.
    pub(crate) const fn connections(&self) -> &PgPool {
        &self.connections
    }

    fn usage(&self, pool: &'static str) -> PoolUsage {
        let idle = u32::try_from(self.connections.num_idle()).unwrap_or(u32::MAX);
        let busy = self.connections.size().saturating_sub(idle);
        PoolUsage { pool, busy, idle, waiting: self.waiting.load(Ordering::Relaxed) }
    }
}

/// The pools of one database.
pub(crate) struct Pools {
    /// For all work without a pool for its kind.
    pub(crate) ordinary: Pool,
    pub(crate) stops: Pool,
    pub(crate) recorder: Pool,
    pub(crate) authority: Pool,
    pub(crate) reads: Pool,
    /// For the one connection that listens for the stops of other servers.
    pub(crate) listener: Pool,
    pub(crate) options: Options,
}

impl fmt::Debug for Pools {
    /// Leaves out the options, which hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

impl Pools {
    pub(crate) fn new(options: &Options) -> Self {
        let reading = for_reads(options);
        let pool = |most: u32, least: u32, options: &Options| {
            let rules = Rules::of(options);
            let connections = PgPoolOptions::new()
                .max_connections(most)
                .min_connections(least)
                .acquire_timeout(options.acquire_timeout)
                // A dead connection shows itself on use; a test before each use would cost a round trip.
                .test_before_acquire(false)
                .after_connect(move |conn, _| Box::pin(session::verify(conn, rules)))
                .before_acquire(|_, meta| Box::pin(ready(Ok(freshness::is_fresh(meta.age)))))
                .after_release(|_, meta| Box::pin(ready(Ok(freshness::is_fresh(meta.age)))))
                .connect_lazy_with(session::connect_options(options));
            Pool { connections, waiting: Arc::default() }
        };
        Self {
            ordinary: pool(options.max_connections, 0, options),
            // One connection stays open, so that a stop succeeds even if the database accepts no more connections.
            stops: pool(STOPS, 1, options),
            recorder: pool(RECORDER, 0, options),
            authority: pool(AUTHORITY, 1, options),
            reads: pool(options.read_connections, 0, &reading),
            listener: pool(1, 0, options),
            options: options.clone(),
        }
    }

    /// Makes new connections on this host.
    pub(crate) fn go_to(&self, host: &PgConnectOptions) {
        let there = Options { connect: host.clone(), ..self.options.clone() };
        let Self { ordinary, stops, recorder, authority, reads, listener, .. } = self;
        for pool in [ordinary, stops, recorder, authority, listener] {
            pool.connections.set_connect_options(session::connect_options(&there));
        }
        reads.connections.set_connect_options(session::connect_options(&for_reads(&there)));
    }

    /// How many connections each pool has.
    pub(crate) fn usage(&self) -> [PoolUsage; 6] {
        let Self { ordinary, stops, recorder, authority, reads, listener, .. } = self;
        [
            ordinary.usage("ordinary"),
            stops.usage("stops"),
            recorder.usage("recorder"),
            authority.usage("authority"),
            reads.usage("reads"),
            listener.usage("listener"),
        ]
    }

    pub(crate) async fn close(&self) {
        let Self { ordinary, stops, recorder, authority, reads, listener, .. } = self;
        for pool in [listener, reads, authority, recorder, stops, ordinary] {
            pool.connections.close().await;
        }
    }
}

/// The same options for sessions whose statements time out sooner. Behind a pooler, each transaction sets that itself.
fn for_reads(options: &Options) -> Options {
    let statement_timeout = if options.transaction_pooler { options.statement_timeout } else { options.read_timeout };
    Options { statement_timeout, ..options.clone() }
}
