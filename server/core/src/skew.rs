//! Clock skew: how far this server's clock is from the database's, and whether either of them jumped. This file has the
//! limits of both, the number of samples, how long the clocks must run evenly after a jump, and the time to use while
//! in doubt.
//!
//! No clock is read here: instants are arguments, each with the reading of a counter that only goes forward
//! (*elapsed*).

use time::{Duration, OffsetDateTime};

/// Beyond this difference the clock should be corrected.
pub const WORRYING: Duration = Duration::seconds(2);
/// Beyond this difference no decision is made by the clock.
pub const BOUND: Duration = Duration::seconds(5);
/// A clock that moved this far against the counter has jumped: a clock that is adjusted gradually does not.
pub const JUMP: Duration = Duration::seconds(2);
/// After a jump, the clocks must run evenly for this long before time alone causes a permanent change.
pub const EVEN: Duration = Duration::MINUTE;
/// The number of samples for a judgement.
pub const SAMPLES: usize = 3;

/// One reading of the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// This server's clock when the answer came.
    pub wall: OffsetDateTime,
    /// The counter at the same moment.
    pub elapsed: Duration,
    /// How long the answer took, by the counter.
    pub round_trip: Duration,
    /// The database's clock at some moment in between.
    pub database: OffsetDateTime,
}

impl Sample {
    /// How far this server's clock is ahead of the database's, at least: reduced by half of the round trip.
    #[must_use]
    pub fn skew(&self) -> Duration {
        let half: Duration = self.round_trip / 2;
        let middle: Duration = self.wall - half - self.database;
        if middle.is_negative() { (middle + half).min(Duration::ZERO) } else { (middle - half).max(Duration::ZERO) }
    }
}

/// A clock and the counter at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    clock: OffsetDateTime,
    elapsed: Duration,
}

impl Mark {
    /// What the clock would show now if it had run evenly.
    fn at(self, elapsed: Duration) -> OffsetDateTime {
        self.clock.checked_add(elapsed - self.elapsed).unwrap_or(self.clock)
    }
}

/// Why no decision is made by this server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It was not compared yet: since the start, or since the database was away.
    NotCompared,
    /// It jumped by this much since the last comparison.
    Jumped(Duration),
    /// It differs from the database's clock. `database_jumped`: how far that clock moved since the two agreed, if it
    /// did, so that probably the database's clock is wrong.
    Apart {
        /// How far ahead.
        skew: Duration,
        /// How far the database's clock jumped, if it did.
        database_jumped: Option<Duration>,
    },
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotCompared => f.write_str("this server's clock has not yet been compared with the database's"),
            Self::Jumped(by) => {
                write!(
                    f,
                    "this server's clock jumped by {:+.1} s, and must be compared with the database's again",
                    by.as_seconds_f64()
                )
            }
            Self::Apart { skew, database_jumped } => {
                let side = if skew.is_negative() { "behind" } else { "ahead of" };
                write!(f, "this server's clock is {:.1} s {side} the database's", skew.unsigned_abs().as_secs_f64())?;
                match database_jumped {
                    Some(by) => write!(
                        f,
                        "; the database's clock jumped by {:+.1} s since they last agreed, so that one is probably \
                         wrong",
                        by.as_seconds_f64()
                    ),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The knowledge about the two clocks.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    /// The newest samples, oldest first; none from before a jump.
    recent: Vec<Duration>,
    /// This server's clock at the last comparison.
    compared: Option<Mark>,
    /// The database's clock at the last sample.
    database: Option<Mark>,
    /// This server's clock when the two last agreed; the database's if they never did.
    agreed: Option<Mark>,
    /// Whether they ever agreed.
    ever: bool,
    /// The round trip of the last sample.
    round_trip: Duration,
    /// When one of them last jumped, by the counter.
    jumped: Option<Duration>,
}

impl Clocks {
    /// Adds a sample.
    pub fn take(&mut self, sample: Sample) {
        let Sample { wall, elapsed, round_trip, database } = sample;
        let moved =
            |mark: Option<Mark>, clock: OffsetDateTime| mark.map_or(Duration::ZERO, |mark| clock - mark.at(elapsed));
        // The two samples were each taken at some moment of their round trip.
        let slack = JUMP + round_trip + self.round_trip;
        if moved(self.compared, wall).abs() > JUMP || moved(self.database, database).abs() > slack {
            self.recent.clear();
            self.jumped = Some(elapsed);
        }
        if self.recent.len() == SAMPLES {
            self.recent.remove(0);
        }
        self.recent.push(sample.skew());
        self.compared = Some(Mark { clock: wall, elapsed });
        self.database = Some(Mark { clock: database, elapsed });
        self.round_trip = round_trip;
        if sample.skew().abs() <= BOUND {
            self.agreed = self.compared;
            self.ever = true;
        } else if !self.ever {
            self.agreed = self.database;
        }
    }

    /// Starts the comparison again, because the database was away and another one may answer now.
    pub fn compare_anew(&mut self) {
        self.recent.clear();
    }

    /// Whether there were enough comparisons.
    #[must_use]
    pub fn compared(&self) -> bool {
        self.recent.len() == SAMPLES
    }

    /// How far this server's clock is ahead of the database's: the least of what the last samples prove.
    #[must_use]
    pub fn skew(&self) -> Duration {
        let one_side =
            self.recent.iter().all(|skew| skew.is_positive()) || self.recent.iter().all(|skew| skew.is_negative());
        let least = self.recent.iter().min_by_key(|skew| skew.abs()).copied();
        least.filter(|_| one_side).unwrap_or(Duration::ZERO)
    }

    /// Why no decision may be made by this server's clock, which shows `wall`. `None` if it may.
    #[must_use]
    pub fn doubt(&self, wall: OffsetDateTime, elapsed: Duration) -> Option<Doubt> {
        let compared = self.compared.filter(|_| self.compared());
        let Some(compared) = compared else { return Some(Doubt::NotCompared) };
        let jumped = wall - compared.at(elapsed);
        if jumped.abs() > JUMP {
            return Some(Doubt::Jumped(jumped));
        }
        let skew = self.skew();
        (skew.abs() > BOUND).then(|| Doubt::Apart { skew, database_jumped: self.database_jumped() })
    }

    /// How far the database's clock moved from where both agreed, if this server's clock did not.
    fn database_jumped(&self) -> Option<Duration> {
        let (agreed, database, compared) = (self.agreed.filter(|_| self.ever)?, self.database?, self.compared?);
        let own = compared.clock - agreed.at(compared.elapsed);
        let its = database.clock - agreed.at(database.elapsed);
        (own.abs() <= JUMP && its.abs() > BOUND).then_some(its)
    }

    /// The time to use if this server's clock shows `wall`: that time, and while the clock is in doubt, what it would
    /// show if it had run evenly since the two agreed. If they never agreed, the database's time, which all servers
    /// share.
    #[must_use]
    pub fn now(&self, wall: OffsetDateTime, elapsed: Duration) -> OffsetDateTime {
        let Some(even) = self.agreed.map(|agreed| agreed.at(elapsed)) else { return wall };
        if (wall - even).abs() <= JUMP { wall } else { even }
    }

    /// The times of which one is right: the one to use, and if the two never agreed, also this server's.
    #[must_use]
    pub fn possible(&self, wall: OffsetDateTime, elapsed: Duration) -> [OffsetDateTime; 2] {
        let now = self.now(wall, elapsed);
        [now, if self.ever { now } else { wall }]
    }

    /// Whether both have run evenly for long enough that time alone may cause a permanent change.
    #[must_use]
    pub fn even(&self, elapsed: Duration) -> bool {
        self.jumped.is_none_or(|at| elapsed - at >= EVEN)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

    /// Two clocks, and the error of each.
    #[derive(Default)]
    struct World {
        clocks: Clocks,
        elapsed: Duration,
        own: Duration,
        database: Duration,
    }

    impl World {
        fn wall(&self) -> OffsetDateTime {
            START + self.elapsed + self.own
        }

        fn passes(&mut self, milliseconds: i64) {
            self.elapsed += Duration::milliseconds(milliseconds);
        }

        /// The database answered in the middle of the round trip.
        fn looks(&mut self, round_trip: i64) {
            self.passes(round_trip);
            let round_trip = Duration::milliseconds(round_trip);
            let database = START + self.elapsed - round_trip / 2 + self.database;
            self.clocks.take(Sample { wall: self.wall(), elapsed: self.elapsed, round_trip, database });
        }

        fn judges(&mut self) -> Option<Doubt> {
            (0..SAMPLES).for_each(|_| self.looks(1));
            self.doubt()
        }

        fn doubt(&self) -> Option<Doubt> {
            self.clocks.doubt(self.wall(), self.elapsed)
        }

        fn now(&self) -> OffsetDateTime {
            self.clocks.now(self.wall(), self.elapsed)
        }
    }

    #[test]
    fn a_clock_is_judged_on_three_looks_less_half_the_round_trip() {
        let mut world = World { own: Duration::seconds(6), ..World::default() };
        for _ in 0..2 {
            world.looks(1);
            assert_eq!(world.doubt(), Some(Doubt::NotCompared));
        }
        world.looks(1);
        assert!(matches!(world.doubt(), Some(Doubt::Apart { database_jumped: None, .. })));
        assert_eq!(world.clocks.skew(), Duration::microseconds(5_999_500));
        // A difference of 3 s can be explained by the round trip.
        world.looks(6_000);
        assert_eq!((world.doubt(), world.clocks.skew()), (None, Duration::seconds(3)));
    }

    #[test]
    fn a_clock_is_believed_within_five_seconds_either_way() {
        for (seconds, believed) in [(0.0, true), (4.9, true), (-4.9, true), (5.1, false), (-5.1, false), (-7e6, false)]
        {
            let mut world = World { own: Duration::seconds_f64(seconds), ..World::default() };
            assert_eq!(world.judges().is_none(), believed, "{seconds}");
            let right = (world.now() - START - world.elapsed).abs() <= BOUND;
            assert!(right, "{seconds}: an operator's key is judged by the time that the database shows");
        }
    }

    #[test]
    fn a_jump_is_noticed_at_once_and_time_goes_on_as_before_it() {
        let mut world = World::default();
        assert_eq!(world.judges(), None);
        for by in [Duration::minutes(20), -Duration::minutes(20), Duration::days(91), Duration::seconds(-3)] {
            world.own = by;
            world.passes(100);
            assert_eq!(world.doubt(), Some(Doubt::Jumped(by)));
            assert_eq!(world.now(), START + world.elapsed);
            world.own = Duration::ZERO;
            assert_eq!(world.doubt(), None, "there and back");
        }
        world.own = Duration::minutes(20);
        assert!(
            matches!(world.judges(), Some(Doubt::Apart { skew, database_jumped: None }) if skew > Duration::minutes(19))
        );
        assert_eq!(world.now(), START + world.elapsed);
        assert!(!world.clocks.even(world.elapsed));
        world.own = Duration::ZERO;
        assert_eq!(world.judges(), None);
        assert!(!world.clocks.even(world.elapsed), "it has only just come back");
        world.passes(60_000);
        assert!(world.clocks.even(world.elapsed));
    }

    #[test]
    fn a_frozen_clock_is_one_that_falls_back() {
        let mut world = World::default();
        world.judges();
        for _ in 0..25 {
            world.passes(100);
            world.own -= Duration::milliseconds(100);
        }
        assert_eq!(world.doubt(), Some(Doubt::Jumped(Duration::milliseconds(-2_500))));
    }

    #[test]
    fn a_jump_of_the_databases_clock_is_said_and_ours_goes_on() {
        let mut world = World::default();
        world.judges();
        world.database = Duration::days(91);
        let Some(Doubt::Apart { skew, database_jumped: Some(by) }) = world.judges() else {
            panic!("{:?}", world.doubt())
        };
        assert!(skew < -Duration::days(90) && by > Duration::days(90));
        assert_eq!(world.now(), START + world.elapsed);
        world.database = Duration::ZERO;
        assert_eq!((world.judges(), world.clocks.even(world.elapsed)), (None, false));
    }

    #[test]
    fn until_the_two_agree_for_the_first_time_either_may_be_right() {
        let mut world = World { database: Duration::days(91), ..World::default() };
        world.judges();
        let possible = |world: &World| world.clocks.possible(world.wall(), world.elapsed);
        assert_eq!(possible(&world), [world.now(), world.wall()]);
        assert!(world.now() - world.wall() > Duration::days(90), "it is the database's that is believed");
        world.database = Duration::ZERO;
        world.judges();
        assert_eq!(possible(&world), [world.wall(); 2]);
        world.database = Duration::days(91);
        world.judges();
        assert_eq!(possible(&world), [world.wall(); 2], "it knew the time before");
    }

    #[test]
    fn clocks_that_jump_together_agree_and_rest_for_a_minute() {
        let mut world = World::default();
        world.judges();
        (world.own, world.database) = (Duration::days(91), Duration::days(91));
        assert_eq!((world.judges(), world.clocks.even(world.elapsed)), (None, false));
        assert_eq!(world.now(), world.wall(), "nobody can know better");
    }

    #[test]
    fn after_the_database_was_away_it_is_compared_anew() {
        let mut world = World::default();
        world.judges();
        world.clocks.compare_anew();
        assert_eq!((world.doubt(), world.now()), (Some(Doubt::NotCompared), world.wall()));
        assert_eq!(world.judges(), None);
    }

    proptest! {
        /// Whatever delay a sample has, a correct clock is never called wrong, and a clock is never called correct if
        /// its error is 5 s more than half of the round trip.
        #[test]
        fn no_delay_makes_a_clock_wrong(own in -20_000_i64..20_000, looks in prop::collection::vec((0_i64..30_000, 0.0..1.0), 3..9)) {
            let mut clocks = Clocks::default();
            let (mut elapsed, own) = (Duration::ZERO, Duration::milliseconds(own));
            let mut longest = Duration::ZERO;
            for (round_trip, share) in looks {
                let round_trip = Duration::milliseconds(round_trip);
                let database = START + elapsed + round_trip * share;
                elapsed += round_trip;
                longest = longest.max(round_trip);
                clocks.take(Sample { wall: START + elapsed + own, elapsed, round_trip, database });
            }
            prop_assert!(clocks.skew().abs() <= own.abs());
            prop_assert!(clocks.skew().abs() + longest >= own.abs());
        }
    }
}
