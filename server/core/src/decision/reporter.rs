//! Who reports the outcome of a tool call (the run, an operator, or the server at the deadline), and who may: if an
//! operator asked for the decision, only that operator.

use crate::{names::OperatorId, words};

words!(
    /// Who reports how a tool call ended.
    Reporter {
        /// The run itself.
        Run = "RUN",
        /// An operator, on behalf of the run.
        Operator = "OPERATOR",
        /// The server, at the deadline, because no one had reported.
        Server = "SERVER",
    }
);

/// The decision was asked for by another operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("was asked for by operator {asked_by}, and only that operator reports how the call ended")]
pub struct NotTheReporter {
    /// The operator who asked for it.
    asked_by: String,
}

/// Whether `operator` (none: the run) may report how a call ended that `asked_by` (none: the run) asked for. Who asked
/// for it made the call, or not; of a call that a run makes itself, what stands before the tool sees it too.
pub fn may_report(asked_by: Option<&str>, operator: Option<&OperatorId>) -> Result<(), NotTheReporter> {
    match (asked_by, operator) {
        (None, _) => Ok(()),
        (Some(asked_by), Some(operator)) if asked_by == operator.as_str() => Ok(()),
        (Some(asked_by), _) => Err(NotTheReporter { asked_by: asked_by.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_reports_and_of_what_a_run_asked_gates_too() {
        let gate: OperatorId = "gate".parse().unwrap();
        assert_eq!(may_report(None, None), Ok(()));
        assert_eq!(may_report(None, Some(&gate)), Ok(()));
        assert_eq!(may_report(Some("gate"), Some(&gate)), Ok(()));
        for wrong in [may_report(Some("other"), Some(&gate)), may_report(Some("gate"), None)] {
            assert!(wrong.unwrap_err().to_string().contains("only that operator reports"));
        }
    }
}
