//! Writes batches, one after the other, each in one transaction under the log head's lock, or optimistically in one
//! statement if no other server moved the head. After a conflict it tries once more.

use std::sync::Arc;

use countersign_store::{Statements, commit, event, head::Head};
use tracing::Span;

use super::{
    batch::BatchBuilder,
    ceilings::Counts,
    indicators::Indicators,
    preload::Preloaded,
    submission::{Work, stage, wanted},
};
use crate::{
    Error,
    authority::{Authority, refresh::LockedHead},
    engine::context::Context,
};

/// After the head had moved under an optimistic batch, so many batches take the lock before the next try.
const LOCKED_AFTER_MISS: u32 = 8;

/// Writes batches, one after the other.
pub(super) struct Writer {
    authority: Arc<Authority>,
    indicators: Arc<Indicators>,
    /// The head as this writer left it; another server may have moved it since.
    head: Option<Head>,
    locked_batches: u32,
    counts: Counts,
    /// Kept for optimistic batches; dropped after an error.
    connection: Option<Statements>,
}

impl Writer {
    pub(super) fn new(authority: Arc<Authority>, indicators: Arc<Indicators>) -> Self {
        Self { authority, indicators, head: None, locked_batches: 0, counts: Counts::default(), connection: None }
    }

    /// Makes the first of `works` durable, as many as there is time for, and says how many. An error is that of all, and then
    /// nothing is recorded. `trace` is told how.
    pub(super) async fn write(&mut self, works: &mut [Box<dyn Work>], trace: &Span) -> Result<usize, Error> {
        match self.try_write(works, trace).await {
            // Nothing of it stands: it met a deadlock, or a migration.
            Err(Error::Conflict(_)) => self.try_write(works, trace).await,
            done => done,
        }
    }

    async fn try_write(&mut self, works: &mut [Box<dyn Work>], trace: &Span) -> Result<usize, Error> {
        if let Some(written) = self.write_optimistically(works, trace).await? {
            return Ok(written);
        }
        self.head = None;
        let LockedHead { mut tx, head: before, snapshot } = self.authority.lock_head().await?;
        let Context { config, clock, .. } = &*self.authority.engine;
        let (ceilings, now) = (config.ceilings, clock.now());
        let mut found = Preloaded::read(&mut tx, &wanted(works, snapshot.epoch), now).await?;
        found.live = self.counts.read(&mut tx, works, ceilings, &before, now).await?;
        let mut builder = BatchBuilder::new(&self.authority, &snapshot, before.clone(), found);
        let staged = stage(works, &mut builder);
        builder.flush(&mut tx, &before).await?;
        let (head, counted) = (builder.head, builder.staged.counted);
        commit(tx).await?;
        told(trace, "locked", &before, &head);
        self.indicators.decided(&counted);
        self.head = Some(head);
        Ok(staged)
    }

    /// Appends in a single statement that takes effect only where the head is still as this writer left it, so that a lone
    /// server pays no round trip for the lock. None: not this time; else how many of `works`.
    async fn write_optimistically(
        &mut self,
        works: &mut [Box<dyn Work>],
        trace: &Span,
    ) -> Result<Option<usize>, Error> {
        // Behind a pooler it would be a transaction too, and no quicker.
        if self.authority.engine.store.has_no_session() {
            return Ok(None);
        }
        if self.locked_batches > 0 {
            self.locked_batches -= 1;
            return Ok(None);
        }
        let snapshot = self.authority.snapshot();
        let Some(before) = self.head.take().filter(|head| head.authority_epoch == snapshot.epoch) else {
            return Ok(None);
        };
        if !wanted(works, snapshot.epoch).is_empty() {
            return Ok(None);
        }
        let mut builder = BatchBuilder::new(&self.authority, &snapshot, before.clone(), Preloaded::default());
        let staged = stage(works, &mut builder);
        if builder.staged.events.is_empty() {
            self.head = Some(before);
            return Ok(Some(staged));
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.authority.engine.store.for_recorder().writing().await?,
        };
        if !event::append(&mut connection, &before, &builder.head, &builder.staged.events).await? {
            self.connection = Some(connection);
            self.locked_batches = LOCKED_AFTER_MISS;
            return Ok(None);
        }
        self.connection = Some(connection);
        told(trace, "optimistic", &before, &builder.head);
        self.indicators.decided(&builder.staged.counted);
        self.head = Some(builder.head);
        Ok(Some(staged))
    }
}

/// Adds to the trace how a batch was written, and where in the log it is.
fn told(trace: &Span, mode: &str, before: &Head, after: &Head) {
    if trace.is_disabled() {
        return;
    }
    trace.record("countersign.batch.mode", mode);
    trace.record("countersign.authority_epoch", after.authority_epoch);
    if after.size() > before.size() {
        trace.record("countersign.log_index.first", before.size());
        trace.record("countersign.log_index.last", after.size() - 1);
    }
}
