//! Delegation: a child is never wider than its parent. One rule for each attribute of a credential (sponsor, role,
//! inherited roles, tools, lifetime, depth, purpose, labels, audience, single use), and one function that checks all.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::join;
use crate::{
    names::{RoleName, SponsorId, ToolId},
    violation::Violation,
};

/// The rights of a credential, as they are compared between child and parent.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The sponsor.
    pub sponsor_id: &'a SponsorId,
    /// The role.
    pub role: &'a RoleName,
    /// The inherited roles, those of its ancestors.
    pub inherited_roles: &'a [RoleName],
    /// The tools that it may call.
    pub tools: &'a [ToolId],
    /// Its remaining lifetime in seconds, counted as a TTL of a credential issued now.
    pub ttl: i64,
    /// Distance from the root.
    pub depth: u32,
    /// The purpose of the run.
    pub purpose: &'a str,
    /// The chain's labels, which rules and rollouts read.
    pub labels: &'a BTreeMap<String, String>,
    /// The audience.
    pub audience: &'a str,
    /// Valid for one Decide only.
    pub single_use: bool,
}

/// A delegation, and its limits besides the parent.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The credential that delegates.
    pub parent: Terms<'a>,
    /// The credential that would be granted.
    pub child: Terms<'a>,
    /// The other roles to which the policy lets the parent's role delegate.
    pub may_delegate_to: &'a [RoleName],
    /// The deepest chain that the sponsor permits.
    pub max_depth: u32,
}

/// One attribute of a credential, and the rule that keeps a child's value within its parent's.
pub struct Attribute {
    /// The attribute's name.
    pub name: &'static str,
    rule: fn(&Step<'_>, &mut Vec<Violation>),
}

/// Every attribute in which a child could be wider.
pub const ATTRIBUTES: [Attribute; 10] = [
    Attribute { name: "sponsor", rule: sponsor },
    Attribute { name: "role", rule: role },
    Attribute { name: "inherited roles", rule: inherited_roles },
    Attribute { name: "tools", rule: tools },
    Attribute { name: "ttl", rule: ttl },
    Attribute { name: "depth", rule: depth },
    Attribute { name: "purpose", rule: purpose },
    Attribute { name: "labels", rule: labels },
    Attribute { name: "audience", rule: audience },
    Attribute { name: "single use", rule: single_use },
];

/// Returns an error with every attribute in which the child is wider than its parent.
pub fn check_child(step: &Step<'_>) -> Result<(), Vec<Violation>> {
    by(ATTRIBUTES.iter(), step)
}

fn by<'r>(rules: impl Iterator<Item = &'r Attribute>, step: &Step<'_>) -> Result<(), Vec<Violation>> {
    let mut violations = Vec::new();
    for attribute in rules {
        (attribute.rule)(step, &mut violations);
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// Whether a purpose equals the run's purpose, or extends it.
#[must_use]
pub fn narrows(purpose: &str, of: &str) -> bool {
    purpose.strip_prefix(of).is_some_and(|rest| rest.is_empty() || !rest.starts_with(char::is_alphanumeric))
}

fn sponsor(step: &Step<'_>, violations: &mut Vec<Violation>) {
    if step.child.sponsor_id != step.parent.sponsor_id {
        let why = format!("sponsor {} answers for the whole chain", step.parent.sponsor_id);
        violations.push(Violation::new("sponsor_id", why));
    }
}

fn role(step: &Step<'_>, violations: &mut Vec<Violation>) {
    let (own, wanted) = (step.parent.role, step.child.role);
    if wanted == own || step.may_delegate_to.contains(wanted) {
        return;
    }
    let others = if step.may_delegate_to.is_empty() {
        "no other role".to_owned()
    } else {
        format!("no other role than {}", join(step.may_delegate_to))
    };
    let why = format!(
        "the parent acts as {own}, and the active policy lets that role delegate to {others} (may_delegate_to): leave role \
         out, or ask a policy-admin"
    );
    violations.push(Violation::new("role", why));
}

fn inherited_roles(step: &Step<'_>, violations: &mut Vec<Violation>) {
    let binding = step.parent.inherited_roles.iter().chain([step.parent.role]);
    for lost in binding.filter(|role| *role != step.child.role && !step.child.inherited_roles.contains(role)) {
        violations.push(Violation::new("role", format!("{lost} binds the parent, and so every child of it")));
    }
}

fn tools(step: &Step<'_>, violations: &mut Vec<Violation>) {
    for (i, tool) in step.child.tools.iter().enumerate().filter(|(_, tool)| !step.parent.tools.contains(tool)) {
        let why = format!("{tool} is not among the parent's tools: {}", join(step.parent.tools));
        violations.push(Violation::new(format!("tools[{i}]"), why));
    }
}

fn ttl(step: &Step<'_>, violations: &mut Vec<Violation>) {
    let (left, wanted) = (step.parent.ttl, step.child.ttl);
    if wanted > left {
        let why = format!("must be at most {left} s (what is left of the parent's credential), is {wanted} s");
        violations.push(Violation::new("ttl", why));
    }
}

fn depth(step: &Step<'_>, violations: &mut Vec<Violation>) {
    let (parent, most) = (step.parent.depth, step.max_depth);
    if step.child.depth != parent.saturating_add(1) {
        violations.push(Violation::new("parent_token", "a child is one step below its parent"));
    } else if parent >= most {
        let why = format!(
            "the parent is at depth {parent} and the sponsor allows {most} at most: it cannot delegate further"
        );
        violations.push(Violation::new("parent_token", why));
    }
}

fn purpose(step: &Step<'_>, violations: &mut Vec<Violation>) {
    if !narrows(step.child.purpose, step.parent.purpose) {
        violations.push(Violation::new("purpose", "must be the parent's purpose, or begin with it and narrow it"));
    }
}

fn labels(step: &Step<'_>, violations: &mut Vec<Violation>) {
    if step.child.labels != step.parent.labels {
        violations.push(Violation::new("labels", "are the parent's: a child cannot set its own"));
    }
}

fn audience(step: &Step<'_>, violations: &mut Vec<Violation>) {
    if step.child.audience != step.parent.audience {
        violations.push(Violation::new("audience", "is the parent's: a child cannot have another audience"));
    }
}

fn single_use(step: &Step<'_>, violations: &mut Vec<Violation>) {
    if step.parent.single_use {
        let why = "a single-use credential is good for one Decide and cannot delegate";
        violations.push(Violation::new("parent_token", why));
    }
}
