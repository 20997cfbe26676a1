//! Connection pools, one for each kind of work, so that no kind of work takes the connections that another needs.

use std::{fmt, future::ready};

use sqlx::{
    PgPool,
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
}

/// The pools of one database.
pub(crate) struct Pools {
    /// For all work without a pool for its kind.
    pub(crate) ordinary: PgPool,
    pub(crate) stops: PgPool,
    pub(crate) recorder: PgPool,
    pub(crate) authority: PgPool,
    pub(crate) reads: PgPool,
    /// For the one connection that listens for the stops of other servers.
    pub(crate) listener: PgPool,
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
            PgPoolOptions::new()
                .max_connections(most)
                .min_connections(least)
                .acquire_timeout(options.acquire_timeout)
                // A dead connection shows itself on use; a test before each use would cost a round trip.
                .test_before_acquire(false)
                .after_connect(move |conn, _| Box::pin(session::verify(conn, rules)))
                .before_acquire(|_, meta| Box::pin(ready(Ok(freshness::is_fresh(meta.age)))))
                .after_release(|_, meta| Box::pin(ready(Ok(freshness::is_fresh(meta.age)))))
                .connect_lazy_with(session::connect_options(options))
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
            pool.set_connect_options(session::connect_options(&there));
        }
        reads.set_connect_options(session::connect_options(&for_reads(&there)));
    }

    /// How many connections each pool has.
    pub(crate) fn usage(&self) -> [PoolUsage; 6] {
        let Self { ordinary, stops, recorder, authority, reads, listener, .. } = self;
        let pools = [
            ("ordinary", ordinary),
            ("stops", stops),
            ("recorder", recorder),
            ("authority", authority),
            ("reads", reads),
            ("listener", listener),
        ];
        pools.map(|(pool, connections)| {
            let idle = u32::try_from(connections.num_idle()).unwrap_or(u32::MAX);
            PoolUsage { pool, busy: connections.size().saturating_sub(idle), idle }
        })
    }

    pub(crate) async fn close(&self) {
        let Self { ordinary, stops, recorder, authority, reads, listener, .. } = self;
        for pool in [listener, reads, authority, recorder, stops, ordinary] {
            pool.close().await;
        }
    }
}

/// The same options for sessions whose statements time out sooner. Behind a pooler, each transaction sets that itself.
fn for_reads(options: &Options) -> Options {
    let statement_timeout = if options.transaction_pooler { options.statement_timeout } else { options.read_timeout };
    Options { statement_timeout, ..options.clone() }
}
