//! Calls that a client says it served from its cache (`cached_from`): the log states of which ALLOW, so there must be
//! one, of the same run for the same call. Any other is refused.

use countersign_core::{
    decision::{Effect, Enforcement},
    ids::DecisionId,
};
use countersign_ledger::leaf::{Kind, Leaf};

use super::batch::BatchBuilder;
use crate::{
    Error,
    decisions::evaluation::request::{DecisionRequest, Subject},
};

impl BatchBuilder<'_> {
    /// Refuses a report that names as its ground what cannot have been one. When the call was made, and for how long it
    /// might be served, only the client knows.
    pub(super) fn check_cached_from(&self, question: &DecisionRequest, ground: DecisionId) -> Result<(), Error> {
        let found = self.found.decisions.get(&ground);
        if found.is_some_and(|(leaf, _)| may_have_been_reused(leaf, question)) {
            return Ok(());
        }
        Err(Error::invalid(
            "cached_from",
            "must be a decision of this run that allowed the same tool, action and request_hash and could be reused; leave \
             it out to ask again",
        ))
    }
}

/// Whether the decision that `leaf` records is an ALLOW of the same run for the same call, and no kind that is never reused.
fn may_have_been_reused(leaf: &Leaf<'_>, question: &DecisionRequest) -> bool {
    let run = match &question.subject {
        Subject::Run(run) => {
            !run.single_use && leaf.agent_instance_id.as_deref() == Some(&run.agent_instance_id.to_string())
        }
        // The credential is dead, so this allows nothing. It is stated which call was reported.
        Subject::Unattributed(_) => true,
        // Who is no run has no cached answers to report.
        Subject::Entity(_) => false,
    };
    run && leaf.kind == Kind::Decision
        && leaf.effect == Some(Effect::Allow)
        && leaf.enforcement == Some(Enforcement::Enforced)
        && leaf.tool_id.as_deref() == Some(question.tool_id.as_str())
        && leaf.action.as_deref() == Some(question.action.as_str())
        && leaf.request_hash.map(|hash| hash.0) == question.request_hash
}
