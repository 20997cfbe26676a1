//! Rate limits: how fast operators and chains of instances may call this server, and how fast it grants credentials that a
//! sponsor answers for.
//!
//! The generic cell rate algorithm of `governor`: a burst at once, then a steady rate. Nobody is locked out: whoever is over
//! is refused for exactly as long as the rate asks, a refused call costs nothing, and every key has a cell of its own. Only
//! authenticated callers are counted, so nobody can use up the rate of somebody else by guessing keys.
//!
//! Cells are in this server's memory alone: with several servers, each allows the rate.

use std::{fmt::Display, hash::Hash, num::NonZeroU32, sync::Arc, time::Duration};

use countersign_core::{
    ids::InstanceId,
    names::{OperatorId, SponsorId},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use moka::sync::Cache;

use crate::{Caller, Error};

/// Most keys of a kind that are told apart. Beyond it the least used are forgotten, which gives them a fresh burst.
const MAX_KEYS: u64 = 100_000;
/// A key that was not used for so long, or until its burst is whole again where that takes longer, is forgotten.
const IDLE: Duration = Duration::from_mins(1);

/// A burst at once, then so many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many a second in the long run.
    pub per_second: NonZeroU32,
    /// So many at once, after a pause.
    pub burst: NonZeroU32,
}

/// What an installation allows; none: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Calls of one operator.
    pub operator: Option<Rate>,
    /// Calls of one root instance and all that descend from it.
    pub chain: Option<Rate>,
    /// Credentials asked for that one sponsor answers for, issued and delegated.
    pub sponsor: Option<Rate>,
}

/// The limits, and how far each key has used its own.
#[derive(Debug)]
pub(crate) struct Rates<C: Clock = MonotonicClock> {
    operators: Option<Limiter<OperatorId, C>>,
    chains: Option<Limiter<InstanceId, C>>,
    sponsors: Option<Limiter<SponsorId, C>>,
}

impl<C: Clock + Clone> Rates<C> {
    pub(crate) fn new(limits: RateLimits, clock: &C) -> Self {
        Self {
            operators: limits.operator.map(|rate| Limiter::new("operator", rate, clock)),
            chains: limits.chain.map(|rate| Limiter::new("chain", rate, clock)),
            sponsors: limits.sponsor.map(|rate| Limiter::new("sponsor", rate, clock)),
        }
    }

    /// Counts a call of an authenticated caller. The anonymous caller of dev mode is not limited.
    pub(crate) fn call(&self, caller: &Caller) -> Result<(), Error> {
        match caller {
            Caller::Operator(operator) if operator.anonymous => Ok(()),
            Caller::Operator(operator) => {
                self.operators.as_ref().map_or(Ok(()), |limit| limit.take(&operator.operator_id))
            }
            Caller::Instance(instance) => {
                self.chains.as_ref().map_or(Ok(()), |limit| limit.take(&instance.root_instance_id()))
            }
        }
    }

    /// Counts a credential that is asked for in this sponsor's name: by whom does not matter, and neither whether it fits.
    pub(crate) fn grant(&self, sponsor_id: &SponsorId) -> Result<(), Error> {
        self.sponsors.as_ref().map_or(Ok(()), |limit| limit.take(sponsor_id))
    }
}

/// Whose rate it may be.
trait Key: Hash + Eq + Clone + Display + Send + Sync + 'static {}

impl<K: Hash + Eq + Clone + Display + Send + Sync + 'static> Key for K {}

/// One limit over many keys.
#[derive(Debug)]
struct Limiter<K: Key, C: Clock> {
    /// Whose rate it is, for refusals and metrics.
    of: &'static str,
    cells: RateLimiter<K, Cells<K>, C, NoOpMiddleware<C::Instant>>,
    /// Lets one line a second into the log.
    log: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
}

impl<K: Key, C: Clock + Clone> Limiter<K, C> {
    fn new(of: &'static str, rate: Rate, clock: &C) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let idle = IDLE.max(quota.burst_size_replenished_in());
        Self {
            of,
            cells: RateLimiter::new(quota, Cells::new(idle, MAX_KEYS), clock.clone()),
            log: RateLimiter::direct_with_clock(Quota::per_second(NonZeroU32::MIN), clock.clone()),
        }
    }

    fn take(&self, key: &K) -> Result<(), Error> {
        let Err(not_until) = self.cells.check_key(key) else { return Ok(()) };
        let retry_after = not_until.wait_time_from(self.cells.clock().now());
        // Not by id: callers come and go, and every label value stays.
        metrics::counter!("countersign_rate_limited_total", "limit" => self.of).increment(1);
        if self.log.check().is_ok() {
            tracing::warn!(limit = self.of, id = %key, "over the rate limit; at most one such line a second");
        }
        Err(Error::RateLimited { of: self.of, id: key.to_string(), retry_after })
    }
}

/// A cell for each key, bounded in number; governor's own store grows until somebody prunes it.
#[derive(Debug)]
struct Cells<K: Key>(Cache<K, Arc<InMemoryState>>);

impl<K: Key> Cells<K> {
    fn new(idle: Duration, max_keys: u64) -> Self {
        Self(Cache::builder().max_capacity(max_keys).time_to_idle(idle).build())
    }
}

impl<K: Key> StateStore for Cells<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let cell = self.0.get(key).unwrap_or_else(|| self.0.get_with_by_ref(key, Arc::default));
        cell.measure_and_replace(&NotKeyed::NonKey, f)
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::operator::Roles;
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::{OperatorCaller, testing::credential};

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second: NonZeroU32::new(per_second).unwrap(), burst: NonZeroU32::new(burst).unwrap() }
    }

    fn rates(limits: RateLimits) -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        // Not at its beginning: a cell that reads 0 is one that was never used.
        let clock = FakeRelativeClock::default();
        let rates = Rates::new(limits, &clock);
        clock.advance(Duration::from_secs(1));
        (rates, clock)
    }

    fn operator(id: &str) -> Caller {
        Caller::Operator(OperatorCaller { operator_id: id.parse().unwrap(), roles: Roles::NONE, anonymous: false })
    }

    fn wait(refused: Result<(), Error>) -> Duration {
        match refused {
            Err(Error::RateLimited { retry_after, .. }) => retry_after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_and_the_stated_delay_is_the_true_one() {
        let (rates, clock) = rates(RateLimits { operator: Some(rate(10, 3)), ..RateLimits::default() });
        let rita = operator("rita");
        for _ in 0..3 {
            rates.call(&rita).unwrap();
        }
        assert_eq!(wait(rates.call(&rita)), Duration::from_millis(100));
        clock.advance(Duration::from_millis(60));
        assert_eq!(wait(rates.call(&rita)), Duration::from_millis(40), "a refused call costs nothing");
        clock.advance(Duration::from_millis(40));
        rates.call(&rita).unwrap();
        assert_eq!(wait(rates.call(&rita)), Duration::from_millis(100));
        clock.advance(Duration::from_mins(10));
        for _ in 0..3 {
            rates.call(&rita).unwrap();
        }
        wait(rates.call(&rita));
    }

    #[test]
    fn nobody_uses_up_the_rate_of_another() {
        let (rates, _) =
            rates(RateLimits { operator: Some(rate(1, 1)), chain: Some(rate(1, 1)), sponsor: Some(rate(1, 1)) });
        rates.call(&operator("rita")).unwrap();
        wait(rates.call(&operator("rita")));
        rates.call(&operator("oscar")).unwrap();
        let (one, other) = (credential(&[], &["billing"], false), credential(&[], &["billing"], false));
        rates.call(&Caller::Instance(one.clone())).unwrap();
        wait(rates.call(&Caller::Instance(one.clone())));
        rates.call(&Caller::Instance(other)).unwrap();
        let child = credential(&[one.agent_instance_id], &["billing"], false);
        wait(rates.call(&Caller::Instance(child)));
        rates.grant(&"alice".parse().unwrap()).unwrap();
        rates.grant(&"bob".parse().unwrap()).unwrap();
        wait(rates.grant(&"alice".parse().unwrap()));
    }

    #[test]
    fn without_a_limit_and_for_the_anonymous_caller_of_dev_mode_everything_passes() {
        let (rates, _) = rates(RateLimits { operator: Some(rate(1, 1)), ..RateLimits::default() });
        let anonymous = Caller::Operator(OperatorCaller {
            operator_id: "dev".parse().unwrap(),
            roles: Roles::all(),
            anonymous: true,
        });
        let run = Caller::Instance(credential(&[], &["billing"], false));
        for _ in 0..1_000 {
            rates.call(&anonymous).unwrap();
            rates.call(&run).unwrap();
            rates.grant(&"alice".parse().unwrap()).unwrap();
        }
    }

    #[test]
    fn made_up_keys_take_bounded_memory() {
        let quota = Quota::per_second(NonZeroU32::MIN);
        let limiter: RateLimiter<String, _, _, NoOpMiddleware<_>> =
            RateLimiter::new(quota, Cells::new(IDLE, 100), FakeRelativeClock::default());
        for n in 0..10_000 {
            limiter.check_key(&format!("s{n}")).unwrap();
        }
        let cells = limiter.into_state_store().0;
        // Moka tidies up a little later than it inserts.
        cells.run_pending_tasks();
        assert!((1..=100).contains(&cells.entry_count()), "{}", cells.entry_count());
    }

    #[test]
    fn callers_at_the_same_time_share_one_burst() {
        let (rates, _) = rates(RateLimits { operator: Some(rate(1, 100)), ..RateLimits::default() });
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..100).filter(|_| rates.call(&operator("rita")).is_ok()).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 100);
    }
}
