//! Approve and Reject: a person's answer to one call. An operator who asked for the call, or for a credential of the
//! run or of an ancestor, may not approve it (four eyes). A sponsor without a role may answer for their own runs only.

use countersign_core::{
    approval::{Answer, Approval, ApprovalState},
    ids::{ApprovalId, EventId},
};
use countersign_ledger::{
    leaf::{Digest, Kind, Leaf},
    merkle::leaf_hash,
};
use countersign_store::{approval, event, instance};
use serde::{Deserialize, Serialize};

use super::approval_event::{leaf, notice};
use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller, Topic,
    caller::{AccessBasis, Authorized, Own},
    engine::transaction::{Change, ChangeTx, kept_log_index},
    operators::four_eyes::Alone,
};

/// The approval, the answer, and the reason.
#[derive(Debug, Clone)]
pub struct AnswerApproval {
    /// The approval.
    pub approval_id: ApprovalId,
    /// Whether the person approves.
    pub yes: bool,
    /// The reason, in words.
    pub reason: String,
    /// The approval's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

/// An approval that a person answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct ApprovalAnswered {
    /// The approval.
    #[serde(flatten)]
    pub approval: Approval,
    /// The log index of the answer. 0 in an answer that an earlier version stored.
    pub log_index: i64,
}

impl TryFrom<serde_json::Value> for ApprovalAnswered {
    type Error = serde_json::Error;
    fn try_from(kept: serde_json::Value) -> Result<Self, serde_json::Error> {
        let log_index = kept_log_index(&kept);
        Ok(Self { approval: serde_json::from_value(kept)?, log_index })
    }
}

struct AnswerBy<'a> {
    caller: &'a OperatorCaller,
    basis: AccessBasis,
    four_eyes: FourEyes,
    command: &'a AnswerApproval,
}

impl AnswerBy<'_> {
    /// Refuses an approval by the operator who asked for the call, or for a credential of the run or of an ancestor,
    /// because they have its token.
    async fn check_person(&self, tx: &mut ChangeTx, approval: &Approval) -> Result<Alone, Error> {
        if !self.command.yes {
            return Ok(Alone::default());
        }
        let run = approval.call.agent_instance_id;
        let chain: Vec<_> = match instance::get_all(tx.conn(), &[run.0]).await?.pop() {
            Some(stored) => stored.instance.chain.iter().map(|id| id.0).chain([run.0]).collect(),
            None => vec![run.0, approval.root_instance_id.0],
        };
        let mut asked = event::issuers(tx.conn(), &chain).await?;
        asked.extend(approval.asked_by.clone());
        let (actor, asked) = (tx.login(&self.caller.operator_id).await?, tx.logins(&asked).await?);
        Ok(self.four_eyes.hold(approval.check_yes(&actor, &asked))?)
    }
}

impl Change for AnswerBy<'_> {
    // Both verbs share one set of request ids; the fingerprint tells them apart.
    const METHOD: &'static str = "AnswerApproval";
    type Answer = ApprovalAnswered;

    fn stops(&self) -> bool {
        !self.command.yes
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<ApprovalAnswered, Error> {
        let Self { caller, basis, four_eyes: _, command } = self;
        let found = approval::get(tx.conn(), command.approval_id).await?;
        // An operator who may only answer as the sponsor is not told which other approvals exist.
        let own = if command.yes { Own::Answer } else { Own::Stop };
        basis.permits(tx.conn(), caller, found.as_ref().map(|found| &found.call.sponsor_id), own).await?;
        let found = found.ok_or_else(|| Error::not_found("approval", command.approval_id))?;
        if command.etag.as_ref().is_some_and(|etag| *etag != found.etag()) {
            return Err(Error::EtagMismatch { what: "approval" });
        }
        let (operator, now) = (&caller.operator_id, tx.now());
        found.check(tx.earliest())?;
        let alone = self.check_person(tx, &found).await?;
        let (state, kind) = if command.yes {
            (ApprovalState::Approved, Kind::ApprovalApproved)
        } else {
            (ApprovalState::Rejected, Kind::ApprovalRejected)
        };
        let base = tx.leaf(kind, operator);
        let event_id: EventId =
            base.event_id.parse().map_err(|error| Error::internal("an event id is invalid", error))?;
        let base = Leaf {
            changes: alone.changes(),
            decision_ref: Some(Digest(decision_hash(tx, &found).await?)),
            state_after: Some(state.as_str().into()),
            state_before: Some(found.state.as_str().into()),
            ..base
        };
        let (log_index, hash) = tx.append(leaf(&found, base), &command.reason)?;
        let answer = Answer { by: operator.clone(), reason: command.reason.clone(), time: now, event_id, leaf: hash };
        let answered = Approval { state, answer: Some(answer), revision: found.revision + 1, ..found };
        approval::upsert(tx.conn(), [&answered]).await?;
        tx.notify(Topic::ApprovalAnswered, &notice(&answered, log_index))?;
        Ok(ApprovalAnswered { approval: answered, log_index })
    }
}

/// Leaf hash of the decision that required the approval.
async fn decision_hash(tx: &mut ChangeTx, approval: &Approval) -> Result<[u8; 32], Error> {
    let id = approval.policy_decision_id;
    let event = event::get_all(tx.conn(), &[id.0]).await?.pop();
    let event = event.ok_or_else(|| Error::internal("an approval's decision is not in the log", id))?;
    Ok(leaf_hash(&event.leaf_bytes))
}

impl App {
    /// Approves or rejects one call. An approval by itself allows nothing: the call is decided again, and can use the
    /// approval once.
    pub async fn answer_approval(
        &self,
        authorized: &Authorized,
        command: AnswerApproval,
        idempotency: Option<Idempotency>,
    ) -> Result<ApprovalAnswered, Error> {
        let (caller, basis) = authorized.operator()?;
        let change = AnswerBy { caller, basis, four_eyes: self.inner.engine.config.four_eyes, command: &command };
        let done = self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await?;
        if !done.approval.call.context.0.is_empty() {
            return Ok(done);
        }
        let ApprovalAnswered { approval: answered, log_index } = done;
        // A stored answer does not contain texts that are stored in one place only.
        let stored =
            approval::get(&mut *self.inner.engine.store.for_authority().connection().await?, answered.approval_id)
                .await?;
        let approval = match stored {
            Some(Approval { call, arguments, context_salt, .. }) => {
                Approval { call, arguments, context_salt, ..answered }
            }
            None => answered,
        };
        Ok(ApprovalAnswered { approval, log_index })
    }
}
