//! What is told of a reading.

use crate::rollout::{Figures, Gates, Seen, Spans};

/// Of a gate that is read over so many seconds of decisions.
fn said(decisions: u64, seconds: u32, more: Figures) -> String {
    let figures = Figures { decisions, ..more };
    let spans = Spans { decisions: seconds, candidate_evaluations: seconds, issuances: seconds };
    Gates::default().read(&Seen { recent: Figures::default(), figures, spans })[0].to_string()
}

#[test]
fn what_is_missing_is_told_with_its_span() {
    let none = Figures::default();
    let tail = "; 100 decisions needed, 0.00 % seen, 0.10 % allowed";
    let since = ". These are counted since the rollout started, last grew or was resumed";
    let start = "MISSING_SPONSOR is INCONCLUSIVE: needs";
    let day = said(37, 86_400, none);
    assert!(
        day.starts_with(&format!("{start} 63 more decisions: 37 in the last 24 hours{tail}. Waiting will not help"))
    );
    assert!(day.contains("force the step with a reason") && day.contains("lower gates.min_decisions"), "{day}");
    assert_eq!(
        said(99, 7_500, none),
        format!("{start} 1 more decision: 99 in the last 2 hours 5 minutes{tail}{since}")
    );
    assert_eq!(said(99, 3_600, none), format!("{start} 1 more decision: 99 in the last 1 hour{tail}{since}"));
    assert_eq!(said(2, 301, none), format!("{start} 98 more decisions: 2 in the last 5 minutes 1 second{tail}{since}"));
}

#[test]
fn a_verdict_is_told_with_its_span() {
    let bad = Figures { missing_sponsor: 1, ..Figures::default() };
    let said = said(100, 9_000, bad);
    assert_eq!(
        said,
        "MISSING_SPONSOR is FAIL: 1.00 % seen over 100 decisions in the last 2 hours 30 minutes, 0.10 % allowed"
    );
}

#[test]
fn a_fresh_fault_that_holds_a_gate_is_told() {
    let figures = Figures { candidate_evaluations: 200, candidate_errors: 1, ..Figures::default() };
    let recent = Figures { candidate_evaluations: 1, candidate_errors: 1, ..Figures::default() };
    let spans = Spans { decisions: 300, candidate_evaluations: 7_200, issuances: 300 };
    let reading = Gates::default().read(&Seen { recent, figures, spans })[1];
    assert_eq!(
        reading.to_string(),
        "POLICY_ERROR is INCONCLUSIVE: 0.50 % seen over 200 evaluations of the candidate in the last 2 hours, 1.00 % allowed; but \
         100.00 % seen over 1 evaluation of the candidate in the last 5 minutes, and it passes only once that is over"
    );
}

#[test]
fn waiting_is_in_vain_only_after_a_whole_day_with_too_few() {
    let reading = |decisions, seconds| {
        let spans = Spans { decisions: seconds, candidate_evaluations: seconds, issuances: seconds };
        let figures = Figures { decisions, ..Figures::default() };
        Gates::default().read(&Seen { recent: figures, figures, spans })[0]
    };
    assert!(reading(99, 86_400).waits_in_vain());
    assert!(!reading(99, 86_399).waits_in_vain());
    assert!(!reading(100, 86_400).waits_in_vain());
    assert_eq!((reading(37, 86_400).missing(), reading(1_000, 60).missing()), (63, 0));
}
