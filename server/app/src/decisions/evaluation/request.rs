//! A call that is about to happen, as it is decided on: everything that can be known before the snapshot is.

use std::{ops::Deref, sync::Arc};

use countersign_core::{
    approval::Private,
    credential::Verified,
    decision::Reason,
    ids::{ApprovalId, DecisionId},
    names::{ActionName, OperatorId, ToolId},
};
use countersign_ledger::commitment::Opening;
use countersign_policy::{Context, Principal, PrincipalSpec};
use time::OffsetDateTime;

use crate::{EntityCall, Trace};

/// A credential that holds, with what evaluation needs of it. Made once for each token.
///
/// It reads as the [`Verified`] that it holds.
#[derive(Debug)]
pub struct Credential {
    verified: Verified,
    /// Whether somebody showed the token. Otherwise an operator named its instance, and the log said the rest.
    pub(crate) presented: bool,
    pub(crate) principal: Principal,
}

impl Credential {
    /// What a token says whose signature and claims hold.
    pub(crate) fn presented(verified: Verified) -> Self {
        Self::new(verified, true)
    }

    /// What the custody log says was granted.
    pub(crate) fn recorded(verified: Verified) -> Self {
        Self::new(verified, false)
    }

    fn new(verified: Verified, presented: bool) -> Self {
        let principal = Principal::new(&PrincipalSpec {
            agent_instance_id: &verified.agent_instance_id.to_string(),
            root_instance_id: &verified.root_instance_id().to_string(),
            sponsor_id: verified.sponsor_id.as_str(),
            agent: verified.agent.as_str(),
            role: verified.role.as_str(),
            inherited_roles: &verified.inherited_roles,
            depth: verified.depth(),
            purpose: &verified.purpose,
            tools: &verified.tools,
            labels: &verified.labels,
        });
        Self { verified, presented, principal }
    }
}

impl Deref for Credential {
    type Target = Verified;
    fn deref(&self) -> &Verified {
        &self.verified
    }
}

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
pub(crate) struct Question {
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
