//! One batch: what it will write, and what its jobs see of each other.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use countersign_core::{
    approval::Approval,
    decision::Reason,
    ids::{ApprovalId, CredentialId},
    instance::Instance,
};
use countersign_store::{
    approval,
    event::{self, NewEvent},
    head::Head,
    idempotency::{self, Answered},
    instance, single_use,
    tool_call::{self, ToolCall},
    webhook,
};
use time::OffsetDateTime;

use super::{
    indicators::DecisionMetrics,
    job::{Job, JobResult, Keyed, Submission},
    preload::Preloaded,
    prepared::Prepared,
};
use crate::{
    Error,
    authority::{Authority, snapshot::Snapshot},
    decisions::evaluation::{
        request::{DecisionRequest, Subject},
        verdict::{NoPolicy, Verdict},
    },
    engine::{
        context::Context,
        transaction::{ANSWERS_KEPT, repeat},
    },
    error::no_policy,
    webhook::Notice,
};

/// After so long no more is added to a batch: what it holds is still to be written while it holds the log head.
const LONGEST_STAGING: Duration = Duration::from_millis(20);

/// What a batch will write, and what its jobs see of each other.
pub(super) struct BatchBuilder<'a> {
    pub(super) engine: &'a Context,
    pub(super) authority: &'a Authority,
    pub(super) snapshot: &'a Arc<Snapshot>,
    pub(super) head: Head,
    pub(super) found: Preloaded,
    pub(super) instances: Vec<Instance>,
    /// Approvals that were written, and what was found of each before.
    pub(super) approvals: Vec<(ApprovalId, Option<Approval>)>,
    pub(super) notices: Vec<Notice>,
    pub(super) events: Vec<Arc<NewEvent>>,
    outcomes: Vec<ToolCall>,
    consumed: Vec<(CredentialId, OffsetDateTime)>,
    answered: Vec<Answered>,
    /// Of the decisions, each with when its request arrived.
    pub(super) counted: Vec<(DecisionMetrics, Instant)>,
}

/// How much was staged at some moment.
struct Savepoint {
    head: Head,
    instances: usize,
    approvals: usize,
    notices: usize,
    events: usize,
    outcomes: usize,
    consumed: usize,
    answered: usize,
    counted: usize,
}

impl<'a> BatchBuilder<'a> {
    pub(super) fn new(authority: &'a Authority, snapshot: &'a Arc<Snapshot>, head: Head, found: Preloaded) -> Self {
        Self {
            engine: &authority.engine,
            authority,
            snapshot,
            head,
            found,
            instances: Vec::new(),
            approvals: Vec::new(),
            notices: Vec::new(),
            events: Vec::new(),
            outcomes: Vec::new(),
            consumed: Vec::new(),
            answered: Vec::new(),
            counted: Vec::new(),
        }
    }

    /// Stages the first of these, at least one, and as many as there is time for.
    pub(super) fn all(&mut self, works: &[Submission]) -> Vec<Result<Vec<JobResult>, Error>> {
        let begun = Instant::now();
        let mut answers = Vec::with_capacity(works.len());
        for work in works {
            if !answers.is_empty() && begun.elapsed() > LONGEST_STAGING {
                break;
            }
            answers.push(self.work(work));
        }
        answers
    }

    /// Stages all jobs of a submission, or none.
    fn work(&mut self, work: &Submission) -> Result<Vec<JobResult>, Error> {
        if let Some(kept) = self.kept::<Vec<JobResult>>(work.keyed.as_ref()) {
            // The same request: as many jobs, in the same order.
            return work.jobs.iter().zip(kept?).map(|((job, _), kept)| self.again(job, kept)).collect();
        }
        let mark = self.mark();
        let done: Result<Vec<JobResult>, Error> =
            work.jobs.iter().map(|(job, keyed)| self.job(job, keyed.as_ref(), work.arrived)).collect();
        match done {
            Ok(done) => {
                self.keep(work.keyed.as_ref(), &done)?;
                Ok(done)
            }
            Err(error) => {
                self.undo(mark);
                Err(error)
            }
        }
    }

    fn mark(&self) -> Savepoint {
        Savepoint {
            head: self.head.clone(),
            instances: self.instances.len(),
            approvals: self.approvals.len(),
            notices: self.notices.len(),
            events: self.events.len(),
            outcomes: self.outcomes.len(),
            consumed: self.consumed.len(),
            answered: self.answered.len(),
            counted: self.counted.len(),
        }
    }

    /// Forgets what was staged since `mark`.
    fn undo(&mut self, mark: Savepoint) {
        self.head = mark.head;
        self.instances.truncate(mark.instances);
        self.undo_approvals(mark.approvals);
        self.notices.truncate(mark.notices);
        self.events.truncate(mark.events);
        for outcome in self.outcomes.drain(mark.outcomes..) {
            if let Some(noted) = self.found.outcomes.get_mut(&outcome.decision_id) {
                noted.retain(|noted| noted.event_id != outcome.event_id);
            }
        }
        for (credential, _) in self.consumed.drain(mark.consumed..) {
            self.found.used.remove(&credential);
        }
        for answered in self.answered.drain(mark.answered..) {
            self.found.answers.remove(&answered.key);
        }
        self.counted.truncate(mark.counted);
    }

    fn job(&mut self, job: &Job, keyed: Option<&Keyed>, arrived: Instant) -> Result<JobResult, Error> {
        if let Some(kept) = self.kept(keyed) {
            return self.again(job, kept?);
        }
        let done = match job {
            Job::Decision(question, prepared) => self.decision(question, prepared, arrived)?,
            Job::Grant(grant) => JobResult::Grant(Box::new(self.grant(grant)?)),
            Job::Svid(svid) => JobResult::Svid(Box::new(self.svid(svid)?)),
            Job::Outcome(outcome) => JobResult::Outcome(self.outcome(outcome)?),
        };
        self.keep(keyed, &done)?;
        Ok(done)
    }

    fn decision(
        &mut self,
        question: &DecisionRequest,
        prepared: &Result<Box<Prepared>, NoPolicy>,
        arrived: Instant,
    ) -> Result<JobResult, Error> {
        if let Some(ground) = question.cached_from {
            self.check_cached_from(question, ground)?;
        }
        let again;
        let prepared = match prepared {
            Ok(prepared) if prepared.epoch == self.snapshot.epoch => Ok(prepared),
            _ => {
                again = Prepared::new(question, self.snapshot)?;
                again.as_ref().map_err(|none| *none)
            }
        };
        let prepared = prepared.map_err(|NoPolicy| no_policy())?;
        let used_before;
        let prepared = if prepared.uses_credential && !self.use_credential(question) {
            let verdict = Verdict::refused(Reason::CredentialAlreadyUsed, false);
            used_before = Prepared::of(question, &verdict, self.snapshot.epoch)?;
            &used_before
        } else {
            prepared
        };
        let by_approval;
        let (prepared, asked) = if prepared.asks {
            by_approval = self.with_approval(question)?;
            (&by_approval.0, by_approval.1.as_ref())
        } else {
            (prepared, None)
        };
        let mut answer = prepared.answer.clone();
        answer.log_index = self.append(prepared.event.clone());
        self.counted.push((prepared.of_decision.clone(), arrived));
        if let Some(asked) = asked {
            self.append_request(asked)?;
        }
        Ok(JobResult::Decision(Box::new(answer)))
    }

    /// Uses up a single-use credential; false where it was used before.
    fn use_credential(&mut self, question: &DecisionRequest) -> bool {
        let Subject::Run(credential) = &question.subject else { return true };
        if !credential.single_use {
            return true;
        }
        let first = self.found.used.insert(credential.credential_id);
        if first {
            self.consumed.push((credential.credential_id, credential.expire_time));
        }
        first
    }

    /// Gives an event its place in the log.
    pub(super) fn append(&mut self, event: Arc<NewEvent>) -> i64 {
        let index = self.head.size();
        self.head.frontier.append(event.leaf_hash);
        self.events.push(event);
        index
    }

    /// Notes an outcome of a decision, for the rest of the batch too.
    pub(super) fn note_outcome(&mut self, outcome: ToolCall) {
        self.found.outcomes.entry(outcome.decision_id).or_default().push(outcome);
        self.outcomes.push(outcome);
    }

    fn kept<T: serde::de::DeserializeOwned>(&self, keyed: Option<&Keyed>) -> Option<Result<T, Error>> {
        let (key, fingerprint) = keyed?;
        let (first, answer) = self.found.answers.get(key)?;
        Some(repeat(answer, first == fingerprint))
    }

    fn keep<T: serde::Serialize>(&mut self, keyed: Option<&Keyed>, answer: &T) -> Result<(), Error> {
        let Some((key, fingerprint)) = keyed else { return Ok(()) };
        let answer = serde_json::to_string(answer).map_err(|error| Error::internal("an answer is no JSON", error))?;
        self.found.answers.insert(key.clone(), (*fingerprint, answer.clone()));
        self.answered.push(Answered { key: key.clone(), fingerprint: *fingerprint, answer });
        Ok(())
    }

    pub(super) async fn flush(&self, tx: &mut countersign_store::Connection, before: &Head) -> Result<(), Error> {
        if !self.instances.is_empty() {
            instance::upsert(tx, &self.instances).await?;
        }
        if !self.outcomes.is_empty() {
            tool_call::insert(tx, &self.outcomes).await?;
        }
        if !self.consumed.is_empty() {
            single_use::consume(tx, &self.consumed).await?;
        }
        if !self.approvals.is_empty() {
            let written: HashSet<_> = self.approvals.iter().map(|(id, _)| id).collect();
            let approvals: Vec<_> = written.into_iter().filter_map(|id| self.found.approvals.get(id)).collect();
            approval::upsert(tx, &approvals).await?;
        }
        let (webhooks, entropy) = (&self.engine.config.webhooks, &*self.engine.entropy);
        let notices: Vec<_> = self.notices.iter().flat_map(|notice| notice.rows(webhooks, entropy)).collect();
        if !notices.is_empty() {
            webhook::insert(tx, &notices).await?;
        }
        if !self.answered.is_empty() {
            idempotency::insert(tx, &self.answered, self.engine.clock.now() + ANSWERS_KEPT).await?;
        }
        if !self.events.is_empty() && !event::append(tx, before, &self.head, &self.events).await? {
            return Err(Error::internal("the log head moved under its lock", before.size()));
        }
        Ok(())
    }
}
