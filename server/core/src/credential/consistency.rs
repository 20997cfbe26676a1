//! Checks that the claims of one token are consistent: chain and depth, lifetime, tools, roles, purpose and labels; in
//! a receipt, the ids of decision and tool. Used before signing and after verifying.

use std::collections::HashSet;

use super::{Act, Claims, MAX_RECEIPT_TTL, ReceiptClaims};
use crate::{
    grant::{HARD_MAX_TTL, MAX_TOOLS, MIN_TTL},
    ids::InstanceId,
    sponsor::MAX_DEPTH_CEILING,
    text,
};

/// Checks a credential's claims; the error says which rule is violated.
pub(super) fn credential(claims: &Claims) -> Result<(), &'static str> {
    let depth = chain(&claims.act, claims.sub, claims.agent_instance_id, claims.parent_agent_id)?;
    if u32::try_from(depth) != Ok(claims.depth) {
        return Err("depth is not the number of parents in act");
    }
    if lifetime(claims.iat, claims.exp, HARD_MAX_TTL)? != i64::from(claims.ttl_seconds) {
        return Err("ttl_seconds is not exp - iat");
    }
    if claims.client_id != claims.agent {
        return Err("client_id is not agent");
    }
    if !(1..=MAX_TOOLS).contains(&claims.tools.len()) {
        return Err("tools must be 1 to 32");
    }
    if claims.tools.iter().collect::<HashSet<_>>().len() != claims.tools.len() {
        return Err("a tool is named twice");
    }
    check_roles(claims, depth)?;
    if claims.root_agent.as_ref().is_some_and(|agent| depth == 0 || *agent == claims.agent) {
        return Err("root_agent is there, and is agent or that of a root");
    }
    if text::check("purpose", &claims.purpose, text::MAX_TEXT).is_err() {
        return Err("purpose must be 1 to 512 bytes without control characters");
    }
    let on_behalf_of = claims.on_behalf_of.as_deref();
    if on_behalf_of.is_some_and(|text| text::check("on_behalf_of", text, text::MAX_ON_BEHALF_OF).is_err()) {
        return Err("on_behalf_of must be 1 to 256 bytes without control characters");
    }
    if !text::check_labels(&claims.labels).is_empty() {
        return Err("labels must be at most 16 names with values up to 128 bytes");
    }
    if claims.rev < 0 {
        return Err("rev must not be negative");
    }
    Ok(())
}

/// Checks the inherited roles of a run: each must come from an ancestor.
fn check_roles(claims: &Claims, depth: usize) -> Result<(), &'static str> {
    let inherited: HashSet<_> = claims.inherited_roles.iter().collect();
    if inherited.contains(&claims.role) || inherited.len() != claims.inherited_roles.len() {
        return Err("a role is named twice");
    }
    if inherited.len() > depth {
        return Err("more roles are inherited than there are parents in act");
    }
    Ok(())
}

/// Checks a receipt's claims; the error says which rule is violated.
pub(super) fn receipt(claims: &ReceiptClaims) -> Result<(), &'static str> {
    chain(&claims.act, claims.sub, claims.agent_instance_id, claims.parent_agent_id)?;
    lifetime(claims.iat, claims.exp, MAX_RECEIPT_TTL)?;
    if claims.jti != claims.policy_decision_id {
        return Err("jti is not policy_decision_id");
    }
    if claims.aud.0 != claims.tool_id.as_str() {
        return Err("aud is not tool_id");
    }
    Ok(())
}

/// Checks the chain and returns the holder's depth.
fn chain(act: &Act, sub: InstanceId, holder: InstanceId, parent: Option<InstanceId>) -> Result<usize, &'static str> {
    let chain = act.chain();
    let depth = chain.len() - 1;
    if depth > MAX_DEPTH_CEILING as usize {
        return Err("act is nested more than 8 deep");
    }
    if chain.iter().collect::<HashSet<_>>().len() != chain.len() {
        return Err("an instance occurs twice in act");
    }
    if act.sub != holder {
        return Err("agent_instance_id is not act.sub");
    }
    if act.act.as_ref().map(|act| act.sub) != parent {
        return Err("parent_agent_id is not act.act.sub");
    }
    if chain[0] != sub {
        return Err("sub is not the root of act");
    }
    Ok(depth)
}

/// Checks and returns `exp - iat`.
fn lifetime(iat: i64, exp: i64, longest: u32) -> Result<i64, &'static str> {
    match exp.checked_sub(iat) {
        Some(ttl) if iat >= 0 && (i64::from(MIN_TTL)..=i64::from(longest)).contains(&ttl) => Ok(ttl),
        _ => Err("exp - iat is not a lifetime of this kind of token"),
    }
}
