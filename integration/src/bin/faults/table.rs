//! The results as the table of docs/reliability.md.

use std::time::Duration;

use crate::{
    check::{Finding, Harm},
    fault::Kind,
};

/// What one fault did.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) kind: Kind,
    /// How many items had been acknowledged before it, since the last one.
    pub(crate) acknowledged: usize,
    /// How many attempts got no answer.
    pub(crate) unanswered: usize,
    /// How many ALLOWs such attempts had recorded.
    pub(crate) replayed: usize,
    /// Until every server answered again, from the moment of the fault.
    pub(crate) answers_after: Duration,
    /// The longest that a caller waited for an answer.
    pub(crate) longest_wait: Duration,
    pub(crate) findings: Vec<Finding>,
}

/// Prints the table. Returns whether nothing is wrong.
pub(crate) fn print(rounds: &[Round]) -> bool {
    println!(
        "| fault | times | acknowledged before | attempts without an answer | ALLOWs recorded by them | lost | doubled | out of order | unproven \
         | all servers answer again after: median, longest | longest wait of a caller: median, longest |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    );
    for kind in Kind::ALL {
        let of_kind: Vec<_> = rounds.iter().filter(|round| round.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let sum = |count: fn(&Round) -> usize| of_kind.iter().map(|round| count(round)).sum::<usize>();
        let harmed = |harm: Harm| {
            let findings = of_kind.iter().flat_map(|round| &round.findings);
            findings.filter(|finding| finding.harm == harm).count()
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            kind.words(),
            of_kind.len(),
            sum(|round| round.acknowledged),
            sum(|round| round.unanswered),
            sum(|round| round.replayed),
            harmed(Harm::Lost),
            harmed(Harm::Doubled),
            harmed(Harm::OutOfOrder),
            harmed(Harm::Unproven),
            spread(of_kind.iter().map(|round| round.answers_after)),
            spread(of_kind.iter().map(|round| round.longest_wait)),
        );
    }
    rounds.iter().all(|round| round.findings.is_empty())
}

/// Median and longest, in words.
fn spread(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(longest)) => format!("{:.2} s, {:.2} s", median.as_secs_f64(), longest.as_secs_f64()),
        _ => String::new(),
    }
}
