//! What was staged and is not written yet. Rows are written by their ids, so that writers who lock the same ones do it
//! in one order.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use countersign_core::{
    approval::{Approval, ApprovalState},
    ids::{ApprovalId, CredentialId, DecisionId, InstanceId},
    instance::Instance,
};
use countersign_store::{
    approval::Waiting,
    event::NewEvent,
    idempotency::{Answered, Key},
    tool_call::ToolCall,
};
use time::OffsetDateTime;

use super::indicators::Counted;
use crate::webhook::Notice;

/// What one submission adds, or all that a batch holds of submissions before it.
#[derive(Default)]
pub(super) struct Delta {
    /// In the order of the log.
    pub(super) events: Vec<Arc<NewEvent>>,
    /// Each with its newest credential.
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    pub(super) approvals: BTreeMap<ApprovalId, Approval>,
    /// How many more approvals wait.
    pub(super) waiting: Waiting,
    pub(super) notices: Vec<Notice>,
    pub(super) outcomes: BTreeMap<DecisionId, Vec<ToolCall>>,
    /// Single-use credentials that were used up, each with when it expires.
    pub(super) used: BTreeMap<CredentialId, OffsetDateTime>,
    pub(super) answers: HashMap<Key, Answered>,
    pub(super) counted: Vec<Counted>,
}

impl Delta {
    /// Adds what came later.
    pub(super) fn absorb(&mut self, later: Self) {
        let Self { events, instances, approvals, waiting, notices, outcomes, used, answers, counted } = later;
        self.events.extend(events);
        self.instances.extend(instances);
        self.approvals.extend(approvals);
        for (chain, more) in waiting.chains {
            *self.waiting.chains.entry(chain).or_default() += more;
        }
        for (sponsor, more) in waiting.sponsors {
            *self.waiting.sponsors.entry(sponsor).or_default() += more;
        }
        self.notices.extend(notices);
        for (decision, calls) in outcomes {
            self.outcomes.entry(decision).or_default().extend(calls);
        }
        self.used.extend(used);
        self.answers.extend(answers);
        self.counted.extend(counted);
    }

    /// Writes an approval. One that is PENDING is new, and waits.
    pub(super) fn put(&mut self, approval: Approval) {
        if approval.state == ApprovalState::Pending {
            *self.waiting.chains.entry(approval.root_instance_id).or_default() += 1;
            *self.waiting.sponsors.entry(approval.call.sponsor_id.clone()).or_default() += 1;
        }
        self.approvals.insert(approval.approval_id, approval);
    }
}
