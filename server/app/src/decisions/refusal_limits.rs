//! Limits refusals per minute, per chain whose credential is not active and per caller. Above the limit a call is not
//! answered: nothing is decided or recorded, and the caller is told when to try again. Decides how many chains are
//! counted separately, and how many used-up credentials are remembered, and for how long.
//!
//! A credential that is not active but asks again and again would fill the log for all. Below the limit every refusal
//! is recorded. The number of calls without an answer is recorded once a minute.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_core::{
    ids::{CredentialId, InstanceId},
    names::SponsorId,
};
use governor::clock::MonotonicClock;
use moka::sync::Cache;

use super::evaluation::request::{DecisionRequest, Subject};
use crate::{Error, RefusalLimits, authn::rate_limit::Limiter};

/// Limit of the chains whose unanswered calls are counted separately between two events.
const MOST_CHAINS: usize = 32;
/// Limit of the used-up credentials that are remembered, for as long as any of them may be valid.
const MOST_SPENT: u64 = 100_000;

/// The number of a chain's calls that were not answered, and its sponsor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count {
    pub(crate) calls: u64,
    pub(crate) sponsor_id: Option<SponsorId>,
}

/// The calls that were not answered, by chain; without a chain, those whose chain is unknown or above the limit.
pub(crate) type Unanswered = HashMap<Option<InstanceId>, Count>;

/// The limits, and the calls that were not answered because of them.
#[derive(Debug)]
pub(crate) struct Refusals {
    chains: Option<Limiter<InstanceId, MonotonicClock>>,
    callers: Option<Limiter<String, MonotonicClock>>,
    pub(crate) spent: Cache<CredentialId, ()>,
    unanswered: Mutex<Unanswered>,
}

impl Refusals {
    pub(crate) fn new(limits: RefusalLimits) -> Self {
        let clock = &MonotonicClock;
        Self {
            chains: limits.chain.map(|most| Limiter::a_minute("refusals", most, clock)),
            callers: limits.caller.map(|most| Limiter::a_minute("refusals", most, clock)),
            spent: Cache::builder().max_capacity(MOST_SPENT).time_to_live(Duration::from_mins(20)).build(),
            unanswered: Mutex::default(),
        }
    }

    /// Takes the permits for this many refusals, or none.
    pub(crate) fn take(&self, chain: Option<InstanceId>, caller: &str, calls: u32) -> Result<(), Error> {
        let calls = NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN);
        if let (Some(limit), Some(chain)) = (&self.chains, &chain) {
            limit.take_many(chain, calls)?;
        }
        self.callers.as_ref().map_or(Ok(()), |limit| limit.take_many(&caller.to_owned(), calls))
    }

    pub(crate) fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call that was not answered.
    pub(crate) fn note(&self, question: &DecisionRequest) {
        let (chain, sponsor_id) = match &question.subject {
            Subject::Run(run) => (Some(run.root_instance_id()), Some(run.sponsor_id.clone())),
            Subject::Unattributed(_) | Subject::Entity(_) => (None, None),
        };
        self.add(chain, Count { calls: 1, sponsor_id });
    }

    pub(crate) fn add(&self, chain: Option<InstanceId>, more: Count) {
        let mut unanswered = self.unanswered();
        let known = unanswered.len() < MOST_CHAINS || unanswered.contains_key(&chain);
        let count = unanswered.entry(chain.filter(|_| known)).or_default();
        count.calls += more.calls;
        count.sponsor_id = more.sponsor_id.filter(|_| known);
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::clock::{SystemEntropy, uuid_v7};

    use super::*;
    use crate::testing::NOW;

    fn chain() -> InstanceId {
        InstanceId(uuid_v7(NOW, &SystemEntropy))
    }

    #[test]
    fn a_dead_chain_and_a_caller_are_answered_so_often_a_minute() {
        let (chain_limit, caller) = (NonZeroU32::new(3), NonZeroU32::new(8));
        let refusals = Refusals::new(RefusalLimits { chain: chain_limit, caller });
        let (one, other) = (Some(chain()), Some(chain()));
        let answered = |chain, caller| (0..10).filter(|_| refusals.take(chain, caller, 1).is_ok()).count();
        assert_eq!(answered(one, "gate"), 3);
        assert_eq!(answered(other, "gate"), 3);
        assert_eq!(answered(None, "gate"), 2, "the caller has had eight");
        assert_eq!(answered(None, "another"), 8);
        // Many at once are permitted if there is space for them, or for as many as the limit permits.
        refusals.take(Some(chain()), "third", 100).unwrap();
        refusals.take(Some(chain()), "third", 1).unwrap_err();
        let Err(Error::RateLimited { of: "refusals", retry_after, .. }) = refusals.take(one, "gate", 1) else {
            panic!()
        };
        assert!(retry_after <= Duration::from_secs(20) && retry_after > Duration::from_secs(15), "{retry_after:?}");
    }

    #[test]
    fn what_is_counted_is_bounded_and_nothing_is_lost() {
        let refusals = Refusals::new(RefusalLimits::default());
        for _ in 0..1_000 {
            refusals.add(Some(chain()), Count { calls: 2, sponsor_id: None });
        }
        let counted = refusals.unanswered();
        assert!(counted.len() <= MOST_CHAINS + 1, "{}", counted.len());
        assert_eq!(counted.values().map(|count| count.calls).sum::<u64>(), 2_000);
    }
}
