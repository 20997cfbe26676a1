//! The server's clock, and whether it can be trusted. It is compared with the database's clock several times a second,
//! and on every reading with a monotonic counter. While it is in doubt (skew, jump), decisions and changes are refused
//! and only stops are taken; a smaller skew is a warning. The limits are in `core/skew.rs`.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use arc_swap::ArcSwap;
use countersign_core::{
    clock::Clock,
    skew::{BOUND, Clocks, Doubt, SAMPLES, Sample, WORRYING},
};
use countersign_store::{Connection, database_time};
use time::{Duration, OffsetDateTime};

use crate::Error;

/// A clock that does not jump: if the machine's clock does, it continues evenly.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    machine: Arc<dyn Clock>,
    began: OffsetDateTime,
    /// The machine's counter then.
    counted: Duration,
    clocks: ArcSwap<Clocks>,
    /// The state of the clocks that was last logged.
    said: Mutex<Level>,
}

impl Clock for Timekeeper {
    fn now(&self) -> OffsetDateTime {
        Self::now(self)
    }

    fn counter(&self) -> Duration {
        self.machine.counter()
    }
}

impl Timekeeper {
    pub(crate) fn new(machine: Arc<dyn Clock>) -> Self {
        let (began, counted) = (machine.now(), machine.counter());
        Self { machine, began, counted, clocks: ArcSwap::default(), said: Mutex::default() }
    }

    /// The time to use.
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.clocks.load().now(self.machine.now(), self.elapsed())
    }

    /// Whether a condition is true at a possible time. If the server started while the clocks differed, it is unknown
    /// which of the two is right, and what has expired by only one of them may still stop something.
    pub(crate) fn may_hold(&self, holds: impl Fn(OffsetDateTime) -> bool) -> bool {
        self.possible().into_iter().any(holds)
    }

    /// The earlier of the possible times: nothing is forgotten by a clock that may be wrong.
    pub(crate) fn earliest(&self) -> OffsetDateTime {
        let [believed, perhaps] = self.possible();
        believed.min(perhaps)
    }

    /// The possible times, of which one is right.
    pub(crate) fn possible(&self) -> [OffsetDateTime; 2] {
        self.clocks.load().possible(self.machine.now(), self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.machine.counter() - self.counted
    }

    /// A time that advances evenly while the server runs, whatever the clocks do, for comparing two moments and
    /// measuring the time between them.
    pub(crate) fn even_now(&self) -> OffsetDateTime {
        self.began.checked_add(self.elapsed()).unwrap_or(self.began)
    }

    /// Why no decision may be made by this clock. `None` if it may.
    pub(crate) fn doubt(&self) -> Option<Doubt> {
        self.clocks.load().doubt(self.machine.now(), self.elapsed())
    }

    /// Refuses while this server's clock is in doubt.
    pub(crate) fn trust(&self) -> Result<(), Error> {
        self.doubt().map_or(Ok(()), |doubt| Err(skewed(doubt)))
    }

    /// How far this server's clock is ahead of the database's.
    pub(crate) fn skew(&self) -> Duration {
        self.clocks.load().skew()
    }

    /// Adds a reading of the database's clock, for a query that began at `asked`, and queries again until there are
    /// enough readings for a judgement. `anew`: earlier readings are not used.
    pub(crate) async fn compare(
        &self,
        conn: &mut Connection,
        asked: Instant,
        database: OffsetDateTime,
        anew: bool,
    ) -> Result<(), Error> {
        let mut clocks = Clocks::clone(&self.clocks.load());
        if anew {
            clocks.compare_anew();
        }
        clocks.take(self.sample(asked, database));
        for _ in 0..SAMPLES {
            if clocks.compared() {
                break;
            }
            let asked = Instant::now();
            clocks.take(self.sample(asked, database_time(conn).await?));
        }
        self.clocks.store(Arc::new(clocks));
        Ok(())
    }

    fn sample(&self, asked: Instant, database: OffsetDateTime) -> Sample {
        Sample { wall: self.machine.now(), elapsed: self.elapsed(), round_trip: span(asked.elapsed()), database }
    }

    /// Whether time alone may now cause a permanent change.
    pub(crate) fn is_even(&self) -> bool {
        self.doubt().is_none() && self.clocks.load().even(self.elapsed())
    }
}

fn span(elapsed: std::time::Duration) -> Duration {
    Duration::try_from(elapsed).unwrap_or(Duration::MAX)
}

/// The database's clock at a moment between two readings of this server's clock, and whether they agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    /// How far this server's clock is ahead, at least.
    apart: Duration,
    /// The database's time if they agree, otherwise this server's.
    pub(crate) now: OffsetDateTime,
}

impl Compared {
    pub(crate) fn new(sent: OffsetDateTime, database: OffsetDateTime, received: OffsetDateTime) -> Self {
        let apart = if database < sent { sent - database } else { (received - database).min(Duration::ZERO) };
        Self { apart, now: if apart.abs() <= BOUND { database } else { received } }
    }

    /// Returns an error if they differ, because it is unknown which clock is right.
    pub(crate) fn agree(self) -> Result<OffsetDateTime, Error> {
        if self.apart.abs() <= BOUND {
            return Ok(self.now);
        }
        Err(skewed(Doubt::Apart { skew: self.apart, database_jumped: None }))
    }
}

fn skewed(doubt: Doubt) -> Error {
    let by = match doubt {
        Doubt::NotCompared => Duration::ZERO,
        Doubt::Jumped(by) | Doubt::Apart { skew: by, .. } => by,
    };
    Error::ClockSkew { doubt: doubt.to_string(), by }
}

impl Timekeeper {
    /// Updates the metric of the difference, and logs a change with its meaning.
    pub(crate) fn show(&self) {
        let (skew, doubt) = (self.skew(), self.doubt());
        metrics::gauge!("countersign_clock_skew_seconds").set(skew.as_seconds_f64());
        let level = match doubt {
            Some(_) => Level::Doubted,
            None if skew.abs() > WORRYING => Level::Worrying,
            None => Level::Good,
        };
        if mem::replace(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner), level) == level {
            return;
        }
        match (level, doubt) {
            (_, Some(doubt)) => tracing::error!(
                "{doubt}: nothing is decided, issued or changed by time here until the clocks agree; stops are taken"
            ),
            (Level::Worrying, _) => tracing::warn!("{}", worrying(skew)),
            _ => tracing::info!("this server's clock agrees with the database's"),
        }
    }

    /// A warning about clocks that are still trusted, if there is one.
    pub(crate) fn warning(&self) -> Option<String> {
        let skew = self.skew();
        (self.doubt().is_none() && skew.abs() > WORRYING).then(|| worrying(skew))
    }
}

fn worrying(skew: Duration) -> String {
    let side = if skew.is_negative() { "behind" } else { "ahead of" };
    format!(
        "this server's clock is {:.1} s {side} the database's: beyond {} s nothing is decided here any more. Look at the time \
         service (NTP) of both machines",
        skew.unsigned_abs().as_secs_f64(),
        BOUND.whole_seconds()
    )
}

/// The state of the clock that was last logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Level {
    #[default]
    Good,
    Worrying,
    Doubted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_agree_where_the_one_can_have_shown_the_other_s_time() {
        let at = |seconds: i64| OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds);
        for (sent, database, received, agree, now) in [
            (100, 100, 100, true, 100),
            (100, 104, 130, true, 104),
            (100, 95, 130, true, 95),
            (100, 94, 130, false, 130),
            (100, 135, 130, true, 135),
            (100, 136, 130, false, 130),
        ] {
            let compared = Compared::new(at(sent), at(database), at(received));
            assert_eq!((compared.agree().is_ok(), compared.now), (agree, at(now)), "{database}");
        }
    }
}
