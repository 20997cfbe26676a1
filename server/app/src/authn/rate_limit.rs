//! Rate limits: how fast operators and chains of instances may call this server (a batch counts as many calls), and how
//! fast credentials are granted per sponsor. Stops have a separate, fixed rate. The anonymous caller of dev mode is not
//! limited. Every server allows the full rate, because it counts in its own memory.
//!
//! This is the generic cell rate algorithm of `governor`: a burst at once, then a steady rate. No caller is locked out:
//! a caller above the rate is refused only for as long as the rate requires, a refused call costs nothing, and every
//! key has a separate cell. Only authenticated callers are counted, so no one can use up another caller's rate by
//! guessing keys.

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

/// Limit of the keys of a kind. Above it the least used are forgotten, which gives them a new burst.
const MAX_KEYS: u64 = 100_000;
/// A key is forgotten if it was not used for this long, or until its burst is complete again if that takes longer.
const IDLE: Duration = Duration::from_mins(1);

/// The limit for stops of one operator, or of one chain: more than any legitimate caller sends, but still a limit.
const STOPS: Option<Rate> = match (NonZeroU32::new(1_000), NonZeroU32::new(10_000)) {
    (Some(per_second), Some(burst)) => Some(Rate { per_second, burst }),
    _ => None,
};

/// A burst at once, then a steady rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The long-term rate per second.
    pub per_second: NonZeroU32,
    /// The number at once, after a pause.
    pub burst: NonZeroU32,
}

/// The limits of an installation. `None` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Calls of one operator.
    pub operator: Option<Rate>,
    /// Calls of one root instance and all its descendants.
    pub chain: Option<Rate>,
    /// Requests for credentials of one sponsor, issued and delegated.
    pub sponsor: Option<Rate>,
}

/// The limits, and how much of it each key has used.
#[derive(Debug)]
pub(crate) struct Rates<C: Clock = MonotonicClock> {
    operators: Option<Limiter<OperatorId, C>>,
    chains: Option<Limiter<InstanceId, C>>,
    sponsors: Option<Limiter<SponsorId, C>>,
    operators_stops: Option<Limiter<OperatorId, C>>,
    chains_stops: Option<Limiter<InstanceId, C>>,
}

impl<C: Clock + Clone> Rates<C> {
    pub(crate) fn new(limits: RateLimits, clock: &C) -> Self {
        Self {
            operators: limits.operator.map(|rate| Limiter::new("operator", rate, clock)),
            chains: limits.chain.map(|rate| Limiter::new("chain", rate, clock)),
            sponsors: limits.sponsor.map(|rate| Limiter::new("sponsor", rate, clock)),
            operators_stops: STOPS.map(|rate| Limiter::new("operator", rate, clock)),
            chains_stops: STOPS.map(|rate| Limiter::new("chain", rate, clock)),
        }
    }

    /// Counts a call of an authenticated caller. The anonymous caller of dev mode is not limited.
    pub(crate) fn call(&self, caller: &Caller) -> Result<(), Error> {
        take(caller, self.operators.as_ref(), self.chains.as_ref())
    }

    /// Counts additional calls: a call that asks for many decisions costs as much as many calls.
    pub(crate) fn more(&self, caller: &Caller, more: usize) -> Result<(), Error> {
        let Some(more) = u32::try_from(more).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        take_many(caller, self.operators.as_ref(), self.chains.as_ref(), more)
    }

    /// Counts a call that stops something. Its rate and the rate of other calls are separate.
    pub(crate) fn stop(&self, caller: &Caller) -> Result<(), Error> {
        take(caller, self.operators_stops.as_ref(), self.chains_stops.as_ref())
    }

    /// Counts a request for a credential of this sponsor, whoever the caller is, and whether it is granted or not.
    pub(crate) fn grant(&self, sponsor_id: &SponsorId) -> Result<(), Error> {
        self.sponsors.as_ref().map_or(Ok(()), |limit| limit.take(sponsor_id))
    }
}

fn take<C: Clock + Clone>(
    caller: &Caller,
    operators: Option<&Limiter<OperatorId, C>>,
    chains: Option<&Limiter<InstanceId, C>>,
) -> Result<(), Error> {
    take_many(caller, operators, chains, NonZeroU32::MIN)
}

fn take_many<C: Clock + Clone>(
    caller: &Caller,
    operators: Option<&Limiter<OperatorId, C>>,
    chains: Option<&Limiter<InstanceId, C>>,
    many: NonZeroU32,
) -> Result<(), Error> {
    match caller {
        Caller::Operator(operator) if operator.anonymous => Ok(()),
        Caller::Operator(operator) => operators.map_or(Ok(()), |limit| limit.take_many(&operator.operator_id, many)),
        Caller::Instance(run) => chains.map_or(Ok(()), |limit| limit.take_many(&run.root_instance_id(), many)),
    }
}

/// A type of key that a rate can belong to.
pub(crate) trait Key: Hash + Eq + Clone + Display + Send + Sync + 'static {}

impl<K: Hash + Eq + Clone + Display + Send + Sync + 'static> Key for K {}

/// One limit for many keys.
#[derive(Debug)]
pub(crate) struct Limiter<K: Key, C: Clock> {
    /// The name of the kind of key, for refusals and metrics.
    of: &'static str,
    burst: NonZeroU32,
    cells: RateLimiter<K, RateLimiters<K>, C, NoOpMiddleware<C::Instant>>,
    /// Limits the log to one line per second.
    log: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
}

impl<K: Key, C: Clock + Clone> Limiter<K, C> {
    fn new(of: &'static str, rate: Rate, clock: &C) -> Self {
        Self::of_quota(of, Quota::per_second(rate.per_second).allow_burst(rate.burst), clock)
    }

    /// A limit of `most` per minute, all of them at once after a pause.
    pub(crate) fn a_minute(of: &'static str, most: NonZeroU32, clock: &C) -> Self {
        Self::of_quota(of, Quota::per_minute(most), clock)
    }

    fn of_quota(of: &'static str, quota: Quota, clock: &C) -> Self {
        let idle = IDLE.max(quota.burst_size_replenished_in());
        Self {
            of,
            burst: quota.burst_size(),
            cells: RateLimiter::new(quota, RateLimiters::new(idle, MAX_KEYS), clock.clone()),
            log: RateLimiter::direct_with_clock(Quota::per_second(NonZeroU32::MIN), clock.clone()),
        }
    }

    pub(crate) fn take(&self, key: &K) -> Result<(), Error> {
        self.take_many(key, NonZeroU32::MIN)
    }

    /// Takes `many` at once, or none. More than the burst counts as the burst, because it would never be allowed.
    pub(crate) fn take_many(&self, key: &K, many: NonZeroU32) -> Result<(), Error> {
        let Ok(Err(not_until)) = self.cells.check_key_n(key, many.min(self.burst)) else { return Ok(()) };
        let retry_after = not_until.wait_time_from(self.cells.clock().now());
        // Without the id, because callers come and go, and every label value is kept.
        metrics::counter!("countersign_rate_limited_total", "limit" => self.of).increment(1);
        if self.log.check().is_ok() {
            tracing::warn!(limit = self.of, id = %key, "over the rate limit; at most one such line a second");
        }
        Err(Error::RateLimited { of: self.of, id: key.to_string(), retry_after })
    }
}

/// A cell for each key, limited in number; governor's store would grow until it is pruned.
#[derive(Debug)]
struct RateLimiters<K: Key>(Cache<K, Arc<InMemoryState>>);

impl<K: Key> RateLimiters<K> {
    fn new(idle: Duration, max_keys: u64) -> Self {
        Self(Cache::builder().max_capacity(max_keys).time_to_idle(idle).build())
    }
}

impl<K: Key> StateStore for RateLimiters<K> {
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
        // The clock does not start at 0, because a cell with the value 0 counts as never used.
        let clock = FakeRelativeClock::default();
        let rates = Rates::new(limits, &clock);
        clock.advance(Duration::from_secs(1));
        (rates, clock)
    }

    fn operator(id: &str) -> Caller {
        Caller::Operator(OperatorCaller {
            operator_id: id.parse().unwrap(),
            roles: Roles::NONE,
            anonymous: false,
            scope: None,
        })
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
    fn a_stop_passes_whoever_is_over_the_rate_of_other_calls() {
        let (rates, _) = rates(RateLimits { operator: Some(rate(1, 1)), chain: Some(rate(1, 1)), sponsor: None });
        for caller in [operator("rita"), Caller::Instance(credential(&[], &["billing"], false))] {
            rates.call(&caller).unwrap();
            wait(rates.call(&caller));
            for _ in 0..10_000 {
                rates.stop(&caller).unwrap();
            }
            wait(rates.stop(&caller));
        }
    }

    #[test]
    fn what_asks_for_many_decisions_costs_as_much_as_many_calls() {
        let (rates, clock) = rates(RateLimits { operator: Some(rate(10, 100)), ..RateLimits::default() });
        let rita = operator("rita");
        rates.more(&rita, 0).unwrap();
        rates.more(&rita, 60).unwrap();
        assert!(wait(rates.more(&rita, 60)) <= Duration::from_secs(2));
        for _ in 0..40 {
            rates.call(&rita).unwrap();
        }
        wait(rates.call(&rita));
        clock.advance(Duration::from_secs(10));
        rates.more(&rita, 1_000).unwrap();
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
            scope: None,
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
            RateLimiter::new(quota, RateLimiters::new(IDLE, 100), FakeRelativeClock::default());
        for n in 0..10_000 {
            limiter.check_key(&format!("s{n}")).unwrap();
        }
        let cells = limiter.into_state_store().0;
        // Moka evicts a little later than it inserts.
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
