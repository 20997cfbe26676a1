//! A clock that stands still until a test moves it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::clock::Clock;
use time::{Duration, OffsetDateTime};

/// A machine's two clocks, of which neither moves by itself.
#[derive(Debug)]
pub struct ManualClock(Mutex<Readings>);

#[derive(Debug, Clone, Copy)]
struct Readings {
    wall: OffsetDateTime,
    counter: Duration,
}

impl ManualClock {
    /// A clock that shows this time. The time is cut to whole microseconds, as the database keeps it.
    #[must_use]
    pub fn at(wall: OffsetDateTime) -> Self {
        let wall = wall - Duration::nanoseconds((wall.nanosecond() % 1_000).into());
        Self(Mutex::new(Readings { wall, counter: Duration::ZERO }))
    }

    /// Time passes: both clocks move.
    pub fn passes(&self, by: Duration) {
        let mut readings = self.readings();
        readings.wall += by;
        readings.counter += by;
    }

    /// The wall clock alone is set, as an administrator or a time service sets it.
    pub fn jumps(&self, by: Duration) {
        self.readings().wall += by;
    }

    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        self.readings().wall
    }

    fn counter(&self) -> Duration {
        self.readings().counter
    }
}
