//! Decisions: each in its place in the log, with what it uses up (a single-use credential, an approval) and whom it
//! asks.

use std::{sync::Arc, time::Instant};

use countersign_core::decision::Reason;

use super::{
    batch::BatchBuilder,
    indicators::Counted,
    job::{DecisionJob, Job},
    preload::Wanted,
    prepared_decision::{Preparation, Prepared},
};
use crate::{
    DecisionAnswer, Error,
    decisions::evaluation::{
        request::{DecisionRequest, Subject},
        verdict::Verdict,
    },
    error::no_policy,
};

/// A question, and the answer that it will get unless what may be allowed changes meanwhile.
pub(crate) struct Foreseen<'a> {
    pub(crate) question: &'a DecisionRequest,
    pub(crate) answer: Option<&'a DecisionAnswer>,
}

impl DecisionJob {
    /// What the question asks, and what it will be answered.
    pub(crate) fn foreseen(&self) -> Foreseen<'_> {
        Foreseen { question: &self.question, answer: self.prepared.answer().map(|prepared| &prepared.answer) }
    }
}

impl Job for DecisionJob {
    type Reply = DecisionAnswer;
    const KEPT_AS: &'static [&'static str] = &["Decision"];

    fn wants(&self, wanted: &mut Wanted, epoch: i64) {
        wanted.decisions.extend(self.question.cached_from);
        let Subject::Run(credential) = &self.question.subject else { return };
        if credential.single_use {
            wanted.credentials.insert(credential.credential_id, credential.expire_time);
        }
        // What was evaluated at another epoch may turn out to need an approval.
        if self.prepared.answer().is_some_and(|prepared| prepared.epoch == epoch && !prepared.asks) {
            return;
        }
        if let Some(id) = self.question.approval_id {
            wanted.approvals.push(id);
        } else {
            wanted.asking.push(credential.agent_instance_id);
            wanted.asking_roots.insert(credential.root_instance_id());
            wanted.asking_sponsors.insert(credential.sponsor_id.clone());
        }
    }

    fn record(&self, batch: &mut BatchBuilder<'_>, arrived: Instant) -> Result<DecisionAnswer, Error> {
        let question = &*self.question;
        if let Some(ground) = question.cached_from {
            batch.check_cached_from(question, ground)?;
        }
        let Preparation::Ready(mut prepared) = self.current(batch)? else { return Err(no_policy()) };
        if prepared.uses_credential
            && let Subject::Run(credential) = &question.subject
            && credential.single_use
            && !batch.use_credential(credential)
        {
            let verdict = Verdict::refused(Reason::CredentialAlreadyUsed, false);
            prepared = Arc::new(Prepared::of(question, &verdict, batch.snapshot.epoch)?);
        }
        let mut asked = None;
        if prepared.asks {
            let by_approval = batch.with_approval(question)?;
            (prepared, asked) = (Arc::new(by_approval.prepared), by_approval.asked);
        }
        let log_index = batch.append(prepared.event.clone())?;
        batch.delta.counted.push(Counted { metrics: prepared.of_decision.clone(), arrived });
        if let Some(asked) = asked {
            batch.append_request(&asked)?;
        }
        Ok(DecisionAnswer { log_index, ..prepared.answer.clone() })
    }

    fn log_index(reply: &DecisionAnswer) -> i64 {
        reply.log_index
    }

    fn again(&self, batch: &BatchBuilder<'_>, kept: DecisionAnswer) -> Result<DecisionAnswer, Error> {
        batch.decided_again(self, kept)
    }
}
