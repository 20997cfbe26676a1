//! Priority for stops (a kill switch, a revocation, a rollback): while one waits for the log head, the recorder and
//! other changes let it pass, on this server and, by a notice, on the others. Limits this wait, how soon the next one
//! may follow, the stops of one operator at a time, and the other changes that wait for the head.
//!
//! So this cannot be used to halt a server. If a notice is lost, or a server receives none, the stop only waits its
//! turn in the queue for the head.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_store::{Store, stop_notice};
use moka::sync::Cache;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// The longest wait for a stop, and the life of another server's notice.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How many times the length of a pause the recorder works before the next one.
const WORK_PER_PAUSE: u32 = 4;
/// Limit of other servers' stops that are waited for at a time; more are not told apart.
const MOST_NOTICES: usize = 64;
/// Limit of the stops of one operator at a time; further ones wait, and do not block other operators' stops.
const OF_ONE_OPERATOR: usize = 2;
/// Limit of other changes that may wait for the head: one, and the next one, so that it is ready when the first is
/// done.
const OTHERS: usize = 2;
/// How soon the listener tries again after it lost its connection.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The party that stops something: each operator has separate turns, runs share theirs, so that no run makes a person
/// wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopper<'a> {
    Operator(&'a str),
    Run,
}

/// The stops that wait for the log head.
#[derive(Debug)]
pub(crate) struct Stops {
    /// The start of this server's notices.
    server: String,
    numbered: AtomicUsize,
    /// The stops of this server.
    waiting: AtomicUsize,
    /// The stops of other servers, and until when each is waited for.
    noticed: Mutex<HashMap<String, Instant>>,
    changed: Notify,
    operators: Cache<String, Arc<Semaphore>>,
    runs: Arc<Semaphore>,
    others: Semaphore,
}

/// A stop that waits, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    stops: &'a Stops,
    /// Its name among servers.
    pub(crate) notice: String,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.stops.waiting.fetch_sub(1, Ordering::AcqRel);
        self.stops.changed.notify_waiters();
    }
}

impl Stops {
    pub(crate) fn new(server: String) -> Self {
        Self {
            server,
            numbered: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            noticed: Mutex::default(),
            changed: Notify::new(),
            operators: Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_mins(1)).build(),
            runs: Arc::new(Semaphore::new(1)),
            others: Semaphore::new(OTHERS),
        }
    }

    /// Takes the stopper's turn, and announces that a stop waits.
    pub(crate) async fn enter(&self, stopper: Stopper<'_>) -> Waiting<'_> {
        let turns = match stopper {
            Stopper::Operator(id) => self.operators.get_with_by_ref(id, || Arc::new(Semaphore::new(OF_ONE_OPERATOR))),
            Stopper::Run => self.runs.clone(),
        };
        // It is never closed.
        let turn = turns.acquire_owned().await.ok();
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let number = self.numbered.fetch_add(1, Ordering::Relaxed);
        Waiting { stops: self, notice: format!("{}/{number}", self.server), _turn: turn }
    }

    /// The turn of a change that stops nothing: it lets stops pass.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.others.acquire().await.ok();
        self.give_way().await;
        turn
    }

    /// Returns when no stop waits, or after [`LONGEST_PAUSE`].
    pub(crate) async fn give_way(&self) {
        let _over = timeout(LONGEST_PAUSE, self.none_waits()).await;
    }

    async fn none_waits(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let own = self.waiting.load(Ordering::Acquire) > 0;
            match self.noticed_until() {
                None if !own => return,
                Some(until) if !own => drop(tokio::time::timeout_at(until, changed).await),
                _ => changed.await,
            }
        }
    }

    /// Until when other servers' stops are waited for. `None` if there are none.
    fn noticed_until(&self) -> Option<Instant> {
        let mut noticed = self.noticed();
        if noticed.is_empty() {
            return None;
        }
        let now = Instant::now();
        noticed.retain(|_, until| *until > now);
        noticed.values().max().copied()
    }

    fn noticed(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.noticed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives another server's notice: `begin` or `end`, and the stop's name.
    fn hear(&self, notice: &str) {
        let Some((what, name)) = notice.split_once(' ') else { return };
        if name.strip_prefix(self.server.as_str()).is_some_and(|rest| rest.starts_with('/')) || name.len() > 100 {
            return;
        }
        let mut noticed = self.noticed();
        match what {
            "begin" if noticed.len() < MOST_NOTICES => {
                noticed.insert(name.to_owned(), Instant::now() + LONGEST_PAUSE);
            }
            "end" if noticed.remove(name).is_some() => self.changed.notify_waiters(),
            _ => {}
        }
    }
}

/// The pauses of a task that works without end.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// `None` if there was no pause yet.
    work_until: Option<Instant>,
}

impl Pauses {
    /// Lets stops pass, unless there was a pause a moment ago.
    pub(crate) async fn give_way(&mut self, stops: &Stops) {
        let begun = Instant::now();
        if self.work_until.is_some_and(|until| begun < until) {
            return;
        }
        stops.give_way().await;
        let now = Instant::now();
        self.work_until = Some(now + (now - begun) * WORK_PER_PAUSE);
    }
}

impl Stops {
    /// Tells other servers that a stop waits (`begin`) or no longer waits (`end`).
    pub(crate) async fn notify(store: &Store, what: &str, name: &str) {
        let told = async {
            let mut conn = store.for_stops().writing().await?;
            stop_notice::send(&mut conn, &format!("{what} {name}")).await?;
            conn.done().await
        };
        if !matches!(timeout(LONGEST_PAUSE, told).await, Ok(Ok(()))) {
            tracing::debug!("other servers could not be told of a stop: it takes its turn with them");
        }
    }

    /// Listens to other servers' notices until `stop`.
    pub(crate) async fn listen(&self, store: &Store, stop: CancellationToken) {
        if store.has_no_session() {
            tracing::warn!(
                "database_pooler: this server does not hear that another server's stop waits, so such a stop takes its turn with \
                 this server's writes"
            );
            return;
        }
        let listen = async {
            loop {
                if let Ok(mut listener) = stop_notice::Listener::start(store).await {
                    while let Ok(heard) = listener.next().await {
                        if let Some(notice) = heard {
                            self.hear(&notice);
                        }
                    }
                }
                tokio::time::sleep(LISTEN_AGAIN).await;
            }
        };
        stop.run_until_cancelled(listen).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops() -> Stops {
        Stops::new("here".to_owned())
    }

    async fn pause(stops: &Stops) -> Duration {
        let begun = Instant::now();
        stops.give_way().await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_where_no_stop_does_and_a_bounded_time_where_one_does() {
        let stops = stops();
        assert_eq!(pause(&stops).await, Duration::ZERO);
        let waiting = stops.enter(Stopper::Operator("rita")).await;
        assert!(pause(&stops).await.abs_diff(LONGEST_PAUSE) < Duration::from_millis(5));
        drop(waiting);
        assert_eq!(pause(&stops).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_with_the_last_stop() {
        let stops = Arc::new(stops());
        let waiting = stops.enter(Stopper::Operator("rita")).await;
        let paused = tokio::spawn({
            let stops = stops.clone();
            async move { pause(&stops).await }
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(waiting);
        assert!(paused.await.unwrap().abs_diff(Duration::from_millis(30)) < Duration::from_millis(5));
    }

    #[tokio::test(start_paused = true)]
    async fn other_servers_notices_hold_a_bounded_time_and_ones_own_not_at_all() {
        let stops = stops();
        stops.hear("begin here/1");
        assert_eq!(pause(&stops).await, Duration::ZERO);
        stops.hear("begin there/1");
        stops.hear("begin there/2");
        stops.hear("end there/1");
        assert!(pause(&stops).await.abs_diff(LONGEST_PAUSE) < Duration::from_millis(5));
        assert_eq!(pause(&stops).await, Duration::ZERO, "it has lapsed");
        stops.hear("begin there/3");
        stops.hear("end there/3");
        assert_eq!(pause(&stops).await, Duration::ZERO);
        (0..1_000).for_each(|n| stops.hear(&format!("begin there/{n}")));
        assert_eq!(stops.noticed().len(), MOST_NOTICES);
    }

    #[tokio::test(start_paused = true)]
    async fn notices_without_end_take_a_fifth_of_the_time() {
        let (stops, mut pauses, begun) = (stops(), Pauses::default(), Instant::now());
        let mut worked = Duration::ZERO;
        while begun.elapsed() < Duration::from_secs(10) {
            stops.hear("begin there/1");
            pauses.give_way(&stops).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            worked += Duration::from_millis(10);
        }
        assert!(worked >= Duration::from_millis(7_500), "{worked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn runs_share_one_turn_and_an_operator_does_not_wait_for_them() {
        let stops = stops();
        let soon = Duration::from_millis(1);
        let _run = stops.enter(Stopper::Run).await;
        assert!(timeout(soon, stops.enter(Stopper::Run)).await.is_err());
        let _one = stops.enter(Stopper::Operator("rita")).await;
        let _two = stops.enter(Stopper::Operator("rita")).await;
        assert!(timeout(soon, stops.enter(Stopper::Operator("rita"))).await.is_err());
        timeout(soon, stops.enter(Stopper::Operator("oscar"))).await.unwrap();
    }
}
