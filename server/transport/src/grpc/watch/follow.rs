//! The common part of all streams (the Watch methods): a stream wakes on a change or a heartbeat (`HEARTBEAT`), and
//! changes that are not read yet count as one. A stream of a feed sends nothing while the feed is not known to be
//! complete, and its first answer waits for that.

use std::{sync::Arc, time::Duration};

use countersign_app::Feed;
use futures::{Stream, stream};
use time::OffsetDateTime;
use tokio::{
    sync::watch::Receiver,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tonic::Status;

/// How often a stream sends a heartbeat.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// What wakes a stream: a change of what it reports, or the time for a heartbeat. Several changes that were not read
/// yet count as one, so a slow reader costs no memory.
pub(super) struct Wakes<T> {
    told: Receiver<T>,
    beat: Interval,
}

/// Why a stream woke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    Change,
    Beat,
}

impl<T: Clone> Wakes<T> {
    /// The current value is the first change.
    pub(super) fn new(mut told: Receiver<T>) -> Self {
        told.mark_changed();
        let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { told, beat }
    }

    /// Waits for the next change or heartbeat, whichever comes first. `None` if there will be no more changes.
    pub(super) async fn next(&mut self) -> Option<Wake> {
        tokio::select! {
            biased;
            changed = self.told.changed() => changed.ok().map(|()| Wake::Change),
            _ = self.beat.tick() => Some(Wake::Beat),
        }
    }

    /// The current value, which then no longer counts as a change.
    pub(super) fn newest(&mut self) -> T {
        self.told.borrow_and_update().clone()
    }
}

/// A message to a follower, and whether it only says that nothing is new.
pub(super) struct Told<R> {
    pub(super) reply: R,
    pub(super) heartbeat: bool,
}

/// The messages that `tell` makes from a feed: at first, on every change, and every second in which the feed is known
/// to be complete. While the database does not answer nothing is sent, so that no follower takes an old state for the
/// current one. The stream begins with what is known after `now`, and ends when the server does. `tell` gets the state
/// and the time until which it is complete.
pub(super) fn follow<T: Send + Sync + 'static, R: Send + 'static>(
    feed: Feed<T>,
    now: OffsetDateTime,
    tell: impl FnMut(&T, OffsetDateTime) -> Told<R> + Send + 'static,
) -> impl Stream<Item = Result<R, Status>> + Send + 'static {
    let Feed { known, complete_until } = feed;
    let follower = Follower { wakes: Wakes::new(known), complete_until, said: now, tell };
    stream::unfold((follower, true), |(mut follower, first)| async move {
        let reply = if first { follower.first().await? } else { follower.next().await? };
        Some((Ok(reply), (follower, false)))
    })
}

struct Follower<T, F> {
    wakes: Wakes<Arc<T>>,
    complete_until: Receiver<OffsetDateTime>,
    /// The time until which the last message was complete.
    said: OffsetDateTime,
    tell: F,
}

impl<T, R, F: FnMut(&T, OffsetDateTime) -> Told<R>> Follower<T, F> {
    /// A follower that comes from another server may know more than this one. So the first answer waits until this
    /// server's state is complete for a time after the call.
    async fn first(&mut self) -> Option<R> {
        let asked = self.said;
        self.complete_until.wait_for(|until| *until > asked).await.ok()?;
        let (told, until) = self.told();
        self.said = until;
        Some(told.reply)
    }

    async fn next(&mut self) -> Option<R> {
        loop {
            let woken = self.wakes.next().await?;
            let (told, until) = self.told();
            if !told.heartbeat || (woken == Wake::Beat && until != self.said) {
                self.said = until;
                return Some(told.reply);
            }
        }
    }

    fn told(&mut self) -> (Told<R>, OffsetDateTime) {
        // Read before the state; otherwise the time could be applied to an older state.
        let until = *self.complete_until.borrow();
        let known = self.wakes.newest();
        ((self.tell)(&known, until), until)
    }
}
