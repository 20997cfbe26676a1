//! Reads at a time of one caller. Reads have connections of their own; this keeps one caller from taking all of them.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{App, Caller, Error};

/// How long a read waits for those of its caller before it is refused.
const PATIENCE: Duration = Duration::from_secs(1);
/// When to come back.
const RETRY: Duration = Duration::from_millis(500);
/// Reads at a time, of everybody, that may have to look through much of the log.
const SCANS: usize = 2;

/// The reads that are under way.
#[derive(Debug)]
pub(crate) struct Reads {
    at_a_time: usize,
    callers: Cache<String, Arc<Semaphore>>,
    scans: Arc<Semaphore>,
}

/// A read that is under way, until it is dropped.
#[derive(Debug)]
pub struct ReadTurn {
    _turn: OwnedSemaphorePermit,
}

impl Reads {
    pub(crate) fn new(at_a_time: usize) -> Self {
        Self {
            at_a_time,
            callers: Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_mins(1)).build(),
            scans: Arc::new(Semaphore::new(SCANS)),
        }
    }

    async fn enter(&self, caller: &str) -> Result<ReadTurn, Error> {
        let turns = self.callers.get_with_by_ref(caller, || Arc::new(Semaphore::new(self.at_a_time)));
        if let Ok(Ok(turn)) = timeout(PATIENCE, turns.acquire_owned()).await {
            return Ok(ReadTurn { _turn: turn });
        }
        metrics::counter!("countersign_rate_limited_total", "limit" => "reads").increment(1);
        Err(Error::RateLimited { of: "reads", id: caller.to_owned(), retry_after: RETRY })
    }

    /// A turn for a read that may have to look through much of the log.
    pub(crate) async fn scan(&self) -> Result<ReadTurn, Error> {
        match timeout(2 * PATIENCE, self.scans.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(ReadTurn { _turn: turn }),
            _ => Err(Error::Overloaded),
        }
    }
}

impl App {
    /// Waits a moment for the caller's turn to read; refuses where too many of their reads are under way.
    pub async fn enter_read(&self, caller: &Caller) -> Result<ReadTurn, Error> {
        let kind = if matches!(caller, Caller::Operator(_)) { "operator" } else { "run" };
        self.inner.reads.enter(&format!("{kind} {}", caller.id())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_reads_so_much_at_a_time_and_keeps_nobody_else_from_reading() {
        let reads = Reads::new(2);
        let one = reads.enter("rita").await.unwrap();
        let _two = reads.enter("rita").await.unwrap();
        let refused = reads.enter("rita").await.unwrap_err();
        assert!(matches!(refused, Error::RateLimited { of: "reads", retry_after, .. } if !retry_after.is_zero()));
        reads.enter("oscar").await.unwrap();
        drop(one);
        reads.enter("rita").await.unwrap();
    }
}
