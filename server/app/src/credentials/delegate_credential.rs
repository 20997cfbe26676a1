//! DelegateCredential: starts a child of a live instance. A run delegates only for itself, and an operator's key must
//! cover the tools. That the child is never wider than its parent is checked in `recorder/validate_grant.rs`.

use std::collections::BTreeMap;

use countersign_core::names::{AgentName, RoleName, ToolId};

use super::issue_credential::may_grant;
use crate::{
    AgentFacts, App, Caller, Error, Idempotency, IssuedCredential, Trace,
    recorder::{GrantJob, Holder},
};

/// The child to start.
#[derive(Debug, Clone)]
pub struct DelegateCredential {
    /// The parent's live credential. `None` for the one with which the caller authenticated.
    pub parent_token: Option<String>,
    /// The kind of agent.
    pub agent: AgentName,
    /// Its role. `None` for the parent's.
    pub role: Option<RoleName>,
    /// The tools that it may call; empty for the parent's.
    pub tools: Vec<ToolId>,
    /// Its purpose. `None` for the parent's.
    pub purpose: Option<String>,
    /// Lifetime in seconds. `None` for the longest one that fits, up to the default.
    pub ttl_seconds: Option<i64>,
    /// Valid for one Decide only.
    pub single_use: bool,
    /// The only tool that the credential is for. `None` for the installation.
    pub resource: Option<ToolId>,
    /// The version, model and platform of the child.
    pub facts: AgentFacts,
    /// The trace of the request.
    pub trace: Option<Trace>,
}

impl App {
    /// Grants, records and signs a child's credential. An instance can delegate only for itself.
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
            // The parent's value is used.
            on_behalf_of: None,
            facts: command.facts,
            trace: command.trace,
            fresh: self.fresh(),
        };
        self.grant(job, "DelegateCredential", &caller.id(), idempotency.as_ref()).await
    }
}
