//! A credential that holds, as the server keeps it.

use std::ops::Deref;

use countersign_core::credential::Verified;
use countersign_policy::{Principal, PrincipalSpec};

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
