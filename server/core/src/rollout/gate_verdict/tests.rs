//! Verdicts, by table and for any figures.

use proptest::prelude::*;

use super::*;
use crate::rollout::{Figures, Spans};

/// Good by every gate.
const GOOD: Figures = Figures {
    decisions: 10_000,
    missing_sponsor: 10,
    latency_p95_us: Some(300_000),
    candidate_evaluations: 10_000,
    candidate_errors: 100,
    issuances: 1_000,
    issuance_failures: 5,
    held_back: 0,
};

fn gates() -> Gates {
    Gates { issuance_failure_bp: Some(50), ..Gates::default() }
}

fn verdicts(figures: &Figures) -> [Verdict; 4] {
    looked_back(figures, figures)
}

/// Where the window holds `recent`, and the spans of verdicts `figures`.
fn looked_back(recent: &Figures, figures: &Figures) -> [Verdict; 4] {
    let spans = Spans { decisions: 7_200, candidate_evaluations: 7_200, issuances: 7_200 };
    let seen = Seen { recent: *recent, figures: *figures, spans };
    let readings: Vec<_> = gates().read(&seen).iter().map(|reading| reading.verdict).collect();
    readings.try_into().unwrap()
}

fn read(gates: &Gates, figures: Figures) -> Vec<Reading> {
    gates.read(&Seen::window(figures, gates.window_seconds))
}

#[test]
fn the_brief_thresholds_are_crossed_above_and_not_at_them() {
    use Verdict::{Fail, Pass};
    assert_eq!(verdicts(&GOOD), [Pass; 4]);
    for (figures, verdicts_of_it) in [
        (Figures { missing_sponsor: 11, ..GOOD }, [Fail, Pass, Pass, Pass]),
        (Figures { candidate_errors: 101, ..GOOD }, [Pass, Fail, Pass, Pass]),
        (Figures { latency_p95_us: Some(300_001), ..GOOD }, [Pass, Pass, Fail, Pass]),
        (Figures { issuance_failures: 6, ..GOOD }, [Pass, Pass, Pass, Fail]),
    ] {
        assert_eq!(verdicts(&figures), verdicts_of_it, "{figures:?}");
    }
}

#[test]
fn missing_and_too_few_figures_are_inconclusive_however_bad() {
    use Verdict::{Fail, Inconclusive, Pass};
    assert_eq!(verdicts(&Figures::default()), [Inconclusive; 4]);
    let few = Figures { decisions: 99, missing_sponsor: 99, candidate_evaluations: 99, issuances: 99, ..GOOD };
    assert_eq!(verdicts(&few), [Inconclusive; 4]);
    let some = Figures { decisions: 100, missing_sponsor: 1, latency_p95_us: None, candidate_evaluations: 0, ..GOOD };
    assert_eq!(verdicts(&some), [Fail, Inconclusive, Inconclusive, Pass]);
}

#[test]
fn a_fresh_fault_keeps_old_good_figures_from_passing() {
    use Verdict::{Fail, Inconclusive, Pass};
    let quiet = Figures::default();
    assert_eq!(looked_back(&quiet, &GOOD), [Pass; 4]);
    let fresh = Figures {
        decisions: 2,
        missing_sponsor: 1,
        latency_p95_us: Some(300_001),
        candidate_evaluations: 2,
        candidate_errors: 1,
        issuances: 1,
        issuance_failures: 1,
        held_back: 0,
    };
    assert_eq!(looked_back(&fresh, &GOOD), [Inconclusive; 4]);
    // What was seen of old makes nothing pass or less of a breach.
    let bad = Figures { missing_sponsor: 11, candidate_errors: 101, ..GOOD };
    assert_eq!(looked_back(&quiet, &bad), [Fail, Fail, Pass, Pass]);
    assert_eq!(looked_back(&fresh, &Figures { decisions: 99, ..bad })[0], Inconclusive);
}

#[test]
fn a_gate_that_is_not_set_says_nothing() {
    let readings = read(&Gates::default(), GOOD);
    assert!(readings.iter().all(|reading| reading.gate != Gate::IssuanceFailure));
    assert_eq!(readings.len(), 3);
}

#[test]
fn a_reading_says_what_is_seen_allowed_and_needed() {
    let said = |figures: &Figures| read(&gates(), *figures).iter().map(ToString::to_string).collect::<Vec<_>>();
    let bad = Figures { missing_sponsor: 250, latency_p95_us: Some(512_345), ..GOOD };
    assert_eq!(
        said(&bad)[0],
        "MISSING_SPONSOR is FAIL: 2.50 % seen over 10000 decisions in the last 5 minutes, 0.10 % allowed"
    );
    assert_eq!(
        said(&bad)[2],
        "LATENCY_P95 is FAIL: 512.3 ms seen over 10000 decisions in the last 5 minutes, 300.0 ms allowed"
    );
    assert_eq!(
        said(&Figures::default())[1],
        "POLICY_ERROR is INCONCLUSIVE: needs 100 more evaluations of the candidate: 0 in the last 5 minutes; 100 evaluations of \
         the candidate needed, nothing seen, 1.00 % allowed. These are counted since the rollout started, last grew or was resumed"
    );
}

proptest! {
    #[test]
    fn a_rate_fails_exactly_where_it_is_above_its_threshold(part: u32, more: u32, limit in 0_u32..=10_000) {
        let of = u64::from(part) + u64::from(more);
        let gates = Gates { missing_sponsor_bp: limit, min_decisions: 1, ..Gates::default() };
        let reading = read(&gates, Figures { decisions: of, missing_sponsor: part.into(), ..GOOD })[0];
        let above = u128::from(part) * 10_000 > u128::from(limit) * u128::from(of);
        let wanted = if of == 0 { Verdict::Inconclusive } else if above { Verdict::Fail } else { Verdict::Pass };
        prop_assert_eq!(reading.verdict, wanted);
        prop_assert!(reading.observed.is_none_or(|share| share <= 10_000));
    }

    #[test]
    fn more_samples_never_make_a_verdict_inconclusive(samples in 0_u64..1_000, more in 0_u64..1_000) {
        let verdict = |decisions| read(&Gates::default(), Figures { decisions, ..GOOD })[0].verdict;
        if verdict(samples) != Verdict::Inconclusive {
            prop_assert_ne!(verdict(samples + more), Verdict::Inconclusive);
        }
    }
}

proptest! {
    #[test]
    fn a_pass_needs_both_the_span_and_the_window(recent in 0_u64..50, wrong in 0_u64..50, old in 0_u64..500, bad in 0_u64..20) {
        let at = |decisions, missing_sponsor| Figures { decisions, missing_sponsor, ..GOOD };
        let (wrong, bad) = (wrong.min(recent), bad.min(old));
        let gates = Gates { missing_sponsor_bp: 100, ..Gates::default() };
        let (fresh, all) = (at(recent, wrong), at(recent + old, wrong + bad));
        let verdict = gates.read(&Seen { recent: fresh, figures: all, spans: Spans::default() })[0].verdict;
        let above = |figures: Figures| figures.missing_sponsor * 100 > figures.decisions;
        prop_assert_eq!(verdict == Verdict::Fail, all.decisions >= 100 && above(all));
        prop_assert_eq!(verdict == Verdict::Pass, all.decisions >= 100 && !above(all) && !above(fresh));
    }
}
