//! What several tests of policies ask about.

use std::collections::BTreeMap;

use countersign_policy::{Principal, PrincipalSpec};

/// A root of the role `r`.
pub(crate) fn root() -> Principal {
    Principal::new(&PrincipalSpec {
        agent_instance_id: "i",
        root_instance_id: "i",
        sponsor_id: "alice",
        agent: "bot",
        role: "r",
        inherited_roles: &[],
        depth: 0,
        purpose: "p",
        tools: &[],
        labels: &BTreeMap::new(),
    })
}
