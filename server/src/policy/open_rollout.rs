//! The open rollout, if there is one: while it is open, it says who answers, and no version is simply active.

use countersign_client::v1::Rollout;

use crate::remote::output::printable;
pub(super) use crate::remote::rollouts::open as read;

/// Who answers while it is open, in a sentence.
pub(super) fn answers(rollout: &Rollout) -> String {
    let (candidate, rest) = (printable(&rollout.candidate), 100 - rollout.percent);
    let baseline = match rollout.baseline.as_str() {
        "observe" => "the others' calls are let through and recorded".to_owned(),
        "deny" => "everything of the others is denied".to_owned(),
        version => format!("{} answers for the other {rest} %", printable(version)),
    };
    format!(
        "Rollout {} is open: {candidate} answers for {} % of callers, and {baseline}.",
        printable(&rollout.rollout_id),
        rollout.percent
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_answers() {
        for (baseline, said) in [
            ("observe", "the others' calls are let through and recorded"),
            ("deny", "everything of the others is denied"),
            ("pv_1", "pv_1 answers for the other 90 %"),
        ] {
            let rollout = Rollout {
                rollout_id: "roll_1".to_owned(),
                candidate: "pv_2".to_owned(),
                baseline: baseline.to_owned(),
                percent: 10,
                ..Rollout::default()
            };
            let expected = format!("Rollout roll_1 is open: pv_2 answers for 10 % of callers, and {said}.");
            assert_eq!(answers(&rollout), expected);
        }
    }
}
