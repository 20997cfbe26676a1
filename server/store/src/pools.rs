//! Connections in pools, one for each kind of work: none of them takes what another one needs.

use std::{future::ready, time::Duration};

use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::{
    Options,
    session::{self, Rules},
};

/// Of stops: they wait for the log head one after the other, so that few are enough.
const STOPS: u32 = 3;
/// Of the recorder: one for batches that need no lock, one for those that do.
const RECORDER: u32 = 2;
/// Of API keys, grants and the snapshot, whose statements are short.
const AUTHORITY: u32 = 3;

/// The pools of one database.
#[derive(Debug)]
pub(crate) struct Pools {
    /// Of everything that has none of its own.
    pub(crate) ordinary: PgPool,
    pub(crate) stops: PgPool,
    pub(crate) recorder: PgPool,
    pub(crate) authority: PgPool,
    pub(crate) reads: PgPool,
    /// Of the one connection that listens for other servers' stops.
    pub(crate) listener: PgPool,
    pub(crate) transaction_pooler: bool,
    pub(crate) read_timeout: Duration,
}

impl Pools {
    pub(crate) fn new(options: &Options) -> Self {
        let mut reading = options.clone();
        if !options.transaction_pooler {
            reading.statement_timeout = options.read_timeout;
        }
        let pool = |most: u32, least: u32, options: &Options| {
            let rules = Rules::of(options);
            PgPoolOptions::new()
                .max_connections(most)
                .min_connections(least)
                .acquire_timeout(options.acquire_timeout)
                // A dead connection shows itself on use; asking first would cost a round trip on every use.
                .test_before_acquire(false)
                .after_connect(move |conn, _| Box::pin(session::verify(conn, rules)))
                .before_acquire(|_, meta| Box::pin(ready(Ok(session::is_fresh(meta.age)))))
                .after_release(|_, meta| Box::pin(ready(Ok(session::is_fresh(meta.age)))))
                .connect_lazy_with(session::connect_options(options))
        };
        Self {
            ordinary: pool(options.max_connections, 0, options),
            // One stays open, so that a database that takes no more connections still takes a stop.
            stops: pool(STOPS, 1, options),
            recorder: pool(RECORDER, 0, options),
            authority: pool(AUTHORITY, 1, options),
            reads: pool(options.read_connections, 0, &reading),
            listener: pool(1, 0, options),
            transaction_pooler: options.transaction_pooler,
            read_timeout: options.read_timeout,
        }
    }

    pub(crate) async fn close(&self) {
        let Self { ordinary, stops, recorder, authority, reads, listener, .. } = self;
        for pool in [listener, reads, authority, recorder, stops, ordinary] {
            pool.close().await;
        }
    }
}
