//! Whether a grant fits: its role (by default the sponsor's one role that may use the tools), tools, TTL, purpose and
//! labels; that a child is not wider than its parent, and a renewal is like its instance; and the room that its sponsor
//! and its chain have (ceilings on live instances).

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::{
    Violation,
    credential::Verified,
    decision::Effect,
    grant::{self, BACKDATE, Limits, RoleLimits, Step, Terms, Wanted},
    ids::InstanceId,
    instance::Instance,
    likeness::did_you_mean,
    names::{AgentName, RoleName, ToolId},
    sponsor::Sponsor,
};
use countersign_policy::CompiledPolicy;
use countersign_store::instance::Holding;
use time::OffsetDateTime;

use super::{batch::BatchBuilder, ceilings, job::GrantJob};
use crate::{Config, Error};

/// A grant that fits, before it has a leaf.
pub(super) struct EffectiveGrant {
    pub(super) ancestors: Vec<InstanceId>,
    pub(super) role: RoleName,
    pub(super) inherited_roles: Vec<RoleName>,
    pub(super) root_agent: Option<AgentName>,
    pub(super) tools: Vec<ToolId>,
    pub(super) purpose: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) on_behalf_of: Option<String>,
    pub(super) ttl: u32,
}

impl BatchBuilder<'_> {
    pub(super) fn validate(
        &self,
        job: &GrantJob,
        sponsor: &Sponsor,
        policy: Option<&CompiledPolicy>,
        parent: Option<&Verified>,
        renewed: Option<&Instance>,
    ) -> Result<EffectiveGrant, Error> {
        let tools = match parent {
            Some(parent) if job.tools.is_empty() => &parent.tools,
            _ => &job.tools,
        };
        let role = match (&job.role, parent) {
            (Some(role), _) => role.clone(),
            (None, Some(parent)) => parent.role.clone(),
            (None, None) => the_one_role(sponsor, tools, policy)?,
        };
        let inherited_roles = parent.map(|parent| inherited(parent, &role)).unwrap_or_default();
        let roles: Vec<_> = [&role].into_iter().chain(&inherited_roles).map(|role| of_role(policy, role)).collect();
        let remaining = parent.map(|parent| remaining(parent.expire_time, job.fresh.now));
        let wanted = Wanted { tools, ttl: job.ttl, remaining };
        let (ttl, mut violations) = grant::check(wanted, sponsor, limits(&self.engine.config, &roles));
        if (parent, renewed) == (None, None) {
            violations.extend(self.engine.config.supported_labels.check(&job.labels));
        }
        let purpose = job.purpose.clone().or_else(|| parent.map(|parent| parent.purpose.clone())).unwrap_or_default();
        let labels = match (parent, renewed) {
            (Some(parent), _) if job.labels.is_empty() => &parent.labels,
            (None, Some(renewed)) => &renewed.labels,
            _ => &job.labels,
        };
        // A child acts for whom its parent does, and a renewal for whom the run was started.
        let on_behalf_of = match (parent, renewed) {
            (Some(parent), _) => &parent.on_behalf_of,
            (None, Some(renewed)) => &renewed.on_behalf_of,
            (None, None) => &job.on_behalf_of,
        };
        let effective = EffectiveGrant {
            ancestors: parent.map(|parent| parent.chain.clone()).unwrap_or_default(),
            labels: labels.clone(),
            on_behalf_of: on_behalf_of.clone(),
            tools: tools.clone(),
            role,
            inherited_roles,
            root_agent: parent.map(Verified::agent_of_root).filter(|agent| **agent != job.agent).cloned(),
            purpose,
            ttl,
        };
        if let Some(parent) = parent {
            violations.extend(self.wider(job, sponsor, policy, parent, &effective));
        }
        violations.extend(renewed.into_iter().flat_map(|instance| unlike(instance, job, &effective)));
        if violations.is_empty() { Ok(effective) } else { Err(Error::GrantTooWide(violations)) }
    }

    /// Everything in which a child would be wider than its parent.
    fn wider(
        &self,
        job: &GrantJob,
        sponsor: &Sponsor,
        policy: Option<&CompiledPolicy>,
        parent: &Verified,
        child: &EffectiveGrant,
    ) -> Vec<Violation> {
        // A credential for another audience would not have been taken for the parent's.
        let audience = &self.engine.config.audience;
        let of_parent = Terms {
            sponsor_id: &parent.sponsor_id,
            role: &parent.role,
            inherited_roles: &parent.inherited_roles,
            tools: &parent.tools,
            ttl: remaining(parent.expire_time, job.fresh.now).into(),
            depth: parent.depth(),
            purpose: &parent.purpose,
            labels: &parent.labels,
            audience,
            single_use: parent.single_use,
        };
        let of_child = Terms {
            sponsor_id: &sponsor.sponsor_id,
            role: &child.role,
            inherited_roles: &child.inherited_roles,
            tools: &child.tools,
            ttl: child.ttl.into(),
            depth: u32::try_from(child.ancestors.len()).unwrap_or(u32::MAX),
            purpose: &child.purpose,
            labels: &child.labels,
            audience,
            single_use: job.single_use,
        };
        let spec = policy.and_then(|policy| policy.role(parent.role.as_str()));
        let step = Step {
            parent: of_parent,
            child: of_child,
            may_delegate_to: spec.map_or(&[], |spec| &spec.may_delegate_to),
            max_depth: sponsor.max_depth,
        };
        grant::check_child(&step).err().unwrap_or_default()
    }

    /// Refuses a new instance where its sponsor or its chain has as many live ones as it may, this batch's among them.
    pub(super) fn check_ceiling(&self, job: &GrantJob) -> Result<(), Error> {
        for holding in ceilings::adds_to(job) {
            let Some(ceiling) = self.engine.config.ceilings.of(&holding) else { continue };
            let Some(known) = self.found.live.get(&holding) else { continue };
            let new = self.new_instances().filter(|instance| {
                !self.found.instances.contains_key(&instance.agent_instance_id) && holding.holds(instance)
            });
            let live = known.count + i64::try_from(new.count()).unwrap_or(i64::MAX);
            if live >= ceiling {
                return Err(full(&holding, live, ceiling, known.next_expiry, job.fresh.now));
            }
        }
        Ok(())
    }
}

/// Room comes back when an instance ends or expires; a count is renewed once a second.
fn full(holding: &Holding, live: i64, ceiling: i64, next_expiry: Option<OffsetDateTime>, now: OffsetDateTime) -> Error {
    let (of, id) = match holding {
        Holding::Sponsor(id) => ("sponsor", id.to_string()),
        Holding::Chain(root) => ("chain", root.to_string()),
    };
    let left = next_expiry.map_or(time::Duration::ZERO, |at| at - now);
    let retry_after = std::time::Duration::try_from(left).unwrap_or_default().max(std::time::Duration::from_secs(1));
    Error::LiveInstancesExceeded { of, id, live, ceiling, retry_after }
}

/// Refuses a tool that the policy speaks of nowhere: no role can be meant that may use it.
fn unknown_tool(nth: usize, tool: &ToolId, policy: Option<&CompiledPolicy>) -> Result<(), Error> {
    let Some(policy) = policy else { return Ok(()) };
    // A rule without a tool is about every tool.
    let any = !policy.lists_tools() && policy.rules().iter().any(|rule| rule.tool.is_none());
    if any || policy.tool_names().any(|name| name == tool.as_str()) {
        return Ok(());
    }
    let named: Vec<_> = policy.tool_names().collect::<BTreeSet<_>>().into_iter().collect();
    let meant = did_you_mean(tool.as_str(), named.iter().copied());
    let why = format!("{tool} is no tool that the active policy knows; it knows {}{meant}", grant::join(&named));
    Err(Error::Invalid(vec![Violation::new(format!("tools[{nth}]"), why)]))
}

/// What bounds a grant for these roles.
pub(crate) const fn limits<'a>(config: &'a Config, roles: &'a [RoleLimits<'a>]) -> Limits<'a> {
    Limits {
        default_ttl: config.default_ttl,
        max_ttl: config.max_ttl,
        supported_tools: config.supported_tools.as_slice(),
        roles,
    }
}

/// What the policy that bounds grants says of a role; where there is none, nothing.
pub(crate) fn of_role<'a>(policy: Option<&'a CompiledPolicy>, role: &'a RoleName) -> RoleLimits<'a> {
    let spec = policy.and_then(|policy| policy.role(role.as_str()));
    RoleLimits {
        role,
        unknown: spec.is_none() && policy.is_some_and(CompiledPolicy::lists_roles),
        tools: spec.map_or(&[], |spec| &spec.tools),
        max_ttl: spec.and_then(|spec| spec.max_ttl_seconds),
    }
}

/// The roles that bind a child that acts as `role`, beside that: all that bind its parent.
fn inherited(parent: &Verified, role: &RoleName) -> Vec<RoleName> {
    let all = parent.inherited_roles.iter().chain([&parent.role]);
    all.filter(|inherited| *inherited != role).cloned().collect()
}

/// Seconds a credential that is issued now may live so as to end with its parent's.
fn remaining(expire_time: OffsetDateTime, now: OffsetDateTime) -> u32 {
    let left = expire_time.unix_timestamp() - now.unix_timestamp() + i64::from(BACKDATE);
    u32::try_from(left).unwrap_or(0)
}

/// How a renewal differs from the instance that it renews.
fn unlike(instance: &Instance, job: &GrantJob, effective: &EffectiveGrant) -> Vec<Violation> {
    let EffectiveGrant { role, tools, purpose, .. } = effective;
    let mut violations = Vec::new();
    if instance.agent != job.agent {
        violations.push(Violation::new("agent", format!("the instance was started as {}", instance.agent)));
    }
    if instance.role != *role {
        violations.push(Violation::new("role", format!("the instance was started as {}", instance.role)));
    }
    if instance.purpose != *purpose {
        violations.push(Violation::new("purpose", "must be the purpose that the instance was started for"));
    }
    if job.on_behalf_of.is_some() && job.on_behalf_of != instance.on_behalf_of {
        let message = "must be whom the instance was started for, or be left out";
        violations.push(Violation::new("on_behalf_of", message));
    }
    if !job.labels.is_empty() && job.labels != instance.labels {
        violations.push(Violation::new("labels", "must be those that the instance was started with, or be left out"));
    }
    for (i, tool) in tools.iter().enumerate().filter(|(_, tool)| !instance.tools.contains(tool)) {
        violations.push(Violation::new(format!("tools[{i}]"), format!("{tool} is not among the instance's tools")));
    }
    violations
}

/// The sponsor's one role that may use all the tools: by the policy's role table, and by some rule that can allow it. Where
/// no policy bounds grants, every role may.
fn the_one_role(sponsor: &Sponsor, tools: &[ToolId], policy: Option<&CompiledPolicy>) -> Result<RoleName, Error> {
    let in_table = |role: &RoleName, tool: &ToolId| {
        let RoleLimits { unknown, tools, .. } = of_role(policy, role);
        !unknown && (tools.is_empty() || tools.contains(tool))
    };
    let by_rule = |role: &RoleName, tool: &ToolId| {
        policy.is_none_or(|policy| {
            policy.rules().iter().any(|rule| {
                rule.effect != Effect::Deny
                    && !rule.of_entities
                    && rule.role.as_deref().is_none_or(|name| name == role.as_str())
                    && rule.tool.as_deref().is_none_or(|name| name == tool.as_str())
            })
        })
    };
    for (nth, tool) in tools.iter().enumerate() {
        unknown_tool(nth, tool, policy)?;
    }
    let may = |role: &&RoleName| tools.iter().all(|tool| in_table(role, tool) && by_rule(role, tool));
    let choices: Vec<_> = sponsor.roles.iter().filter(may).cloned().collect();
    match choices.as_slice() {
        [role] => Ok(role.clone()),
        [] => Err(Error::invalid(
            "role",
            format!(
                "must be named: no role of sponsor {} may use {}; their roles are {}",
                sponsor.sponsor_id,
                grant::join(tools),
                grant::join(&sponsor.roles)
            ),
        )),
        several => Err(Error::invalid(
            "role",
            format!("must name one of {}: each may use {}", grant::join(several), grant::join(tools)),
        )),
    }
}
