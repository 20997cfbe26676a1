//! Verdicts, by table and for any figures.

use proptest::prelude::*;

use super::*;

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
    let readings: Vec<_> = gates().read(figures).iter().map(|reading| reading.verdict).collect();
    readings.try_into().unwrap()
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
fn a_gate_that_is_not_set_says_nothing() {
    let readings = Gates::default().read(&GOOD);
    assert!(readings.iter().all(|reading| reading.gate != Gate::IssuanceFailure));
    assert_eq!(readings.len(), 3);
}

#[test]
fn a_reading_says_what_was_seen_what_is_allowed_and_what_is_needed() {
    let said = |figures: &Figures| gates().read(figures).iter().map(ToString::to_string).collect::<Vec<_>>();
    let bad = Figures { missing_sponsor: 250, latency_p95_us: Some(512_345), ..GOOD };
    assert_eq!(said(&bad)[0], "MISSING_SPONSOR is FAIL: 2.50 % seen over 10000 decisions, 0.10 % allowed");
    assert_eq!(said(&bad)[2], "LATENCY_P95 is FAIL: 512.3 ms seen over 10000 decisions, 300.0 ms allowed");
    assert_eq!(
        said(&Figures::default())[1],
        "POLICY_ERROR is INCONCLUSIVE: nothing seen over 0 evaluations of the candidate, 1.00 % allowed, \
         100 evaluations of the candidate needed"
    );
}

#[test]
fn thresholds_stored_before_there_was_the_issuance_gate_are_read() {
    let stored = r#"{"missing_sponsor_bp":10,"policy_error_bp":100,"latency_p95_ms":300,"window_seconds":300,
        "min_decisions":100,"on_breach":"ROLLBACK"}"#;
    assert_eq!(serde_json::from_str::<Gates>(stored).unwrap(), Gates::default());
}

#[test]
fn every_name_is_read_back() {
    for gate in Gate::ALL {
        assert_eq!(gate.as_str().parse(), Ok(gate));
        assert_eq!(gate.breach(), format!("GATE_{gate}"));
    }
    for verdict in Verdict::ALL {
        assert_eq!(verdict.as_str().parse(), Ok(verdict));
    }
}

proptest! {
    #[test]
    fn a_rate_fails_exactly_where_it_is_above_its_threshold(part: u32, more: u32, limit in 0_u32..=10_000) {
        let of = u64::from(part) + u64::from(more);
        let gates = Gates { missing_sponsor_bp: limit, min_decisions: 1, ..Gates::default() };
        let reading = gates.read(&Figures { decisions: of, missing_sponsor: part.into(), ..GOOD })[0];
        let above = u128::from(part) * 10_000 > u128::from(limit) * u128::from(of);
        let wanted = if of == 0 { Verdict::Inconclusive } else if above { Verdict::Fail } else { Verdict::Pass };
        prop_assert_eq!(reading.verdict, wanted);
        prop_assert!(reading.observed.is_none_or(|share| share <= 10_000));
    }

    #[test]
    fn more_samples_never_make_a_verdict_inconclusive(samples in 0_u64..1_000, more in 0_u64..1_000) {
        let verdict = |decisions| Gates::default().read(&Figures { decisions, ..GOOD })[0].verdict;
        if verdict(samples) != Verdict::Inconclusive {
            prop_assert_ne!(verdict(samples + more), Verdict::Inconclusive);
        }
    }
}
