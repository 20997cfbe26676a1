//! A call that is about to happen, as it is decided on: everything that can be known before the snapshot is.

use std::sync::Arc;

use countersign_core::{
    approval::Private,
    decision::Reason,
    ids::{ApprovalId, DecisionId},
    names::{ActionName, OperatorId, ToolId},
};
use countersign_ledger::commitment::Opening;
use countersign_policy::Context;
use time::OffsetDateTime;

use crate::{Credential, EntityCall, Trace};

/// Who wants to call.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// A run that is known by its credential, dead or alive.
    Run(Arc<Credential>),
    /// Somebody who is no run, and what they want to act on.
    Entity(Arc<EntityCall>),
    /// Whoever brought a token that says nothing which can be believed.
    Unattributed(Reason),
}

/// One call, as asked.
#[derive(Debug)]
pub(crate) struct DecisionRequest {
    pub(crate) decision_id: DecisionId,
    pub(crate) now: OffsetDateTime,
    pub(crate) subject: Subject,
    /// The operator who asks for the run; none where it asks itself.
    pub(crate) operator_id: Option<OperatorId>,
    pub(crate) tool_id: ToolId,
    pub(crate) action: ActionName,
    /// Narrower than the run's, where stated.
    pub(crate) purpose: Option<String>,
    /// What the leaf commits to: the purpose of the call and its salt.
    pub(crate) purpose_opening: Option<Opening>,
    pub(crate) request_hash: Option<[u8; 32]>,
    pub(crate) context: Context,
    pub(crate) approval_id: Option<ApprovalId>,
    /// The arguments, for a person to see who is asked about the call.
    pub(crate) arguments: Option<Private>,
    /// Why the door refuses the call whatever a policy says.
    pub(crate) refused: Option<Reason>,
    pub(crate) cached_from: Option<DecisionId>,
    /// Who is known to have sent this call without a sponsor; none: it has one, or nobody knows who sent it.
    pub(crate) without_sponsor: Option<Arc<str>>,
    pub(crate) trace: Option<Trace>,
}
