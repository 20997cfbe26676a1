//! Indicators: what this server counts: decisions and their latency (a histogram, and its percentiles such as p95), calls without a sponsor by caller (limited in
//! number), policy errors, where the sides of a rollout disagreed, issuances, and requests that were shed. The sums of
//! all servers are in `rollouts/indicators.rs`.
//!
//! Counting costs a decision next to nothing: the recorder takes one lock for a whole batch. About once a second the
//! counts become a row of the database, under a number of this server's own, so that a row that is sent again after a
//! doubtful answer counts once. What a server that is killed had not stored is missing from the indicators, at most a
//! second or so; the custody log misses nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use countersign_core::{
    ids::RolloutId,
    names::OperatorId,
    rollout::{Comparison, MAX_RULES, RuleComparison},
};
use countersign_store::indicator::{Counts, RolloutSlot, Slot};
use hdrhistogram::Histogram;
use uuid::Uuid;

use crate::{
    Issuance,
    decisions::evaluation::compare::{Compared, DifferenceKind},
};

/// The longest time of a decision that is told apart, microseconds.
const LONGEST: u64 = 60_000_000;
/// Significant digits of a time: what is shown is at most 1 % off.
const DIGITS: u8 = 2;

/// Most callers that are counted apart between two rows.
const MAX_CALLERS: usize = 100;

/// A decision that is counted once it is recorded.
pub(crate) struct Counted {
    pub(crate) metrics: DecisionMetrics,
    /// When its request arrived.
    pub(crate) arrived: Instant,
}

/// What a recorded decision adds to the indicators.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecisionMetrics {
    /// Whether it has no sponsor.
    pub(crate) missing_sponsor: bool,
    /// The operator who sent it so; none: the caller is unknown.
    pub(crate) without_sponsor: Option<Arc<str>>,
    /// The operator who asked; none: the run itself, or an unknown caller.
    pub(crate) asked_by: Option<OperatorId>,
    /// Whether the answer is a policy error.
    pub(crate) policy_error: bool,
    /// Whether it was let through only because a baseline observes.
    pub(crate) observed: bool,
    pub(crate) compared: Option<Compared>,
}

/// What is counted until it is stored.
#[derive(Debug, Default)]
struct Accumulator {
    counts: Counts,
    latency: Latency,
    without_sponsor: HashMap<Arc<str>, u64>,
    rollouts: BTreeMap<RolloutId, RolloutAccumulator>,
}

/// Where the sides of a rollout disagreed.
#[derive(Debug, Clone, Copy, Default)]
struct Differences {
    new_allows: u64,
    new_denies: u64,
}

#[derive(Debug, Default)]
struct RolloutAccumulator {
    candidate_errors: u64,
    held_back: u64,
    compared: u64,
    enrolled: u64,
    new_allows: u64,
    new_denies: u64,
    rules: HashMap<Arc<str>, Differences>,
    other_rules: Differences,
}

/// How long decisions took.
#[derive(Debug)]
pub(crate) struct Latency(Histogram<u32>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("bounds that a histogram takes"))
    }
}

impl Latency {
    /// Of what was stored.
    pub(crate) fn of(stored: &BTreeMap<u64, u64>) -> Self {
        let mut latency = Self::default();
        for (micros, count) in stored {
            latency.0.saturating_record_n(*micros, u32::try_from(*count).unwrap_or(u32::MAX));
        }
        latency
    }

    /// The time that this share of decisions, 0 to 1, did not exceed, microseconds; none without decisions.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share))
    }

    fn stored(&self) -> BTreeMap<u64, u64> {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect()
    }
}

impl Accumulator {
    fn add(&mut self, of_decision: &DecisionMetrics, took: Duration) {
        self.counts.decisions += 1;
        self.counts.missing_sponsor += u64::from(of_decision.missing_sponsor);
        if of_decision.missing_sponsor {
            self.add_missing(of_decision.without_sponsor.as_ref());
        }
        // Whether there is a second one is all that is asked.
        if let Some(operator) = of_decision.asked_by.as_ref().filter(|_| self.without_sponsor.len() < 2) {
            self.without_sponsor.entry(operator.as_str().into()).or_default();
        }
        self.counts.policy_errors += u64::from(of_decision.policy_error);
        self.counts.observed += u64::from(of_decision.observed);
        self.latency.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST));
        if let Some(compared) = &of_decision.compared {
            self.rollouts.entry(compared.rollout_id).or_default().add(compared);
        }
    }

    fn add_missing(&mut self, caller: Option<&Arc<str>>) {
        let Some(caller) = caller else {
            self.counts.unauthenticated += 1;
            return;
        };
        let known = self.without_sponsor.len() < MAX_CALLERS || self.without_sponsor.contains_key(caller);
        let caller = if known { caller.clone() } else { Arc::from("") };
        *self.without_sponsor.entry(caller).or_default() += 1;
    }

    fn is_empty(&self) -> bool {
        self.counts == Counts::default()
    }
}

impl RolloutAccumulator {
    fn add(&mut self, compared: &Compared) {
        self.compared += 1;
        self.enrolled += u64::from(compared.enrolled);
        self.candidate_errors += u64::from(compared.candidate_failed);
        self.held_back += u64::from(compared.held_back);
        let Some(difference) = &compared.difference else { return };
        let (allows, denies) = match difference.kind {
            DifferenceKind::NewAllow => (1, 0),
            DifferenceKind::NewDeny => (0, 1),
        };
        self.new_allows += allows;
        self.new_denies += denies;
        if difference.rules.is_empty() {
            self.add_to_rule(&Arc::from(""), allows, denies);
        }
        for rule in &difference.rules {
            self.add_to_rule(rule, allows, denies);
        }
    }

    fn add_to_rule(&mut self, rule: &Arc<str>, allows: u64, denies: u64) {
        let sum = if self.rules.len() < MAX_RULES || self.rules.contains_key(rule) {
            self.rules.entry(rule.clone()).or_default()
        } else {
            &mut self.other_rules
        };
        sum.new_allows += allows;
        sum.new_denies += denies;
    }

    fn slot(self, rollout_id: RolloutId) -> RolloutSlot {
        let rule = |rule_id: &str, Differences { new_allows, new_denies }| RuleComparison {
            rule_id: rule_id.to_owned(),
            new_allows,
            new_denies,
        };
        // In one order on every server: two that add the same rules wait for each other, and not both.
        let mut rules: Vec<_> = self.rules.iter().map(|(id, sums)| rule(id, *sums)).collect();
        rules.sort_by(|a, b| a.rule_id.cmp(&b.rule_id));
        RolloutSlot {
            rollout_id,
            candidate_errors: self.candidate_errors,
            held_back: self.held_back,
            comparison: Comparison {
                compared: self.compared,
                enrolled: self.enrolled,
                enrolment: None,
                new_allows: self.new_allows,
                new_denies: self.new_denies,
                rules,
                other_rules: rule("", self.other_rules),
            },
        }
    }
}

/// What this server counts.
#[derive(Debug)]
pub(crate) struct Indicators {
    server_id: Uuid,
    gathered: Mutex<Accumulator>,
    /// What is being stored; none of it is lost where that fails.
    pub(crate) storing: tokio::sync::Mutex<Storing>,
}

/// A slot that is still to be stored.
#[derive(Debug)]
pub(crate) struct PendingSlot {
    slot: Slot,
    /// When it ended.
    end: Instant,
}

#[derive(Debug)]
pub(crate) struct Storing {
    /// Since when [`Indicators::gathered`] gathers.
    since: Instant,
    next: i64,
    pub(crate) pending: Option<PendingSlot>,
}

impl Indicators {
    pub(crate) fn new(server_id: Uuid) -> Self {
        let storing = Storing { since: Instant::now(), next: 0, pending: None };
        Self { server_id, gathered: Mutex::default(), storing: tokio::sync::Mutex::new(storing) }
    }

    fn gathered(&self) -> MutexGuard<'_, Accumulator> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts decisions that have just become durable.
    pub(crate) fn decided(&self, counted: &[Counted]) {
        if counted.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut gathered = self.gathered();
        for Counted { metrics, arrived } in counted {
            gathered.add(metrics, now.saturating_duration_since(*arrived));
        }
    }

    pub(crate) fn issued(&self, issuance: Issuance) {
        let mut gathered = self.gathered();
        gathered.counts.issuances += 1;
        gathered.counts.issuance_failures += u64::from(issuance == Issuance::Failed);
    }

    pub(crate) fn shed(&self) {
        self.gathered().counts.shed += 1;
    }
}

impl Storing {
    /// The slot to store next: the one that was not stored last time, or what was gathered since.
    pub(crate) fn slot(&mut self, indicators: &Indicators) -> Option<Slot> {
        if self.pending.is_none() {
            let now = Instant::now();
            let gathered = std::mem::take(&mut *indicators.gathered());
            let span = now.saturating_duration_since(self.since);
            self.since = now;
            if gathered.is_empty() {
                return None;
            }
            let slot = Slot {
                server_id: indicators.server_id,
                number: self.next,
                span,
                age: Duration::ZERO,
                counts: gathered.counts,
                latency: gathered.latency.stored(),
                without_sponsor: gathered.without_sponsor.iter().map(|(id, count)| (id.to_string(), *count)).collect(),
                rollouts: gathered.rollouts.into_iter().map(|(id, of)| of.slot(id)).collect(),
            };
            self.next += 1;
            self.pending = Some(PendingSlot { slot, end: now });
        }
        self.pending.as_ref().map(|PendingSlot { slot, end }| Slot { age: end.elapsed(), ..slot.clone() })
    }
}

#[cfg(test)]
mod tests;
