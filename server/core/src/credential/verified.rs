//! The content of a valid credential: its chain (root, parent, depth), the roles that restrict the run, the tools that
//! it grants, and a digest of the whole content.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use time::OffsetDateTime;

use super::claims::{Claims, instant};
use crate::{
    ids::{CredentialId, InstanceId},
    names::{AgentName, RoleName, SponsorId, ToolId},
};

/// The content of a valid credential. Verification creates one from a token; the server may create one from its
/// records.
///
/// It was true when the credential was issued. Revocation, the sponsor's state and the instance's state are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The credential's id.
    pub credential_id: CredentialId,
    /// The key that signed it.
    pub kid: String,
    /// The sponsor of the run.
    pub sponsor_id: SponsorId,
    /// The holder.
    pub agent_instance_id: InstanceId,
    /// The chain of instances, root first, the holder last.
    pub chain: Vec<InstanceId>,
    /// The kind of agent.
    pub agent: AgentName,
    /// The role of the run.
    pub role: RoleName,
    /// The inherited roles, those of its ancestors, the root's first.
    pub inherited_roles: Vec<RoleName>,
    /// The kind of agent of the chain's root. `None` if it equals `agent`.
    pub root_agent: Option<AgentName>,
    /// The tools that it may call.
    pub tools: Vec<ToolId>,
    /// The purpose of the run.
    pub purpose: String,
    /// Valid for one Decide only.
    pub single_use: bool,
    /// The newest revocation that the issuer had seen: a later entry that matches revokes this credential.
    pub rev: i64,
    /// Leaf hash of the custody event that granted it.
    pub custody_ref: [u8; 32],
    /// The instance's labels.
    pub labels: BTreeMap<String, String>,
    /// The end user for whom the chain acts, who is not the sponsor.
    pub on_behalf_of: Option<String>,
    /// `iat`.
    pub issue_time: OffsetDateTime,
    /// `exp`. Verification accepts it for another [`super::LEEWAY`].
    pub expire_time: OffsetDateTime,
    /// `exp - iat`, seconds.
    pub ttl_seconds: u32,
}

/// Values in sequence, each preceded by its length, so that no two lists of values have the same bytes.
struct Said(Vec<u8>);

impl Said {
    fn one(&mut self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.0.extend_from_slice(&(value.len() as u64).to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn many(&mut self, values: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 8]);
        let mut count = 0_u64;
        for value in values {
            self.one(value);
            count += 1;
        }
        if let Some(place) = self.0.get_mut(start..start + 8) {
            place.copy_from_slice(&count.to_be_bytes());
        }
    }
}

impl Verified {
    /// The content of `claims` that the key `kid` signs. Only for claims that are known to be valid: verified, or built
    /// from the server's record of the grant.
    #[must_use]
    pub fn new(claims: Claims, kid: String) -> Self {
        Self {
            credential_id: claims.jti,
            kid,
            sponsor_id: claims.sponsor_id,
            agent_instance_id: claims.agent_instance_id,
            chain: claims.act.chain(),
            agent: claims.agent,
            role: claims.role,
            inherited_roles: claims.inherited_roles,
            root_agent: claims.root_agent,
            tools: claims.tools,
            purpose: claims.purpose,
            single_use: claims.single_use,
            rev: claims.rev,
            custody_ref: claims.custody_ref.0,
            labels: claims.labels,
            on_behalf_of: claims.on_behalf_of,
            issue_time: instant(claims.iat),
            expire_time: instant(claims.exp),
            ttl_seconds: claims.ttl_seconds,
        }
    }

    /// SHA-256 of its whole content, independent of the key that signed it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let Self {
            credential_id,
            kid: _,
            sponsor_id,
            agent_instance_id: _,
            chain,
            agent,
            role,
            inherited_roles,
            root_agent,
            tools,
            purpose,
            single_use,
            rev,
            custody_ref,
            labels,
            on_behalf_of,
            issue_time,
            expire_time,
            ttl_seconds: _,
        } = self;
        let mut said = Said(Vec::with_capacity(512));
        said.one(credential_id.0.as_bytes());
        said.one(sponsor_id.as_str());
        said.many(chain.iter().map(|id| id.0.as_bytes()));
        said.one(agent.as_str());
        said.one(role.as_str());
        said.many(inherited_roles.iter().map(RoleName::as_str));
        said.many(root_agent.iter().map(AgentName::as_str));
        said.many(tools.iter().map(ToolId::as_str));
        said.one(purpose);
        said.one([u8::from(*single_use)]);
        said.one(rev.to_be_bytes());
        said.one(custody_ref);
        said.many(labels.iter().flat_map(|(key, value)| [key, value]));
        said.many(on_behalf_of);
        said.one(issue_time.unix_timestamp().to_be_bytes());
        said.one(expire_time.unix_timestamp().to_be_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &said.0).as_ref());
        hash
    }

    /// The root of the chain; the holder itself for a root.
    #[must_use]
    pub fn root_instance_id(&self) -> InstanceId {
        self.chain.first().copied().unwrap_or(self.agent_instance_id)
    }

    /// The holder's parent. `None` for a root.
    #[must_use]
    pub fn parent_agent_id(&self) -> Option<InstanceId> {
        self.ancestors().last().copied()
    }

    /// The holder's ancestors, root first; empty for a root.
    #[must_use]
    pub fn ancestors(&self) -> &[InstanceId] {
        self.chain.split_last().map_or(&[], |(_, ancestors)| ancestors)
    }

    /// Distance from the root.
    #[must_use]
    pub fn depth(&self) -> u32 {
        u32::try_from(self.ancestors().len()).unwrap_or(u32::MAX)
    }

    /// The kind of agent of the chain's root.
    #[must_use]
    pub fn agent_of_root(&self) -> &AgentName {
        self.root_agent.as_ref().unwrap_or(&self.agent)
    }

    /// Every role that restricts the run, its own first.
    pub fn roles(&self) -> impl Iterator<Item = &RoleName> {
        [&self.role].into_iter().chain(&self.inherited_roles)
    }

    /// Whether the credential names `tool`.
    #[must_use]
    pub fn grants(&self, tool: &ToolId) -> bool {
        self.tools.contains(tool)
    }
}
