//! The question that is decided: everything about a call that can be known before the snapshot is.

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

/// The subject of the call.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// A run that is known by its credential, active or not.
    Run(Arc<Credential>),
    /// A subject that is not a run, and what it wants to act on.
    Entity(Arc<EntityCall>),
    /// A caller with a token whose content cannot be trusted.
    Unattributed(Reason),
}

/// One call, as asked.
#[derive(Debug)]
pub(crate) struct DecisionRequest {
    pub(crate) decision_id: DecisionId,
    pub(crate) now: OffsetDateTime,
    pub(crate) subject: Subject,
    /// The operator who asks for the run. `None` if the run asks itself.
    pub(crate) operator_id: Option<OperatorId>,
    pub(crate) tool_id: ToolId,
    pub(crate) action: ActionName,
    /// The purpose, if it is narrower than the run's.
    pub(crate) purpose: Option<String>,
    /// The opening of the leaf's commitment: the purpose of the call and its salt.
    pub(crate) purpose_opening: Option<Opening>,
    pub(crate) request_hash: Option<[u8; 32]>,
    pub(crate) context: Context,
    pub(crate) approval_id: Option<ApprovalId>,
    /// The arguments, for the person who is asked about the call.
    pub(crate) arguments: Option<Private>,
    /// Why the endpoint refuses the call, whatever a policy says.
    pub(crate) refused: Option<Reason>,
    pub(crate) cached_from: Option<DecisionId>,
    /// The caller that sent this call without a sponsor. `None` if the call has one, or the sender is unknown.
    pub(crate) without_sponsor: Option<Arc<str>>,
    pub(crate) trace: Option<Trace>,
}
