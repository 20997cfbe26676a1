//! The claims of a credential, built from the server's record of the grant: `act` (the chain), audience, tools,
//! inherited roles, labels, `on_behalf_of`, and the backdated `iat` and `exp`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

use super::digest::Digest;
use crate::{
    grant::BACKDATE,
    ids::{CredentialId, InstanceId},
    names::{AgentName, RoleName, SponsorId, ToolId},
};

/// The actor (RFC 8693): the holder, and nested in it the parents up to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// An instance.
    pub sub: InstanceId,
    /// Its parent. Left out for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Self>>,
}

impl Act {
    /// The nested actors of `instance`, with `ancestors` in the order root first.
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

/// The audience of a token. Written as one string; read from one string or an array of exactly one.
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
    /// Its audience.
    pub aud: Audience,
    /// When it expires, seconds since the epoch.
    pub exp: i64,
    /// When it was issued, minus [`BACKDATE`], in seconds since the epoch.
    pub iat: i64,
    /// Its id.
    pub jti: CredentialId,
    /// The kind of agent (RFC 9068); the same value as `agent`.
    pub client_id: AgentName,
    /// The root instance, the same in the whole chain. Never the sponsor: a reader who overlooks `act` must not mistake
    /// an agent for a human.
    pub sub: InstanceId,
    /// The holder and its parents.
    pub act: Act,
    /// The sponsor of the run.
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
    /// The role of the run.
    pub role: RoleName,
    /// The inherited roles, those of its ancestors, the root's first: a call is allowed only if it is allowed for every
    /// role. Left out if there are none.
    #[serde(default, deserialize_with = "some_roles", skip_serializing_if = "Vec::is_empty")]
    pub inherited_roles: Vec<RoleName>,
    /// The kind of agent of the chain's root, which decides the side in rollouts whose sticky key is AGENT, so that no
    /// run can choose its side through the agent to which it delegates. Left out if it equals `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_agent: Option<AgentName>,
    /// The tools that it may call.
    pub tools: Vec<ToolId>,
    /// The purpose of the run.
    pub purpose: String,
    /// Distance from the root.
    pub depth: u32,
    /// Valid for one Decide only.
    pub single_use: bool,
    /// The newest revocation that the issuer had seen: only later entries can revoke this credential.
    pub rev: i64,
    /// Leaf hash of the custody event that granted it; decisions on this credential refer to it.
    pub custody_ref: Digest,
    /// The instance's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The end user for whom the chain acts, who is not the sponsor. Left out if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

/// The input for a credential; every value comes from the server's records.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// The installation.
    pub issuer: &'a str,
    /// The audience.
    pub audience: &'a str,
    /// Its id.
    pub credential_id: CredentialId,
    /// The holder's ancestors, root first; empty for a root.
    pub ancestors: &'a [InstanceId],
    /// The holder.
    pub agent_instance_id: InstanceId,
    /// The sponsor.
    pub sponsor_id: SponsorId,
    /// The kind of agent.
    pub agent: AgentName,
    /// The role.
    pub role: RoleName,
    /// The inherited roles.
    pub inherited_roles: Vec<RoleName>,
    /// The kind of agent of the root. `None` if it equals `agent`.
    pub root_agent: Option<AgentName>,
    /// The tools that it may call.
    pub tools: Vec<ToolId>,
    /// The purpose of the run.
    pub purpose: String,
    /// Valid for one Decide only.
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
    /// The current time.
    pub now: OffsetDateTime,
}

impl Claims {
    /// The claims of `grant`, consistent with each other.
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

/// The instant of a time claim. A value outside the calendar, which no token of ours has, counts as the epoch, and so
/// as expired.
pub(super) fn instant(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Reads an optional claim whose key is required: with `deserialize_with`, serde no longer reads a missing key as
/// `None`.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<InstanceId>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads a list with at least one role: a token without inherited roles leaves the claim out, and never has an empty
/// list.
fn some_roles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RoleName>, D::Error> {
    let roles = Vec::deserialize(deserializer)?;
    if roles.is_empty() { Err(serde::de::Error::invalid_length(0, &"at least one role")) } else { Ok(roles) }
}
