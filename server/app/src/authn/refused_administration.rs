//! Counts refused administration: who tried to change something without the right to do so. Decides when it becomes an
//! event: for each caller, method and reason the first time within seconds, and after that at most once a minute, with
//! the number since then. Limits the callers and methods that are counted separately.
//!
//! The refusal itself does not wait: a worker writes the counts into the custody log.

use std::{
    collections::HashMap,
    mem,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::Caller;
use countersign_core::{
    ids::InstanceId,
    names::{OperatorId, SponsorId},
};

/// The shortest pause between two events about the same.
const PAUSE: Duration = Duration::from_mins(1);
/// Limit of the operators, and of the chains, that are counted separately.
const MOST_CALLERS: usize = 32;
/// Limit of the methods and reasons of one caller that are counted separately.
const MOST_CALLS: usize = 8;
/// Limit of the events in one transaction, which holds the log head.
const MOST_EVENTS: usize = 100;

/// A refusal of a method that changes something.
#[derive(Debug, Clone, Copy)]
pub struct RefusedAdministration<'a> {
    /// The caller.
    pub caller: &'a Caller,
    /// The caller's address.
    pub peer: Option<IpAddr>,
    /// The method, such as `OperatorService/CreateOperator`.
    pub method: &'static str,
    /// The reason of the refusal, a name of `ErrorReason`.
    pub reason: &'a str,
}

/// The caller whose refusals are counted together. Without an id: all callers above the limit. Runs are counted by
/// their chains, because a run can start others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Operator(Option<OperatorId>),
    Chain(Option<InstanceId>),
}

/// The method and the reason. Without a method: all that are above the limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Refused {
    pub(crate) method: Option<&'static str>,
    pub(crate) reason: Box<str>,
}

/// A run and its sponsor.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) agent_instance_id: InstanceId,
    pub(crate) sponsor_id: SponsorId,
}

/// The number since the last event.
#[derive(Debug, Clone, Default)]
struct Count {
    calls: u64,
    /// The run that called last.
    run: Option<Run>,
    /// When the last event was written.
    stated: Option<Instant>,
}

type Counts = HashMap<Who, HashMap<Refused, Count>>;

/// Refusals that are not recorded yet.
#[derive(Debug, Default)]
pub(crate) struct RefusedAdministrations(Mutex<Counts>);

impl Who {
    pub(crate) fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Operator(operator) => Self::Operator(Some(operator.operator_id.clone())),
            Caller::Instance(run) => Self::Chain(Some(run.root_instance_id())),
        }
    }

    /// The same, for the callers above the limit.
    const fn unnamed(&self) -> Self {
        match self {
            Self::Operator(_) => Self::Operator(None),
            Self::Chain(_) => Self::Chain(None),
        }
    }

    const fn is_like(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Operator(_), Self::Operator(_)) | (Self::Chain(_), Self::Chain(_)))
    }
}

impl RefusedAdministrations {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts refusals. Returns whether they are the first since the last event.
    pub(crate) fn add(&self, who: Who, refused: Refused, calls: u64, run: Option<Run>) -> bool {
        let mut counts = self.counts();
        let alike = counts.keys().filter(|known| known.is_like(&who)).count();
        let who = if alike < MOST_CALLERS || counts.contains_key(&who) { who } else { who.unnamed() };
        let of_caller = counts.entry(who).or_default();
        let told_apart = of_caller.len() < MOST_CALLS || of_caller.contains_key(&refused);
        let refused = if told_apart { refused } else { Refused { method: None, ..refused } };
        let count = of_caller.entry(refused).or_default();
        let first = count.calls == 0;
        count.calls += calls;
        count.run = run.or(count.run.take());
        first
    }

    /// Takes the refusals to record: `all` of them, or those without an event within [`PAUSE`].
    pub(crate) fn take(&self, all: bool) -> Vec<Stated> {
        let mut counts = self.counts();
        let mut due = Vec::new();
        for (who, of_caller) in &mut *counts {
            for (refused, count) in &mut *of_caller {
                let rests = count.stated.is_some_and(|at| at.elapsed() < PAUSE);
                if count.calls > 0 && (all || !rests) && due.len() < MOST_EVENTS {
                    let calls = mem::take(&mut count.calls);
                    count.stated = Some(Instant::now());
                    due.push(Stated { who: who.clone(), refused: refused.clone(), calls, run: count.run.take() });
                }
            }
            of_caller.retain(|_, count| count.calls > 0 || count.stated.is_some_and(|at| at.elapsed() < PAUSE));
        }
        counts.retain(|_, of_caller| !of_caller.is_empty());
        due
    }

    /// Takes back refusals that could not be recorded, so that they are due again.
    pub(crate) fn take_back(&self, stated: Vec<Stated>) {
        for Stated { who, refused, calls, run } in stated {
            self.add(who.clone(), refused.clone(), calls, run);
            if let Some(count) = self.counts().get_mut(&who).and_then(|of_caller| of_caller.get_mut(&refused)) {
                count.stated = None;
            }
        }
    }
}

/// One event to write.
#[derive(Debug, Clone)]
pub(crate) struct Stated {
    pub(crate) who: Who,
    pub(crate) refused: Refused,
    pub(crate) calls: u64,
    pub(crate) run: Option<Run>,
}

#[cfg(test)]
mod tests {
    use countersign_core::clock::{SystemEntropy, uuid_v7};

    use super::*;
    use crate::testing::NOW;

    fn operator(id: usize) -> Who {
        Who::Operator(Some(format!("operator-{id}").parse().unwrap()))
    }

    fn of(method: &'static str) -> Refused {
        Refused { method: Some(method), reason: "ROLE_REQUIRED".into() }
    }

    fn calls(stated: &[Stated]) -> u64 {
        stated.iter().map(|stated| stated.calls).sum()
    }

    #[test]
    fn the_first_refusal_is_stated_at_once_and_repetitions_once_a_minute() {
        let counted = RefusedAdministrations::default();
        assert!(counted.add(operator(1), of("A/B"), 1, None), "worth a line");
        assert!(!counted.add(operator(1), of("A/B"), 1, None));
        assert_eq!(calls(&counted.take(false)), 2);
        assert!(counted.add(operator(1), of("A/B"), 1, None));
        assert!(counted.take(false).is_empty(), "it rests");
        counted.add(operator(1), of("A/C"), 1, None);
        assert_eq!(counted.take(false).len(), 1, "another method does not");
        assert_eq!(calls(&counted.take(true)), 1, "all of it when the server stops");
    }

    #[test]
    fn what_is_counted_is_bounded_and_nothing_is_lost() {
        const METHODS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let counted = RefusedAdministrations::default();
        let chain = || Who::Chain(Some(InstanceId(uuid_v7(NOW, &SystemEntropy))));
        for id in 0..1_000 {
            counted.add(operator(id), of(METHODS[id % 10]), 1, None);
            counted.add(operator(0), of(METHODS[id % 10]), 1, None);
            counted.add(chain(), of("a"), 1, None);
        }
        assert!(counted.counts().len() <= 2 * (MOST_CALLERS + 1));
        assert!(counted.counts().values().all(|of_caller| of_caller.len() <= MOST_CALLS + 1));
        let mut stated = Vec::new();
        loop {
            let more = counted.take(true);
            if more.is_empty() {
                break;
            }
            assert!(more.len() <= MOST_EVENTS);
            stated.extend(more);
        }
        assert_eq!(calls(&stated), 3_000);
        let named = stated.iter().any(|stated| stated.who == operator(0));
        assert!(named, "who was there first is named, whatever others do");
    }

    #[test]
    fn what_could_not_be_stated_is_due_again() {
        let counted = RefusedAdministrations::default();
        counted.add(operator(1), of("A/B"), 3, None);
        let due = counted.take(false);
        counted.add(operator(1), of("A/B"), 1, None);
        counted.take_back(due);
        assert_eq!(calls(&counted.take(false)), 4);
        assert!(counted.take(true).is_empty());
    }
}
