//! Whether a grant fits: its terms, and the room that its sponsor and its chain have.

use countersign_core::{
    Violation,
    credential::Verified,
    decision::Effect,
    grant::{self, BACKDATE, Limits, Parent, RoleLimits, Wanted},
    instance::Instance,
    names::{RoleName, ToolId},
    sponsor::Sponsor,
};
use countersign_policy::CompiledPolicy;
use countersign_store::instance::Holding;
use time::OffsetDateTime;

use super::{batch::Staged, ceilings, grant::GrantJob};
use crate::{Config, Error};

/// A grant that fits, before it has a leaf.
pub(super) struct Fitting {
    pub(super) role: RoleName,
    pub(super) tools: Vec<ToolId>,
    pub(super) purpose: String,
    pub(super) ttl: u32,
}

impl Staged<'_> {
    pub(super) fn fit(
        &self,
        job: &GrantJob,
        sponsor: &Sponsor,
        policy: &CompiledPolicy,
        parent: Option<&Verified>,
        renewed: Option<&Instance>,
    ) -> Result<Fitting, Error> {
        let tools = match parent {
            Some(parent) if job.tools.is_empty() => &parent.tools,
            _ => &job.tools,
        };
        let role = match (&job.role, parent) {
            (Some(role), _) => role.clone(),
            (None, Some(parent)) => parent.role.clone(),
            (None, None) => the_one_role(sponsor, tools, policy)?,
        };
        let limits = limits(&self.app.inner.config, policy, &role);
        let bound = parent.map(|parent| Parent {
            tools: &parent.tools,
            depth: parent.depth(),
            remaining: remaining(parent.expire_time, job.fresh.now),
        });
        let fits = grant::check(Wanted { role: &role, tools, ttl: job.ttl }, sponsor, limits, bound);
        let mut violations = fits.as_ref().err().cloned().unwrap_or_default();
        let purpose = job.purpose.clone().or_else(|| parent.map(|parent| parent.purpose.clone())).unwrap_or_default();
        violations.extend(parent.and_then(|parent| widened(parent, &purpose)));
        violations.extend(parent.filter(|parent| parent.single_use).map(|_| {
            Violation::new("parent_token", "a single-use credential is good for one Decide and cannot delegate")
        }));
        violations.extend(renewed.into_iter().flat_map(|instance| unlike(instance, job, &role, tools, &purpose)));
        match fits {
            Ok(ttl) if violations.is_empty() => Ok(Fitting { role, tools: tools.clone(), purpose, ttl }),
            _ => Err(Error::GrantTooWide(violations)),
        }
    }

    /// Refuses a new instance where its sponsor or its chain has as many live ones as it may, this batch's among them.
    pub(super) fn room(&self, job: &GrantJob) -> Result<(), Error> {
        for holding in ceilings::adds_to(job) {
            let Some(ceiling) = self.app.inner.config.ceilings.of(&holding) else { continue };
            let Some(known) = self.found.live.get(&holding) else { continue };
            let new = self.instances.iter().filter(|instance| {
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

/// What bounds a grant for this role.
pub(crate) fn limits<'a>(config: &'a Config, policy: &'a CompiledPolicy, role: &RoleName) -> Limits<'a> {
    let spec = policy.role(role.as_str());
    Limits {
        default_ttl: config.default_ttl,
        max_ttl: config.max_ttl,
        supported_tools: &config.supported_tools,
        role: spec.map(|spec| RoleLimits { tools: &spec.tools, max_ttl: spec.max_ttl_seconds }),
        role_unknown: policy.lists_roles() && spec.is_none(),
    }
}

/// Seconds a credential that is issued now may live so as to end with its parent's.
fn remaining(expire_time: OffsetDateTime, now: OffsetDateTime) -> u32 {
    let left = expire_time.unix_timestamp() - now.unix_timestamp() + i64::from(BACKDATE);
    u32::try_from(left).unwrap_or(0)
}

fn widened(parent: &Verified, purpose: &str) -> Option<Violation> {
    let fits = crate::evaluate::narrows(purpose, &parent.purpose);
    (!fits).then(|| Violation::new("purpose", "must be the parent's purpose, or begin with it and narrow it"))
}

/// How a renewal differs from the instance that it renews.
fn unlike(instance: &Instance, job: &GrantJob, role: &RoleName, tools: &[ToolId], purpose: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    if instance.agent != job.agent {
        violations.push(Violation::new("agent", format!("the instance was started as {}", instance.agent)));
    }
    if instance.role != *role {
        violations.push(Violation::new("role", format!("the instance was started as {}", instance.role)));
    }
    if instance.purpose != purpose {
        violations.push(Violation::new("purpose", "must be the purpose that the instance was started for"));
    }
    for (i, tool) in tools.iter().enumerate().filter(|(_, tool)| !instance.tools.contains(tool)) {
        violations.push(Violation::new(format!("tools[{i}]"), format!("{tool} is not among the instance's tools")));
    }
    violations
}

/// The sponsor's one role that may use all the tools: by the policy's role table, and by some rule that can allow it.
fn the_one_role(sponsor: &Sponsor, tools: &[ToolId], policy: &CompiledPolicy) -> Result<RoleName, Error> {
    let in_table = |role: &RoleName, tool: &ToolId| match policy.role(role.as_str()) {
        Some(spec) => spec.tools.is_empty() || spec.tools.contains(tool),
        None => !policy.lists_roles(),
    };
    let by_rule = |role: &RoleName, tool: &ToolId| {
        policy.rules().iter().any(|rule| {
            rule.effect != Effect::Deny
                && !rule.of_entities
                && rule.role.as_deref().is_none_or(|name| name == role.as_str())
                && rule.tool.as_deref().is_none_or(|name| name == tool.as_str())
        })
    };
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
