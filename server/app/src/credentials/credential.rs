//! A valid credential in the server's memory.

use std::ops::Deref;

use countersign_core::credential::Verified;
use countersign_policy::{Principal, PrincipalSpec};

/// A valid credential, with what evaluation needs of it. Made once per token.
///
/// It dereferences to the [`Verified`] that it contains.
#[derive(Debug)]
pub struct Credential {
    verified: Verified,
    /// Whether the token was presented. Otherwise an operator named its instance, and the rest is from the log.
    pub(crate) presented: bool,
    pub(crate) principal: Principal,
}

impl Credential {
    /// The content of a token whose signature and claims are valid.
    pub(crate) fn presented(verified: Verified) -> Self {
        Self::new(verified, true)
    }

    /// The content of a grant in the custody log.
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
