//! The claims of credentials and receipts, built from the server's records.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

use super::digest::Digest;
use crate::{
    grant::BACKDATE,
    ids::{CredentialId, InstanceId},
    names::{AgentName, RoleName, SponsorId, ToolId},
};

/// Who acts (RFC 8693): the holder, and inside it the parents up to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// An instance.
    pub sub: InstanceId,
    /// Its parent; absent for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Self>>,
}

impl Act {
    /// The nested actors of `instance`, whose `ancestors` stand root first.
    #[must_use]
    pub fn new(ancestors: &[InstanceId], instance: InstanceId) -> Self {
        let parent = ancestors.split_last().map(|(parent, rest)| Box::new(Self::new(rest, *parent)));
        Self { sub: instance, act: parent }
    }

    /// The chain of instances, root first, the holder last.
    #[must_use]
    pub fn chain(&self) -> Vec<InstanceId> {
        let mut chain: Vec<_> =
            std::iter::successors(Some(self), |act| act.act.as_deref()).map(|act| act.sub).collect();
        chain.reverse();
        chain
    }
}

/// Whom a token is for. Written as one string; read from one string or an array of exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Audience(pub String);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Array([String; 1]),
        }
        Form::deserialize(deserializer).map(|form| match form {
            Form::One(audience) | Form::Array([audience]) => Self(audience),
        })
    }
}

/// The claims of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The installation that issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: Audience,
    /// When it expires, seconds since the epoch.
    pub exp: i64,
    /// When it was issued, set back by [`BACKDATE`], seconds since the epoch.
    pub iat: i64,
    /// Its id.
    pub jti: CredentialId,
    /// The kind of agent (RFC 9068); the same as `agent`.
    pub client_id: AgentName,
    /// The root instance, the same down the whole chain. Never the sponsor: whoever overlooks `act` must not take an
    /// agent for a human.
    pub sub: InstanceId,
    /// The holder and its parents.
    pub act: Act,
    /// Who answers for the run.
    pub sponsor_id: SponsorId,
    /// The holder.
    pub agent_instance_id: InstanceId,
    /// The holder's parent; `null` for a root, never left out.
    #[serde(deserialize_with = "present")]
    pub parent_agent_id: Option<InstanceId>,
    /// `exp - iat`, seconds.
    pub ttl_seconds: u32,
    /// The kind of agent.
    pub agent: AgentName,
    /// What the run acts as.
    pub role: RoleName,
    /// The roles that bind the run beside its own, those of its ancestors, the root's first: it is allowed only what every
    /// one of them is. Absent where there is none.
    #[serde(default, deserialize_with = "some_roles", skip_serializing_if = "Vec::is_empty")]
    pub inherited_roles: Vec<RoleName>,
    /// The kind of agent of the chain's root: rollouts whose sticky key is AGENT go by it, so that no run chooses its side by the
    /// agent that it delegates to. Absent where it is `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_agent: Option<AgentName>,
    /// What it may call.
    pub tools: Vec<ToolId>,
    /// Why it runs.
    pub purpose: String,
    /// Steps below the root.
    pub depth: u32,
    /// Good for one Decide only.
    pub single_use: bool,
    /// The newest revocation that the issuer had seen: what comes later can kill this credential.
    pub rev: i64,
    /// Leaf hash of the custody event that granted it: decisions on it point there.
    pub custody_ref: Digest,
    /// The instance's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The end user for whom the chain acts, who is not the sponsor; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

/// What a credential is made from; every value comes from the server's own records.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// The installation.
    pub issuer: &'a str,
    /// Whom it is for.
    pub audience: &'a str,
    /// Its id.
    pub credential_id: CredentialId,
    /// The holder's ancestors, root first; empty for a root.
    pub ancestors: &'a [InstanceId],
    /// The holder.
    pub agent_instance_id: InstanceId,
    /// Who answers for it.
    pub sponsor_id: SponsorId,
    /// The kind of agent.
    pub agent: AgentName,
    /// What it acts as.
    pub role: RoleName,
    /// The roles that bind it beside its own.
    pub inherited_roles: Vec<RoleName>,
    /// The kind of agent of the root; none where it is `agent`.
    pub root_agent: Option<AgentName>,
    /// What it may call.
    pub tools: Vec<ToolId>,
    /// Why it runs.
    pub purpose: String,
    /// Good for one Decide only.
    pub single_use: bool,
    /// The newest revocation seen.
    pub rev: i64,
    /// Leaf hash of the custody event that grants it.
    pub custody_ref: [u8; 32],
    /// The instance's labels.
    pub labels: BTreeMap<String, String>,
    /// The end user for whom the chain acts.
    pub on_behalf_of: Option<String>,
    /// `exp - iat` in seconds, as [`crate::grant::check`] returned it.
    pub ttl_seconds: u32,
    /// Now.
    pub now: OffsetDateTime,
}

impl Claims {
    /// The claims of `grant`, consistent among themselves.
    #[must_use]
    pub fn new(grant: Grant<'_>) -> Self {
        let (iat, exp) = lifetime(grant.now, grant.ttl_seconds);
        Self {
            iss: grant.issuer.to_owned(),
            aud: Audience(grant.audience.to_owned()),
            exp,
            iat,
            jti: grant.credential_id,
            client_id: grant.agent.clone(),
            sub: grant.ancestors.first().copied().unwrap_or(grant.agent_instance_id),
            act: Act::new(grant.ancestors, grant.agent_instance_id),
            sponsor_id: grant.sponsor_id,
            agent_instance_id: grant.agent_instance_id,
            parent_agent_id: grant.ancestors.last().copied(),
            ttl_seconds: grant.ttl_seconds,
            agent: grant.agent,
            role: grant.role,
            inherited_roles: grant.inherited_roles,
            root_agent: grant.root_agent,
            tools: grant.tools,
            purpose: grant.purpose,
            depth: u32::try_from(grant.ancestors.len()).unwrap_or(u32::MAX),
            single_use: grant.single_use,
            rev: grant.rev,
            custody_ref: Digest(grant.custody_ref),
            labels: grant.labels,
            on_behalf_of: grant.on_behalf_of,
        }
    }

    /// When the credential expires.
    #[must_use]
    pub fn expire_time(&self) -> OffsetDateTime {
        instant(self.exp)
    }
}

/// `iat` and `exp` of a token issued `now` for `ttl` seconds.
pub(super) fn lifetime(now: OffsetDateTime, ttl: u32) -> (i64, i64) {
    let iat = now.unix_timestamp() - i64::from(BACKDATE);
    (iat, iat + i64::from(ttl))
}

/// The instant of a time claim. What lies outside the calendar, which no token of ours does, counts as the epoch: long
/// expired.
pub(super) fn instant(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Reads an optional claim whose key must be there: with `deserialize_with`, serde no longer takes absence for `None`.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<InstanceId>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads roles of which there must be one at least: what has none is left out, never empty.
fn some_roles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RoleName>, D::Error> {
    let roles = Vec::deserialize(deserializer)?;
    if roles.is_empty() { Err(serde::de::Error::invalid_length(0, &"at least one role")) } else { Ok(roles) }
}
