//! IssueCredential: starts a root instance, or renews one, and signs its credential. Refuses sponsors and tools that
//! the caller's API key does not cover. Every grant, also of a child, is made here: the clock, the sponsor's rate, the
//! recorder, then the signature. A renewal leaves the earlier credential valid until its end.

use std::collections::BTreeMap;

use countersign_core::{
    clock::{random, uuid_v7},
    credential::sign_credential,
    ids::{CredentialId, EventId, InstanceId},
    names::{AgentName, RoleName, SponsorId, ToolId},
};
use time::OffsetDateTime;

use crate::{
    AgentFacts, App, Error, Idempotency, OperatorCaller, Trace,
    recorder::{Fresh, GrantJob, Granted, Holder},
};

/// For whom, as what, for which tools and why.
#[derive(Debug, Clone)]
pub struct IssueCredential {
    /// Who answers for the run.
    pub sponsor_id: SponsorId,
    /// The kind of agent.
    pub agent: AgentName,
    /// What it acts as; none: the sponsor's one role that may use the tools.
    pub role: Option<RoleName>,
    /// What it may call.
    pub tools: Vec<ToolId>,
    /// Why it runs.
    pub purpose: String,
    /// Seconds; none: the default, or the lower maximum.
    pub ttl_seconds: Option<i64>,
    /// Good for one Decide only.
    pub single_use: bool,
    /// The live root instance to renew; none: a new one.
    pub agent_instance_id: Option<InstanceId>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// The end user for whom it acts; none: nobody, or of a renewal, the one it was started for.
    pub on_behalf_of: Option<String>,
    /// What the instance is.
    pub facts: AgentFacts,
    /// The trace of the request.
    pub trace: Option<Trace>,
}

/// A signed credential.
#[derive(Clone)]
pub struct IssuedCredential {
    /// The token. A secret.
    pub token: String,
    /// Its id.
    pub credential_id: CredentialId,
    /// The run.
    pub agent_instance_id: InstanceId,
    /// Its parent.
    pub parent_agent_id: Option<InstanceId>,
    /// Who answers for it.
    pub sponsor_id: SponsorId,
    /// What it acts as.
    pub role: RoleName,
    /// What it may call.
    pub tools: Vec<ToolId>,
    /// When the token expires.
    pub expire_time: OffsetDateTime,
    /// `exp - iat`, seconds.
    pub ttl_seconds: u32,
    /// Where the custody log holds the grant.
    pub log_index: i64,
}

impl IssuedCredential {
    /// How long it is still good, whole seconds: a kept answer has less than the first one had.
    #[must_use]
    pub fn seconds_left(&self, now: OffsetDateTime) -> i64 {
        (self.expire_time - now).whole_seconds().max(0)
    }
}

impl std::fmt::Debug for IssuedCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedCredential").field("credential_id", &self.credential_id).finish_non_exhaustive()
    }
}

/// Refuses tools that the caller's key is not for.
pub(crate) fn may_grant(caller: &OperatorCaller, tools: &[ToolId]) -> Result<(), Error> {
    for tool in tools {
        caller.within(&format!("it may not grant the tool {tool}"), |scope| scope.has_tool(tool))?;
    }
    Ok(())
}

impl App {
    /// Grants, records and signs a root instance's credential.
    pub async fn issue_credential(
        &self,
        caller: &OperatorCaller,
        command: IssueCredential,
        idempotency: Option<Idempotency>,
    ) -> Result<IssuedCredential, Error> {
        let sponsor = &command.sponsor_id;
        caller.within(&format!("it may not issue for sponsor {sponsor}"), |scope| scope.has_sponsor(sponsor))?;
        may_grant(caller, &command.tools)?;
        let job = GrantJob {
            holder: Holder::Root { sponsor_id: command.sponsor_id, renews: command.agent_instance_id },
            operator_id: Some(caller.operator_id.clone()),
            agent: command.agent,
            role: command.role,
            tools: command.tools,
            purpose: Some(command.purpose),
            ttl: command.ttl_seconds,
            single_use: command.single_use,
            resource: None,
            labels: command.labels,
            on_behalf_of: command.on_behalf_of,
            facts: command.facts,
            trace: command.trace,
            fresh: self.fresh(),
        };
        self.grant(job, "IssueCredential", caller.operator_id.as_str(), idempotency.as_ref()).await
    }

    /// What every grant needs anew.
    pub(crate) fn fresh(&self) -> Fresh {
        let (now, entropy) = (self.inner.engine.clock.now(), &*self.inner.engine.entropy);
        Fresh {
            agent_instance_id: InstanceId(uuid_v7(now, entropy)),
            credential_id: CredentialId(uuid_v7(now, entropy)),
            event_id: EventId(uuid_v7(now, entropy)),
            purpose_salt: random(entropy),
            on_behalf_of_salt: random(entropy),
            now,
        }
    }

    /// Records a grant, then signs it.
    pub(crate) async fn grant(
        &self,
        job: GrantJob,
        method: &'static str,
        caller: &str,
        idempotency: Option<&Idempotency>,
    ) -> Result<IssuedCredential, Error> {
        let sponsor_id = match &job.holder {
            Holder::Root { sponsor_id, .. } => sponsor_id,
            Holder::Child { parent } => &parent.sponsor_id,
        };
        self.inner.engine.clock.trust()?;
        self.inner.authn.rates.grant(sponsor_id)?;
        let keyed = idempotency.map(|idempotency| idempotency.key(caller, method));
        let granted = self.inner.recorder.submit_one(job, keyed).await?;
        self.sign(granted)
    }

    fn sign(&self, granted: Granted) -> Result<IssuedCredential, Error> {
        let Granted { claims, log_index, key, .. } = granted;
        let key = key.unwrap_or_else(|| self.snapshot().keys.active.clone());
        let token =
            sign_credential(&claims, &key).map_err(|error| Error::internal("a credential cannot be signed", error))?;
        self.inner.authn.grants.note(claims.clone());
        Ok(IssuedCredential {
            token,
            credential_id: claims.jti,
            agent_instance_id: claims.agent_instance_id,
            parent_agent_id: claims.parent_agent_id,
            expire_time: claims.expire_time(),
            ttl_seconds: claims.ttl_seconds,
            sponsor_id: claims.sponsor_id,
            role: claims.role,
            tools: claims.tools,
            log_index,
        })
    }
}
