//! Limits the reads of one caller that run at a time; a further one waits a moment and is then refused. Also limits all
//! callers' reads that may read much of the log (scans): their number at a time, and their rest if others wait. Reads
//! have separate connections; this prevents one caller from taking all of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};

use crate::Error;

/// How long a read waits for other reads of its caller before it is refused.
const PATIENCE: Duration = Duration::from_secs(1);
/// When to try again.
const RETRY: Duration = Duration::from_millis(500);
/// Limit of all callers' reads at a time that may have to read much of the log.
const SCANS: usize = 2;
/// After such a read, its turn rests for this many times its duration if others wait, and at most for this long. The
/// database may share its processors with other work, so endless scans then take only a fifth of one processor.
const REST: (u32, Duration) = (9, Duration::from_secs(3));

/// The running reads.
#[derive(Debug)]
pub(crate) struct Reads {
    at_a_time: usize,
    callers: Cache<String, Arc<Semaphore>>,
    scans: Arc<Semaphore>,
    /// The number of callers that wait for a turn to scan.
    waiting: Arc<AtomicUsize>,
}

/// A running read, until it is dropped.
#[derive(Debug)]
pub struct ReadTurn {
    _turn: OwnedSemaphorePermit,
}

/// A running read that may have to read much of the log.
#[derive(Debug)]
pub(crate) struct ScanTurn {
    turn: Option<OwnedSemaphorePermit>,
    begun: Instant,
    waiting: Arc<AtomicUsize>,
}

impl Drop for ScanTurn {
    /// If others wait, the turn rests before it is passed on.
    fn drop(&mut self) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let rest = (self.begun.elapsed() * REST.0).min(REST.1);
        if let (Some(turn), Ok(runtime)) = (self.turn.take(), Handle::try_current()) {
            runtime.spawn(async move {
                sleep(rest).await;
                drop(turn);
            });
        }
    }
}

/// A waiting caller, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn one_more(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reads {
    pub(crate) fn new(at_a_time: usize) -> Self {
        Self {
            at_a_time,
            callers: Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_mins(1)).build(),
            scans: Arc::new(Semaphore::new(SCANS)),
            waiting: Arc::default(),
        }
    }

    pub(crate) async fn enter(&self, caller: &str) -> Result<ReadTurn, Error> {
        let turns = self.callers.get_with_by_ref(caller, || Arc::new(Semaphore::new(self.at_a_time)));
        if let Ok(Ok(turn)) = timeout(PATIENCE, turns.acquire_owned()).await {
            return Ok(ReadTurn { _turn: turn });
        }
        metrics::counter!("countersign_rate_limited_total", "limit" => "reads").increment(1);
        Err(Error::RateLimited { of: "reads", id: caller.to_owned(), retry_after: RETRY })
    }

    /// A turn for a read that may have to read much of the log.
    pub(crate) async fn scan(&self) -> Result<ScanTurn, Error> {
        let waits = Waits::one_more(&self.waiting);
        let turn = timeout(2 * PATIENCE, self.scans.clone().acquire_owned()).await;
        drop(waits);
        match turn {
            Ok(Ok(turn)) => Ok(ScanTurn { turn: Some(turn), begun: Instant::now(), waiting: self.waiting.clone() }),
            _ => Err(Error::Overloaded),
        }
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

    #[tokio::test(start_paused = true)]
    async fn the_turn_of_a_scan_rests_where_others_wait_for_it() {
        let reads = Arc::new(Reads::new(2));
        let asked = Instant::now();
        // One after the other, by a caller who is alone.
        for _ in 0..10 {
            drop(reads.scan().await.unwrap());
        }
        assert_eq!(asked.elapsed(), Duration::ZERO);
        let (first, second) = (reads.scan().await.unwrap(), reads.scan().await.unwrap());
        sleep(Duration::from_millis(100)).await;
        let waits = tokio::spawn({
            let reads = reads.clone();
            async move { reads.scan().await.map(|_| Instant::now()) }
        });
        tokio::task::yield_now().await;
        drop(first);
        let rested = waits.await.unwrap().unwrap() - asked;
        assert!((999..=1_002).contains(&rested.as_millis()), "{rested:?}");
        drop(second);
        assert!(reads.scan().await.is_ok());
    }
}
