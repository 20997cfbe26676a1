//! Streams that tell a change at once, and that they live in between.

mod revocations;
mod rollouts;

use std::time::Duration;

use tokio::{
    sync::watch::Receiver,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

pub(super) use self::{
    revocations::{Sight as RevocationSight, revocations},
    rollouts::rollouts,
};

/// How often a stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What wakes a stream: a change of what it tells, or the time to say that it lives. What changed while nobody read is
/// one change, so a slow reader costs no memory.
struct Wakes<T> {
    told: Receiver<T>,
    beat: Interval,
}

/// Why a stream woke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Change,
    Beat,
}

impl<T: Clone> Wakes<T> {
    /// The present value is the first change.
    fn new(mut told: Receiver<T>) -> Self {
        told.mark_changed();
        let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { told, beat }
    }

    /// Waits for the next change or heartbeat, whichever comes first. None: there will be no more changes.
    async fn next(&mut self) -> Option<Wake> {
        tokio::select! {
            biased;
            changed = self.told.changed() => changed.ok().map(|()| Wake::Change),
            _ = self.beat.tick() => Some(Wake::Beat),
        }
    }

    /// The present value, which is then no change any more.
    fn newest(&mut self) -> T {
        self.told.borrow_and_update().clone()
    }
}
