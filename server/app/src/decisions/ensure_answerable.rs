//! Refuses to answer calls that would only add another refusal above the limits (a credential that is not active, used
//! up or missing), and records how many there were. The limits are in `refusal_limits.rs`.

use std::{collections::HashMap, mem};

use countersign_core::{
    decision::{Effect, Enforcement},
    ids::{CredentialId, InstanceId},
};
use countersign_ledger::leaf::{Decimal, Figure, Kind, Leaf};

use super::{
    evaluation::request::{DecisionRequest, Subject},
    refusal_limits::Unanswered,
};
use crate::{
    App, Caller, DecisionAnswer, Error,
    engine::transaction::{Change, ChangeTx},
    recorder::Foreseen,
};

/// Records how many calls were not answered.
struct State(Unanswered);

impl Change for State {
    const METHOD: &'static str = "StateUnanswered";
    type Answer = ();

    async fn apply(&self, tx: &mut ChangeTx) -> Result<(), Error> {
        for (chain, count) in &self.0 {
            let calls = Figure { name: "calls".into(), value: Decimal(count.calls) };
            let leaf = Leaf {
                figures: vec![calls],
                root_instance_id: chain.map(|chain| chain.to_string().into()),
                sponsor_id: count.sponsor_id.as_ref().map(|id| id.to_string().into()),
                ..tx.own_leaf(Kind::RefusalsUnanswered)
            };
            tx.append(leaf, "")?;
        }
        Ok(())
    }
}

impl App {
    /// Refuses to answer if every one of these calls would only be one more refusal above the limits. If one of them
    /// may be allowed or is within the limits, all are answered, because they are recorded together.
    pub(crate) fn ensure_answerable(&self, caller: &Caller, asked: &[Foreseen<'_>]) -> Result<(), Error> {
        let mut chains: HashMap<Option<InstanceId>, u32> = HashMap::new();
        for Foreseen { question, answer } in asked {
            if !self.only_refuses(question, *answer) {
                return Ok(());
            }
            let chain = match &question.subject {
                Subject::Run(run) => Some(run.root_instance_id()),
                Subject::Unattributed(_) | Subject::Entity(_) => None,
            };
            *chains.entry(chain).or_default() += 1;
        }
        let mut over = None;
        for (chain, calls) in chains {
            match self.inner.refusals.take(chain, &caller.id(), calls) {
                Ok(()) => return Ok(()),
                Err(error) => over = Some(error),
            }
        }
        let Some(error) = over else { return Ok(()) };
        for asked in asked {
            self.inner.refusals.note(asked.question);
            self.note_shed();
        }
        metrics::counter!("countersign_unanswered_refusals_total")
            .increment(u64::try_from(asked.len()).unwrap_or(u64::MAX));
        Err(error)
    }

    /// Whether a call is refused because of its credential: it is not active, is used up, or is missing.
    fn only_refuses(&self, question: &DecisionRequest, answer: Option<&DecisionAnswer>) -> bool {
        let refuses =
            answer.is_some_and(|answer| answer.effect == Effect::Deny && answer.enforcement == Enforcement::Enforced);
        match &question.subject {
            Subject::Run(run) if self.inner.refusals.spent.contains_key(&run.credential_id) => true,
            Subject::Run(run) => refuses && self.snapshot().dead(run, question.now).is_some(),
            Subject::Unattributed(_) => refuses,
            Subject::Entity(_) => false,
        }
    }

    /// Remembers a credential that was used up.
    pub(crate) fn note_spent(&self, credential: CredentialId) {
        self.inner.refusals.spent.insert(credential, ());
    }

    /// Records how many calls were not answered since the last time.
    pub(crate) async fn state_unanswered(&self) -> Result<(), Error> {
        let refusals = &self.inner.refusals;
        let state = State(mem::take(&mut *refusals.unanswered()));
        if state.0.is_empty() {
            return Ok(());
        }
        let stated = self.change("server", None, &state).await;
        if stated.is_err() {
            // They are recorded the next time.
            state.0.into_iter().for_each(|(chain, count)| refusals.add(chain, count));
        }
        stated
    }
}
