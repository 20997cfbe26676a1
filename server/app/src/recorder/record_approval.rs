//! Approvals where decisions are recorded: asked for with the decision that needs one, unless too many of the run, the
//! chain or the sponsor wait; and used up by the call that it allows. Both are read and written under the log head's
//! lock, so one yes is good for one call, however many servers ask.

use std::sync::Arc;

use countersign_core::{
    approval::{Approval, ApprovalStanding, ApprovalState, Call, Private},
    clock::{random, uuid_v7},
    decision::{Effect, Reason},
    ids::{ApprovalId, EventId},
    names::SponsorId,
};
use countersign_ledger::{
    commitment::Opening,
    export::Disclosed,
    leaf::{Digest, Kind, Leaf},
};

use super::{batch::BatchBuilder, prepared_decision::Prepared};
use crate::{
    Error, Topic,
    approvals::approval_event::{leaf, notice, summary},
    credentials::credential::Credential,
    decisions::evaluation::{
        evaluate::evaluate,
        request::{DecisionRequest, Subject},
        verdict::{ByApproval, Verdict},
    },
    engine::custody_leaf,
    error::no_policy,
    webhook::Notice,
};

/// The answer to a call that a person must allow.
pub(super) struct ByPerson {
    pub(super) prepared: Prepared,
    /// The approval that was asked for, if it is a new one.
    pub(super) asked: Option<Approval>,
}

impl DecisionRequest {
    /// The call that a person is asked about.
    pub(super) fn call(&self, run: &Credential) -> Call {
        Call {
            agent_instance_id: run.agent_instance_id,
            sponsor_id: run.sponsor_id.clone(),
            tool_id: self.tool_id.clone(),
            action: self.action.clone(),
            request_hash: self.request_hash,
            purpose: self.purpose.as_deref().unwrap_or(&run.purpose).to_owned(),
            context: Private(self.context.canonical()),
        }
    }
}

impl BatchBuilder<'_> {
    /// What is answered to a call that a rule lets happen only with a person's yes.
    pub(super) fn with_approval(&mut self, question: &DecisionRequest) -> Result<ByPerson, Error> {
        let mut verdict = evaluate(question, self.snapshot).map_err(|_| no_policy())?;
        let Subject::Run(run) = &question.subject else {
            return Err(Error::internal("an approval is requested for no instance", question.decision_id));
        };
        let call = question.call(run);
        let asked = match question.approval_id {
            Some(id) => {
                self.stand_on(id, &call, &mut verdict);
                None
            }
            None => self.ask(question, run, call, &mut verdict),
        };
        Ok(ByPerson { prepared: Prepared::of(question, &verdict, self.snapshot.epoch)?, asked })
    }

    /// Finds what waits for an answer to this very call already, or else makes a request, unless too many wait.
    fn ask(
        &mut self,
        question: &DecisionRequest,
        run: &Credential,
        call: Call,
        verdict: &mut Verdict,
    ) -> Option<Approval> {
        let (now, config) = (self.engine.clock.now(), &self.engine.config.approvals);
        let known = || self.approvals();
        if let Some(waits) = known().find(|known| known.standing(&call, now) == ApprovalStanding::Pending) {
            verdict.approval = Some(ByApproval::named(waits.approval_id));
            return None;
        }
        let of_run = |known: &&Approval| known.call.agent_instance_id == call.agent_instance_id;
        let waiting = known().filter(of_run).filter(|known| known.state_at(now) == ApprovalState::Pending).count();
        let root = run.root_instance_id();
        let (of_chain, of_sponsor) = (self.waiting(|of| of.chains.get(&root)), self.waiting_of(&call.sponsor_id));
        if waiting >= config.pending_per_instance
            || of_chain >= config.pending_per_chain
            || of_sponsor >= config.pending_per_sponsor
        {
            return None;
        }
        let asked = Approval {
            approval_id: ApprovalId(uuid_v7(now, &*self.engine.entropy)),
            policy_decision_id: question.decision_id,
            state: ApprovalState::Pending,
            root_instance_id: root,
            call,
            context_salt: (!question.context.is_empty()).then(|| random(&*self.engine.entropy)),
            arguments: question.arguments.clone(),
            asked_by: question.operator_id.clone(),
            create_time: now,
            expire_time: now + config.life,
            answer: None,
            revision: 1,
        };
        verdict.approval = Some(ByApproval::named(asked.approval_id));
        self.delta.put(asked.clone());
        Some(asked)
    }

    /// How many of a sponsor wait for an answer, those of this batch among them.
    fn waiting_of(&self, sponsor: &SponsorId) -> usize {
        self.waiting(|of| of.sponsors.get(sponsor))
    }

    /// What the approval that was brought along means for this call. A yes is used up.
    fn stand_on(&mut self, id: ApprovalId, call: &Call, verdict: &mut Verdict) {
        let now = self.engine.clock.now();
        let found = self.approval(id).cloned();
        let standing = found.as_ref().map_or(ApprovalStanding::Mismatch, |approval| approval.standing(call, now));
        let answer = found.as_ref().and_then(|approval| approval.answer.clone());
        let named = ByApproval::named(id);
        let (effect, reason, approval) = match standing {
            ApprovalStanding::Pending => (Effect::RequireApproval, Reason::ApprovalRequired, named),
            ApprovalStanding::Approved => {
                let leaf = answer.map(|answer| answer.leaf);
                (Effect::Allow, Reason::AllowedByRule, ByApproval { leaf, ..named })
            }
            ApprovalStanding::Rejected => {
                let said = answer.map(|answer| answer.reason);
                (Effect::Deny, Reason::ApprovalRejected, ByApproval { said, ..named })
            }
            ApprovalStanding::Expired => (Effect::Deny, Reason::ApprovalExpired, named),
            ApprovalStanding::Mismatch => (Effect::Deny, Reason::ApprovalMismatch, named),
        };
        (verdict.outcome.effect, verdict.outcome.reason) = (effect, reason);
        verdict.approval = Some(approval);
        if let (ApprovalStanding::Approved, Some(found)) = (standing, found) {
            self.delta.put(Approval { state: ApprovalState::Used, revision: found.revision + 1, ..found });
        }
    }

    /// Appends the event of a request after that of the decision that asks, and tells of it.
    pub(super) fn append_request(&mut self, asked: &Approval) -> Result<(), Error> {
        let event_id = EventId(uuid_v7(asked.create_time, &*self.engine.entropy));
        let base = Leaf {
            operator_id: asked.asked_by.as_ref().map(|by| by.as_str().to_owned().into()),
            // Attributes have few values: a reader of the log must not be able to try them all.
            context_commitment: asked
                .context_salt
                .map(|salt| Digest(Opening { salt, text: asked.call.context.0.clone() }.commitment())),
            state_after: Some(asked.state.as_str().into()),
            ..Leaf::new(Kind::ApprovalRequested, event_id.to_string(), custody_leaf::timestamp(asked.create_time))
        };
        let event = custody_leaf::seal(&leaf(asked, base), Disclosed::default())?;
        let log_index = self.append(Arc::new(event))?;
        let sponsor = &asked.call.sponsor_id;
        let waiting = self.waiting_of(sponsor);
        self.delta.notices.push(Notice::one_more(
            Topic::ApprovalRequested,
            asked.create_time,
            (sponsor.as_str(), waiting),
            &notice(asked, log_index),
            &summary(asked, waiting, log_index),
        )?);
        Ok(())
    }
}
