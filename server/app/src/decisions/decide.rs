//! Decide and BatchDecide: whether a call may happen, recorded before it is answered. Decides for whom a caller may ask
//! (a run for its own chain only, an operator within the scope of its key), whose call without a sponsor it is, and
//! when an ALLOW gets a signed receipt.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use countersign_core::{
    clock::{random, uuid_v7},
    credential::{AllowedCall, ReceiptClaims, sign_receipt},
    decision::{Effect, Reason},
    ids::{DecisionId, InstanceId},
    operator::OperatorRole,
};
use countersign_ledger::{commitment::Opening, leaf::Digest};
use countersign_store::idempotency::Keyed;
use futures::future::join_all;
use tracing::{Level, Span, field::display};

use super::evaluation::request::{DecisionRequest, Subject};
use crate::{
    App, Caller, Decide, DecisionAnswer, DecisionSubject, Error, Idempotency, OperatorCaller, TRACE,
    authn::authenticate::Presented,
    credentials::credential::Credential,
    engine::{request, sha256::sha256},
    recorder::{DecisionJob, Entry, Preparation},
};

const METHOD: &str = "Decide";

/// Whom a batch names, each looked up once.
#[derive(Default)]
pub(crate) struct NamedSubjects {
    runs: HashMap<InstanceId, Option<Arc<Credential>>>,
    tokens: HashMap<String, Presented>,
}

/// A question on its way, and whether its ALLOW is to be signed for the tool.
pub(crate) struct Resolved {
    pub(crate) question: Arc<DecisionRequest>,
    keyed: Option<Keyed>,
    want_receipt: bool,
}

impl App {
    /// Answers one call. A refusal is an answer; an error is none, and then the call must not happen.
    pub async fn decide(&self, caller: &Caller, command: Decide) -> Result<DecisionAnswer, Error> {
        self.inner.engine.clock.trust()?;
        let asked = self.ask(caller, command, &mut NamedSubjects::default()).await?;
        let job = self.prepare(&asked.question)?;
        self.ensure_answerable(caller, &[job.foreseen()])?;
        let answer = self.inner.recorder.submit_one(job, asked.keyed.clone()).await?;
        request::trace(|span| trace_decision(span, &asked.question, &answer));
        self.countersign(&asked, answer)
    }

    /// Answers up to 100 calls in order, in one transaction.
    pub async fn decide_batch(
        &self,
        caller: &Caller,
        commands: Vec<Decide>,
        idempotency: Option<Idempotency>,
    ) -> Result<Vec<DecisionAnswer>, Error> {
        self.inner.engine.clock.trust()?;
        self.inner.authn.rates.more(caller, commands.len().saturating_sub(1))?;
        let mut asked = Vec::with_capacity(commands.len());
        let mut jobs = Vec::with_capacity(commands.len());
        // Together, so that what this server has not seen is looked up in one statement.
        let tokens: HashSet<_> = commands.iter().filter_map(|command| command.subject.token()).collect();
        let presented = tokens.into_iter().map(async |token| Ok((token.to_owned(), self.present(token).await?)));
        let tokens = join_all(presented).await.into_iter().collect::<Result<_, Error>>()?;
        let mut named = NamedSubjects { tokens, ..NamedSubjects::default() };
        for command in commands {
            let one = self.ask(caller, command, &mut named).await?;
            jobs.push(Entry { job: self.prepare(&one.question)?, keyed: one.keyed.clone() });
            asked.push(one);
        }
        let foreseen: Vec<_> = jobs.iter().map(|entry| entry.job.foreseen()).collect();
        self.ensure_answerable(caller, &foreseen)?;
        let keyed = idempotency.map(|idempotency| idempotency.key(&caller.id(), "BatchDecide"));
        let answers = self.inner.recorder.submit(jobs, keyed).await?;
        request::trace(|span| {
            for (asked, answer) in asked.iter().zip(&answers) {
                trace_one_of_many(span, &asked.question, answer);
            }
        });
        asked.iter().zip(answers).map(|(asked, answer)| self.countersign(asked, answer)).collect()
    }

    /// Evaluates a question by the snapshot at hand; the recorder does it again where that is behind.
    fn prepare(&self, question: &Arc<DecisionRequest>) -> Result<DecisionJob, Error> {
        let prepared = Preparation::of(question, &self.snapshot())?;
        Ok(DecisionJob { question: question.clone(), prepared })
    }

    /// What is asked, by whom.
    pub(crate) async fn ask(
        &self,
        caller: &Caller,
        command: Decide,
        named: &mut NamedSubjects,
    ) -> Result<Resolved, Error> {
        let subject = self.subject(caller, &command.subject, named).await?;
        if let Caller::Operator(operator) = caller {
            may_ask(operator, &command, &subject)?;
        }
        let without_sponsor = without_sponsor(caller, &command.subject, &subject);
        let (now, entropy) = (self.inner.engine.clock.now(), &*self.inner.engine.entropy);
        let purpose: Cow<'_, str> = match (&command.purpose, &subject) {
            (Some(purpose), _) => purpose.as_str().into(),
            (None, Subject::Run(credential)) => credential.purpose.as_str().into(),
            (None, Subject::Unattributed(_) | Subject::Entity(_)) => "".into(),
        };
        let purpose_opening =
            (!purpose.is_empty()).then(|| Opening { salt: random(entropy), text: purpose.into_owned() });
        let question = DecisionRequest {
            decision_id: DecisionId(uuid_v7(now, entropy)),
            now,
            subject,
            operator_id: caller.operator().map(|operator| operator.operator_id.clone()),
            tool_id: command.tool_id,
            action: command.action,
            purpose: command.purpose,
            purpose_opening,
            request_hash: command.request_hash,
            context: command.context,
            approval_id: command.approval_id,
            arguments: command.arguments,
            refused: command.refused,
            cached_from: command.cached_from,
            without_sponsor,
            trace: command.trace,
        };
        let keyed = command.idempotency.map(|idempotency| idempotency.key(&caller.id(), METHOD));
        Ok(Resolved { question: Arc::new(question), keyed, want_receipt: command.want_receipt })
    }

    /// Who wants to call. An instance asks for itself and its own chain; a gate for whoever's token it holds, or whom it
    /// names.
    async fn subject(
        &self,
        caller: &Caller,
        subject: &DecisionSubject,
        named: &mut NamedSubjects,
    ) -> Result<Subject, Error> {
        let others = || Error::RoleRequired {
            message: "an instance asks for its own chain only; a gate can ask for others'".to_owned(),
            roles: vec![OperatorRole::Gate],
        };
        match (subject, caller) {
            (DecisionSubject::Token(token), _) => {
                let presented = match named.tokens.get(token) {
                    Some(presented) => presented.clone(),
                    None => self.present(token).await?,
                };
                match (presented, caller) {
                    (Presented::Holds(credential), Caller::Instance(own)) => {
                        let own_chain = credential.root_instance_id() == own.root_instance_id();
                        own_chain.then_some(Subject::Run(credential)).ok_or_else(others)
                    }
                    (Presented::Holds(credential), Caller::Operator(_)) => Ok(Subject::Run(credential)),
                    (Presented::Refused(reason), _) => Ok(Subject::Unattributed(reason)),
                }
            }
            (DecisionSubject::Instance(id), Caller::Instance(own)) if own.agent_instance_id == *id => {
                Ok(Subject::Run(own.clone()))
            }
            (
                DecisionSubject::Instance(_) | DecisionSubject::Entity(_) | DecisionSubject::Absent { .. },
                Caller::Instance(_),
            ) => Err(others()),
            (DecisionSubject::Instance(id), Caller::Operator(_)) => {
                let run = match named.runs.get(id) {
                    Some(run) => run.clone(),
                    None => named.runs.entry(*id).insert_entry(self.recorded_credential(*id).await?).get().clone(),
                };
                Ok(run.map_or(Subject::Unattributed(Reason::InstanceNotLive), Subject::Run))
            }
            (DecisionSubject::Entity(call), Caller::Operator(_)) => Ok(Subject::Entity(Arc::new((**call).clone()))),
            (DecisionSubject::Caller, Caller::Instance(own)) => Ok(Subject::Run(own.clone())),
            (DecisionSubject::Caller | DecisionSubject::Absent { .. }, Caller::Operator(_)) => {
                Ok(Subject::Unattributed(Reason::CredentialMalformed))
            }
        }
    }

    /// Counts an answer, and signs it where it is an ALLOW that a tool is to see.
    ///
    /// The receipt's claims follow from the decision and its credential alone: a repeated request gets those of the first
    /// receipt, and once that is over, none.
    fn countersign(&self, asked: &Resolved, mut answer: DecisionAnswer) -> Result<DecisionAnswer, Error> {
        metrics::counter!("countersign_decisions_total", "effect" => answer.effect.as_str(), "reason" => answer.reason.as_str())
            .increment(1);
        if matches!(asked.question.subject, Subject::Unattributed(_)) {
            let kind = if asked.question.without_sponsor.is_some() { "without_sponsor" } else { "unauthenticated" };
            metrics::counter!("countersign_unattributed_decisions_total", "kind" => kind).increment(1);
        }
        if let Subject::Run(credential) = &asked.question.subject
            && answer.reason == Reason::CredentialAlreadyUsed
        {
            self.note_spent(credential.credential_id);
        }
        if let Subject::Run(credential) = &asked.question.subject
            && asked.want_receipt
            && answer.effect == Effect::Allow
        {
            let claims = ReceiptClaims::new(AllowedCall {
                issuer: &self.inner.engine.config.issuer,
                credential,
                policy_decision_id: answer.policy_decision_id,
                tool_id: asked.question.tool_id.clone(),
                action: asked.question.action.clone(),
                request_hash: asked.question.request_hash,
                policy_version: answer.policy_version,
                now: answer.policy_decision_id.decide_time(),
            });
            if answer.replayed && claims.exp <= asked.question.now.unix_timestamp() {
                return Err(Error::AlreadyDecided(answer.policy_decision_id));
            }
            let signed = sign_receipt(&claims, &self.snapshot().keys.active);
            answer.receipt = Some(signed.map_err(|error| Error::internal("a receipt cannot be signed", error))?);
        }
        Ok(answer)
    }
}

/// Adds a decision to the trace of the request that asked for it, which has also its place in the log.
fn trace_decision(span: &Span, question: &DecisionRequest, answer: &DecisionAnswer) {
    span.record("gen_ai.operation.name", "execute_tool");
    span.record("gen_ai.tool.name", question.tool_id.as_str());
    if let Subject::Run(run) = &question.subject {
        span.record("gen_ai.agent.id", run.agent.as_str());
        span.record("countersign.agent_instance_id", display(run.agent_instance_id));
    }
    span.record("countersign.decision_id", display(answer.policy_decision_id));
    span.record("countersign.effect", answer.effect.as_str());
    span.record("countersign.reason", answer.reason.as_str());
    if let Some(version) = answer.policy_version {
        span.record("countersign.policy_version", display(version));
    }
}

/// Adds a decision of a batch, as an event.
fn trace_one_of_many(span: &Span, question: &DecisionRequest, answer: &DecisionAnswer) {
    tracing::event!(
        name: "decision",
        target: TRACE,
        parent: span,
        Level::INFO,
        gen_ai.tool.name = question.tool_id.as_str(),
        countersign.decision_id = %answer.policy_decision_id,
        countersign.effect = answer.effect.as_str(),
        countersign.reason = answer.reason.as_str(),
        countersign.policy_version = answer.policy_version.map(display),
        countersign.log_index = answer.log_index,
    );
}

/// Refuses a question that the caller's key is not for. Of a token that says nothing which can be believed nobody knows the
/// sponsor: it is answered, with a DENY.
fn may_ask(operator: &OperatorCaller, command: &Decide, subject: &Subject) -> Result<(), Error> {
    let tool = &command.tool_id;
    operator.within(&format!("it may not ask for calls of {tool}"), |scope| scope.has_tool(tool))?;
    match (subject, &command.subject) {
        (Subject::Run(run), _) => {
            let sponsor = &run.sponsor_id;
            operator
                .within(&format!("it may not ask for runs of sponsor {sponsor}"), |scope| scope.has_sponsor(sponsor))
        }
        (Subject::Entity(_), _) => operator.outside("it may ask for runs only, and this subject is not a run"),
        (Subject::Unattributed(_), DecisionSubject::Absent { .. }) => {
            operator.within("it may not ask for calls without a sponsor", |scope| scope.sponsors.is_empty())
        }
        (Subject::Unattributed(_), _) => Ok(()),
    }
}

/// Who sent a call that really came without a sponsor, where that is known: an operator who names no run or one that is not there,
/// or whom a gateway authenticated. A token that does not hold says nothing of anybody: whoever can reach a gate can make one up.
fn without_sponsor(caller: &Caller, asked: &DecisionSubject, subject: &Subject) -> Option<Arc<str>> {
    let (Subject::Unattributed(_), Caller::Operator(operator)) = (subject, caller) else { return None };
    match asked {
        _ if operator.anonymous => None,
        DecisionSubject::Caller | DecisionSubject::Instance(_) => Some(operator.operator_id.as_str().into()),
        DecisionSubject::Absent { principal } => {
            let principal = sha256(principal.as_bytes());
            Some(format!("{}/{}", operator.operator_id, Digest(principal)).into())
        }
        DecisionSubject::Token(_) | DecisionSubject::Entity(_) => None,
    }
}
