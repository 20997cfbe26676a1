//! What a batch needs of the database, read once for all its jobs.

use std::collections::{BTreeMap, HashMap, HashSet};

use countersign_core::{
    approval::Approval,
    ids::{ApprovalId, CredentialId, DecisionId, InstanceId},
    names::SponsorId,
    sponsor::Sponsor,
};
use countersign_ledger::{
    leaf::Leaf,
    merkle::{Hash, leaf_hash},
};
use countersign_store::{
    Connection, approval, event,
    idempotency::{self, Answered, Key},
    instance::{self, Holding, Live, StoredInstance},
    single_use, sponsor,
    tool_call::{self, ToolCall},
};
use time::OffsetDateTime;

use crate::Error;

/// Rows by what a batch's jobs name. The head is held, so nothing of this changes before the batch commits.
#[derive(Debug, Default)]
pub(super) struct Preloaded {
    pub(super) answers: HashMap<Key, Answered>,
    pub(super) decisions: HashMap<DecisionId, (Leaf<'static>, Hash)>,
    /// In the order of the log.
    pub(super) outcomes: HashMap<DecisionId, Vec<ToolCall>>,
    pub(super) sponsors: HashMap<SponsorId, Sponsor>,
    pub(super) instances: HashMap<InstanceId, StoredInstance>,
    pub(super) used: HashSet<CredentialId>,
    pub(super) approvals: HashMap<ApprovalId, Approval>,
    /// How many approvals wait, of the chains and sponsors of runs that ask.
    pub(super) waiting: approval::Waiting,
    /// How many instances are live of what the batch's grants add to, where there is a ceiling.
    pub(super) live: HashMap<Holding, Live>,
}

/// The ids that a batch's jobs name.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(super) keys: Vec<Key>,
    pub(super) decisions: Vec<DecisionId>,
    pub(super) sponsors: HashSet<SponsorId>,
    pub(super) instances: Vec<InstanceId>,
    /// Single-use ones, with when they expire.
    pub(super) credentials: BTreeMap<CredentialId, OffsetDateTime>,
    pub(super) approvals: Vec<ApprovalId>,
    /// Runs whose pending approvals are looked through.
    pub(super) asking: Vec<InstanceId>,
    /// Their chains, and who answers for them.
    pub(super) asking_roots: HashSet<InstanceId>,
    pub(super) asking_sponsors: HashSet<SponsorId>,
}

impl Wanted {
    /// Whether nothing needs to be read or kept, so that the head's lock is not needed either.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.decisions.is_empty()
            && self.sponsors.is_empty()
            && self.instances.is_empty()
            && self.credentials.is_empty()
            && self.approvals.is_empty()
            && self.asking.is_empty()
    }
}

impl Preloaded {
    /// Reads what is wanted; a statement for each kind of thing, and none for what is not named.
    pub(super) async fn read(conn: &mut Connection, wanted: &Wanted, now: OffsetDateTime) -> Result<Self, Error> {
        let mut found = Self::default();
        if !wanted.keys.is_empty() {
            let answered = idempotency::get_all(conn, &wanted.keys).await?;
            found.answers = answered.into_iter().map(|answered| (answered.key.clone(), answered)).collect();
        }
        if !wanted.decisions.is_empty() {
            found.read_decisions(conn, &wanted.decisions).await?;
        }
        if !wanted.sponsors.is_empty() {
            let ids: Vec<_> = wanted.sponsors.iter().map(ToString::to_string).collect();
            let sponsors = sponsor::get_all(conn, &ids).await?;
            found.sponsors = sponsors.into_iter().map(|sponsor| (sponsor.sponsor_id.clone(), sponsor)).collect();
        }
        if !wanted.instances.is_empty() {
            let ids: Vec<_> = wanted.instances.iter().map(|id| id.0).collect();
            let instances = instance::get_all(conn, &ids).await?;
            found.instances = instances.into_iter().map(|stored| (stored.instance.agent_instance_id, stored)).collect();
        }
        if !wanted.credentials.is_empty() {
            found.used = single_use::used(conn, &wanted.credentials).await?.into_iter().collect();
        }
        if !wanted.approvals.is_empty() || !wanted.asking.is_empty() {
            let ids: Vec<_> = wanted.approvals.iter().map(|id| id.0).collect();
            let asking: Vec<_> = wanted.asking.iter().map(|id| id.0).collect();
            let approvals = approval::find(conn, &ids, &asking).await?;
            found.approvals = approvals.into_iter().map(|approval| (approval.approval_id, approval)).collect();
        }
        if !wanted.asking.is_empty() {
            let roots: Vec<_> = wanted.asking_roots.iter().map(|id| id.0).collect();
            let sponsors: Vec<_> = wanted.asking_sponsors.iter().map(ToString::to_string).collect();
            found.waiting = approval::waiting(conn, &roots, &sponsors, now).await?;
        }
        Ok(found)
    }

    async fn read_decisions(&mut self, conn: &mut Connection, decisions: &[DecisionId]) -> Result<(), Error> {
        let ids: Vec<_> = decisions.iter().map(|id| id.0).collect();
        for event in event::get_all(conn, &ids).await? {
            let leaf = Leaf::parse(&event.leaf_bytes)
                .map_err(|error| Error::internal("a stored leaf cannot be read", error))?;
            if let Some(id) = leaf.policy_decision_id.as_deref().and_then(|id| id.parse().ok()) {
                self.decisions.insert(id, (leaf, leaf_hash(&event.leaf_bytes)));
            }
        }
        for outcome in tool_call::get_all(conn, &ids).await? {
            self.outcomes.entry(outcome.decision_id).or_default().push(outcome);
        }
        Ok(())
    }
}
