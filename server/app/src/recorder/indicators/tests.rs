use countersign_core::clock::SystemEntropy;
use proptest::prelude::*;

use super::*;
use crate::{
    decisions::evaluation::compare::{Difference, DifferenceKind},
    testing::NOW,
};

fn id() -> RolloutId {
    RolloutId(countersign_core::clock::uuid_v7(NOW, &SystemEntropy))
}

fn indicators() -> Indicators {
    Indicators::new(id().0)
}

fn differs(rollout_id: RolloutId, rules: &[&str]) -> DecisionMetrics {
    let rules = rules.iter().map(|rule| Arc::from(*rule)).collect();
    let difference = Some(Difference { kind: DifferenceKind::NewDeny, rules });
    let compared = Compared { rollout_id, enrolled: true, candidate_failed: true, held_back: true, difference };
    DecisionMetrics { compared: Some(compared), ..DecisionMetrics::default() }
}

#[test]
fn a_batch_is_counted_whole() {
    let (indicators, rollout) = (indicators(), id());
    let arrived = Instant::now().checked_sub(Duration::from_millis(20)).unwrap();
    let nobody = DecisionMetrics { missing_sponsor: true, ..DecisionMetrics::default() };
    let erred = DecisionMetrics { policy_error: true, ..DecisionMetrics::default() };
    let watched = DecisionMetrics { observed: true, ..DecisionMetrics::default() };
    let counted = [nobody, erred, watched, differs(rollout, &["a", "b"]), differs(rollout, &[])];
    indicators.decided(&counted.map(|metrics| Counted { metrics, arrived }));
    indicators.issued(Issuance::Granted);
    indicators.issued(Issuance::Refused);
    indicators.issued(Issuance::Failed);
    indicators.shed();
    let slot = indicators.storing.try_lock().unwrap().slot(&indicators).unwrap();
    let counts = Counts {
        decisions: 5,
        missing_sponsor: 1,
        unauthenticated: 1,
        policy_errors: 1,
        observed: 1,
        shed: 1,
        issuances: 3,
        issuance_failures: 1,
    };
    assert_eq!(slot.counts, counts);
    assert_eq!(slot.latency.values().sum::<u64>(), 5);
    assert!(slot.latency.iter().all(|(micros, _)| *micros >= 20_000));
    let [of] = &slot.rollouts[..] else { panic!("{:?}", slot.rollouts) };
    assert_eq!((of.rollout_id, of.candidate_errors, of.held_back), (rollout, 2, 2));
    let rule = |rule_id: &str| RuleComparison { rule_id: rule_id.to_owned(), new_allows: 0, new_denies: 1 };
    let expected = Comparison {
        compared: 2,
        enrolled: 2,
        enrolment: None,
        new_allows: 0,
        new_denies: 2,
        rules: vec![rule(""), rule("a"), rule("b")],
        other_rules: RuleComparison::default(),
    };
    assert_eq!(of.comparison, expected);
}

#[test]
fn rules_beyond_a_hundred_are_counted_together() {
    let (indicators, rollout) = (indicators(), id());
    for nth in 0..150 {
        let metrics = differs(rollout, &[&format!("rule-{nth}"), "rule-0"]);
        indicators.decided(&[Counted { metrics, arrived: Instant::now() }]);
    }
    let slot = indicators.storing.try_lock().unwrap().slot(&indicators).unwrap();
    let comparison = &slot.rollouts[0].comparison;
    assert_eq!((comparison.rules.len(), comparison.other_rules.new_denies), (MAX_RULES, 50));
    assert_eq!(comparison.rules[0].new_denies, 151, "what has its place keeps it");
}

#[test]
fn a_slot_that_was_not_stored_is_sent_again_as_it_was_and_under_its_number() {
    let indicators = indicators();
    let mut storing = indicators.storing.try_lock().unwrap();
    assert!(storing.slot(&indicators).is_none(), "nothing to store");
    indicators.shed();
    let first = storing.slot(&indicators).unwrap();
    indicators.shed();
    let again = storing.slot(&indicators).unwrap();
    assert!(again.age > first.age);
    assert_eq!(Slot { age: first.age, ..again }, first);
    storing.pending = None;
    let next = storing.slot(&indicators).unwrap();
    assert_eq!((next.number, next.counts.shed), (first.number + 1, 1));
}

proptest! {
    #[test]
    fn a_percentile_is_at_most_a_hundredth_off(mut micros in prop::collection::vec(1_u64..LONGEST, 1..200)) {
        let mut stored = BTreeMap::new();
        for micros in &micros {
            *stored.entry(*micros).or_insert(0) += 1;
        }
        // Through the database and back.
        let latency = Latency::of(&Latency::of(&stored).stored());
        micros.sort_unstable();
        for share in [50, 95, 99] {
            let true_one = micros[(micros.len() * share).div_ceil(100) - 1];
            let shown = latency.quantile(f64::from(u32::try_from(share).unwrap()) / 100.0).unwrap();
            prop_assert!(shown >= true_one && shown - true_one <= true_one / 50 + 1, "{shown} for {true_one}");
        }
    }
}

#[test]
fn without_decisions_there_is_no_percentile() {
    assert_eq!(Latency::default().quantile(0.95), None);
    let beyond = Latency::of(&[(u64::MAX, 3)].into());
    assert!(beyond.quantile(0.5).unwrap() >= LONGEST);
}

#[test]
fn who_sent_a_call_without_a_sponsor_is_counted_apart_and_boundedly() {
    let indicators = indicators();
    let told = |by: &str| DecisionMetrics {
        missing_sponsor: true,
        without_sponsor: Some(by.into()),
        ..DecisionMetrics::default()
    };
    let counted: Vec<_> =
        (0..150).map(|n| Counted { metrics: told(&format!("gate-{}", n % 130)), arrived: Instant::now() }).collect();
    indicators.decided(&counted);
    let slot = indicators.storing.try_lock().unwrap().slot(&indicators).unwrap();
    assert_eq!((slot.counts.missing_sponsor, slot.counts.unauthenticated), (150, 0));
    assert_eq!(slot.without_sponsor.len(), 101);
    assert_eq!(slot.without_sponsor.values().sum::<u64>(), 150);
}
