//! DelegateCredential: starts a child of a live instance, never wider than it.

use std::collections::BTreeMap;

use countersign_core::names::{AgentName, RoleName, ToolId};

use super::issue_credential::may_grant;
use crate::{
    AgentFacts, App, Caller, Error, Idempotency, IssuedCredential, Trace,
    recorder::{GrantJob, Holder},
};

/// What the child is.
#[derive(Debug, Clone)]
pub struct DelegateCredential {
    /// The parent's live credential; none: the one the caller authenticated with.
    pub parent_token: Option<String>,
    /// The kind of agent.
    pub agent: AgentName,
    /// What it acts as; none: as its parent.
    pub role: Option<RoleName>,
    /// What it may call; empty: what its parent may.
    pub tools: Vec<ToolId>,
    /// Why; none: as its parent.
    pub purpose: Option<String>,
    /// Seconds; none: the longest that fits, up to the default.
    pub ttl_seconds: Option<i64>,
    /// Good for one Decide only.
    pub single_use: bool,
    /// The one tool that the credential is for; none: the installation.
    pub resource: Option<ToolId>,
    /// What the child is.
    pub facts: AgentFacts,
    /// The trace of the request.
    pub trace: Option<Trace>,
}

impl App {
    /// Grants, records and signs a child's credential. An instance delegates for itself only.
    pub async fn delegate_credential(
        &self,
        caller: &Caller,
        command: DelegateCredential,
        idempotency: Option<Idempotency>,
    ) -> Result<IssuedCredential, Error> {
        let parent = self.holder(caller, command.parent_token.as_deref(), "parent_token").await?;
        if let Caller::Operator(operator) = caller {
            may_grant(operator, if command.tools.is_empty() { &parent.tools } else { &command.tools })?;
        }
        let job = GrantJob {
            holder: Holder::Child { parent },
            operator_id: caller.operator().map(|operator| operator.operator_id.clone()),
            agent: command.agent,
            role: command.role,
            tools: command.tools,
            purpose: command.purpose,
            ttl: command.ttl_seconds,
            single_use: command.single_use,
            resource: command.resource,
            labels: BTreeMap::new(),
            // The parent's.
            on_behalf_of: None,
            facts: command.facts,
            trace: command.trace,
            fresh: self.fresh(),
        };
        self.grant(job, "DelegateCredential", &caller.id(), idempotency.as_ref()).await
    }
}
