//! The activity of a connection, from which the server knows which connections may be closed if there are too many: how
//! long one must have been idle (`SPARED`), and how long it has to close properly (`GOODBYE`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_app::Caller;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long a connection of a known caller must have been idle before it may be closed for another.
pub(crate) const SPARED: Duration = Duration::from_secs(1);
/// How long such a connection has to close properly.
pub(crate) const GOODBYE: Duration = Duration::from_secs(1);

/// The owner of a connection: the highest kind of caller that got a permit on it. The lowest kind is closed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallerKind {
    Unknown,
    Agent,
    Operator,
}

impl CallerKind {
    pub(crate) const fn of(caller: Option<&Caller>) -> Self {
        match caller {
            None => Self::Unknown,
            Some(Caller::Instance(_)) => Self::Agent,
            Some(Caller::Operator(_)) => Self::Operator,
        }
    }
}

/// The activity of a connection, to the extent that it matters for closing it; in every request's extensions.
#[derive(Debug)]
pub(crate) struct ConnectionActivity {
    opened: Instant,
    /// A [`CallerKind`].
    standing: AtomicU8,
    /// Calls that have a permit.
    working: AtomicUsize,
    /// When it last began or ended a call, in milliseconds after `opened`.
    last: AtomicU64,
    /// Cancelled when another connection takes its place.
    replaced: CancellationToken,
}

impl ConnectionActivity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            standing: AtomicU8::new(CallerKind::Unknown as u8),
            working: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            replaced: CancellationToken::new(),
        })
    }

    /// Counts a call that has its permit, until the returned value is dropped.
    pub(crate) fn begin_call(self: &Arc<Self>, standing: CallerKind) -> ActiveCall {
        self.standing.fetch_max(standing as u8, Ordering::Relaxed);
        self.working.fetch_add(1, Ordering::Relaxed);
        ActiveCall(self.clone())
    }

    fn touch(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn is_a_strangers(&self) -> bool {
        self.standing.load(Ordering::Relaxed) == CallerKind::Unknown as u8
    }

    /// The kind of its caller, and since when it has been idle. `None` while it works, or while it may not be closed
    /// yet.
    pub(crate) fn idle(&self) -> Option<(u8, Instant)> {
        if self.working.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let since = self.opened + Duration::from_millis(self.last.load(Ordering::Relaxed));
        let spared = !self.is_a_strangers() && since.elapsed() < SPARED;
        (!spared).then_some((self.standing.load(Ordering::Relaxed), since))
    }

    /// Ends the connection, since another one takes its place.
    pub(crate) fn replace(&self) {
        self.replaced.cancel();
    }

    #[cfg(test)]
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.is_cancelled()
    }

    /// Returns when the connection should end because another one takes its place.
    pub(crate) async fn replaced(&self) {
        self.replaced.cancelled().await;
    }

    /// Returns when the connection must be cut off: once it is replaced, and a known caller has had the time to be
    /// told.
    pub(crate) async fn cut_off(&self) {
        self.replaced().await;
        if !self.is_a_strangers() {
            sleep(GOODBYE).await;
        }
    }
}

/// A call of a connection that has a permit.
#[derive(Debug)]
pub(crate) struct ActiveCall(Arc<ConnectionActivity>);

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.0.touch();
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}
