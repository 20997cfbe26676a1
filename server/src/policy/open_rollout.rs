//! The open rollout, if there is one, in a sentence: which version is enforced for which callers, and what happens to
//! the calls of the others.

use countersign_client::v1::Rollout;

use crate::remote::output::printable;
pub(super) use crate::remote::rollouts::open as read;

/// Which version is enforced for which callers while it is open, in a sentence.
pub(super) fn answers(rollout: &Rollout) -> String {
    format!(
        "Rollout {} is open: {} is enforced for {} % of callers; {}.",
        printable(&rollout.rollout_id),
        printable(&rollout.candidate),
        rollout.percent,
        others(rollout)
    )
}

/// What happens to the calls of callers outside the percentage.
pub(super) fn others(rollout: &Rollout) -> String {
    let rest = 100 - rollout.percent;
    match rollout.baseline.as_str() {
        "observe" => format!("the other {rest} % are allowed and recorded"),
        "deny" => format!("the other {rest} % are denied"),
        version => format!("{} is enforced for the other {rest} %", printable(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_answers() {
        for (baseline, said) in [
            ("observe", "the other 90 % are allowed and recorded"),
            ("deny", "the other 90 % are denied"),
            ("pv_1", "pv_1 is enforced for the other 90 %"),
        ] {
            let rollout = Rollout {
                rollout_id: "roll_1".to_owned(),
                candidate: "pv_2".to_owned(),
                baseline: baseline.to_owned(),
                percent: 10,
                ..Rollout::default()
            };
            let expected = format!("Rollout roll_1 is open: pv_2 is enforced for 10 % of callers; {said}.");
            assert_eq!(answers(&rollout), expected);
        }
    }
}
