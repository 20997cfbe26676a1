//! One batch: what it will write, and what its jobs see of each other. In it a single-use credential is used up once,
//! and a request id cannot be used for another request.

use std::{mem, sync::Arc};

use countersign_core::{
    approval::Approval,
    credential::Verified,
    ids::{ApprovalId, DecisionId},
    instance::Instance,
};
use countersign_store::{
    Connection,
    approval::{self, Waiting},
    event::{self, NewEvent},
    head::Head,
    idempotency::{self, Answered, Keyed},
    instance, single_use,
    tool_call::{self, ToolCall},
    webhook,
};

use super::{delta::Delta, preload::Preloaded};
use crate::{
    Error,
    authority::{Authority, snapshot::Snapshot},
    engine::{context::Context, transaction::ANSWERS_KEPT},
};

/// What a batch will write, and what its jobs see of each other.
pub(crate) struct BatchBuilder<'a> {
    pub(super) engine: &'a Context,
    pub(super) authority: &'a Authority,
    pub(super) snapshot: &'a Arc<Snapshot>,
    /// The head after all that is staged.
    pub(super) head: Head,
    /// What the database holds.
    pub(super) found: Preloaded,
    /// What the submissions before add to that.
    pub(super) staged: Delta,
    /// What the submission under way adds.
    pub(super) delta: Delta,
}

impl<'a> BatchBuilder<'a> {
    pub(super) fn new(authority: &'a Authority, snapshot: &'a Arc<Snapshot>, head: Head, found: Preloaded) -> Self {
        let (staged, delta) = (Delta::default(), Delta::default());
        Self { engine: &authority.engine, authority, snapshot, head, found, staged, delta }
    }

    /// Stages what `submission` adds, or nothing where it fails.
    pub(super) fn all_or_none<T>(
        &mut self,
        submission: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = submission(self);
        let delta = mem::take(&mut self.delta);
        if done.is_ok() {
            for event in &delta.events {
                self.head.frontier.append(event.leaf_hash);
            }
            self.staged.absorb(delta);
        }
        done
    }

    /// Gives an event its place in the log.
    pub(super) fn append(&mut self, event: Arc<NewEvent>) -> Result<i64, Error> {
        let more = i64::try_from(self.delta.events.len())
            .map_err(|error| Error::internal("too many events for one submission", error))?;
        self.delta.events.push(event);
        Ok(self.head.size() + more)
    }

    /// What was noted of a decision's outcome, in the order of the log.
    pub(super) fn outcomes(&self, id: DecisionId) -> impl Iterator<Item = &ToolCall> + Clone {
        let noted = [self.found.outcomes.get(&id), self.staged.outcomes.get(&id), self.delta.outcomes.get(&id)];
        noted.into_iter().flatten().flatten()
    }

    /// One approval.
    pub(super) fn approval(&self, id: ApprovalId) -> Option<&Approval> {
        let staged = self.delta.approvals.get(&id).or_else(|| self.staged.approvals.get(&id));
        staged.or_else(|| self.found.approvals.get(&id))
    }

    /// Every approval that is known of.
    pub(super) fn approvals(&self) -> impl Iterator<Item = &Approval> {
        let (delta, staged) = (&self.delta.approvals, &self.staged.approvals);
        let of_staged = staged.values().filter(|approval| !delta.contains_key(&approval.approval_id));
        let older = |approval: &&Approval| {
            !delta.contains_key(&approval.approval_id) && !staged.contains_key(&approval.approval_id)
        };
        delta.values().chain(of_staged).chain(self.found.approvals.values().filter(older))
    }

    /// How many approvals wait, by `of`.
    pub(super) fn waiting(&self, of: impl Fn(&Waiting) -> Option<&i64>) -> usize {
        let waiting = [&self.found.waiting, &self.staged.waiting, &self.delta.waiting];
        let count: i64 = waiting.into_iter().filter_map(of).sum();
        usize::try_from(count).unwrap_or_default()
    }

    /// Instances of this batch, each as it will be written.
    pub(super) fn new_instances(&self) -> impl Iterator<Item = &Instance> {
        let later = &self.delta.instances;
        let earlier = self.staged.instances.iter().filter(|(id, _)| !later.contains_key(id));
        earlier.chain(later).map(|(_, instance)| instance)
    }

    /// Uses up a single-use credential; false where it was used before.
    pub(super) fn use_credential(&mut self, credential: &Verified) -> bool {
        let id = &credential.credential_id;
        if self.found.used.contains(id) || self.staged.used.contains_key(id) {
            return false;
        }
        self.delta.used.insert(*id, credential.expire_time).is_none()
    }

    /// The kept text of the same request, as `read` reads it.
    pub(super) fn kept<T>(
        &self,
        keyed: Option<&Keyed>,
        read: impl FnOnce(&str) -> Result<T, serde_json::Error>,
    ) -> Option<Result<T, Error>> {
        let unreadable = |error| Error::internal("a kept answer cannot be read", error);
        self.kept_text(keyed).map(|text| text.and_then(|text| read(text).map_err(unreadable)))
    }

    fn kept_text(&self, keyed: Option<&Keyed>) -> Option<Result<&str, Error>> {
        let Keyed { key, fingerprint } = keyed?;
        let staged = [&self.delta.answers, &self.staged.answers].into_iter().find_map(|answers| answers.get(key));
        let kept = staged.or_else(|| self.found.answers.get(key))?;
        let same = kept.fingerprint == *fingerprint;
        Some(if same { Ok(&kept.answer) } else { Err(Error::RequestIdReused) })
    }

    /// Keeps the text of an answer for its request id.
    pub(super) fn keep(
        &mut self,
        keyed: Option<&Keyed>,
        text: impl FnOnce() -> Result<String, serde_json::Error>,
    ) -> Result<(), Error> {
        let Some(Keyed { key, fingerprint }) = keyed else { return Ok(()) };
        let answer = text().map_err(|error| Error::internal("an answer cannot be written as JSON", error))?;
        let answered = Answered { key: key.clone(), fingerprint: *fingerprint, answer };
        self.delta.answers.insert(key.clone(), answered);
        Ok(())
    }

    /// Writes what is staged.
    pub(super) async fn flush(&self, tx: &mut Connection, before: &Head) -> Result<(), Error> {
        let Delta { events, instances, approvals, waiting: _, notices, outcomes, used, answers, counted: _ } =
            &self.staged;
        if !instances.is_empty() {
            instance::upsert(tx, instances.values()).await?;
        }
        if !outcomes.is_empty() {
            tool_call::insert(tx, outcomes.values().flatten()).await?;
        }
        if !used.is_empty() {
            single_use::consume(tx, used).await?;
        }
        if !approvals.is_empty() {
            approval::upsert(tx, approvals.values()).await?;
        }
        let (webhooks, entropy) = (&self.engine.config.webhooks, &*self.engine.entropy);
        let notices: Vec<_> = notices.iter().flat_map(|notice| notice.rows(webhooks, entropy)).collect();
        if !notices.is_empty() {
            webhook::insert(tx, &notices).await?;
        }
        if !answers.is_empty() {
            idempotency::insert(tx, answers.values(), self.engine.clock.now() + ANSWERS_KEPT).await?;
        }
        if !events.is_empty() && !event::append(tx, before, &self.head, events).await? {
            return Err(Error::internal("the log head moved under its lock", before.size()));
        }
        Ok(())
    }
}
