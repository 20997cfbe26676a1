//! The limits for a credential: role, tools and their number, lifetime (TTL: default, shortest, longest), by the
//! installation, the policy's role and the sponsor; and how far `iat` is backdated. A request above a limit is refused,
//! never clamped.

mod child;

use std::collections::HashSet;

pub use child::{ATTRIBUTES, Attribute, Step, Terms, check_child, narrows};

use crate::{
    likeness::did_you_mean,
    names::{RoleName, ToolId},
    sponsor::Sponsor,
    violation::Violation,
};

/// Longest lifetime of any credential, in seconds. No configuration can raise it.
pub const HARD_MAX_TTL: u32 = 900;
/// Default lifetime of a credential, in seconds, if the configuration does not say.
pub const DEFAULT_TTL: u32 = 300;
/// Shortest lifetime that can be requested, in seconds.
pub const MIN_TTL: u32 = 1;
/// How far `iat` is set back, in seconds, so that a verifier whose clock is slightly behind accepts a new token.
pub const BACKDATE: u32 = 2;
/// Most tools in one credential.
pub const MAX_TOOLS: usize = 32;

/// The limits of the installation, the policy's role and the sponsor.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// TTL if the caller requests none, in seconds.
    pub default_ttl: u32,
    /// The installation's longest TTL, seconds; at most [`HARD_MAX_TTL`].
    pub max_ttl: u32,
    /// The tools that the installation knows; empty for any.
    pub supported_tools: &'a [ToolId],
    /// The policy's limits for each role that restricts the credential, its own first.
    pub roles: &'a [RoleLimits<'a>],
}

/// The policy's limits for one role.
#[derive(Debug, Clone, Copy)]
pub struct RoleLimits<'a> {
    /// The role.
    pub role: &'a RoleName,
    /// Whether the policy lists roles, but not this one.
    pub unknown: bool,
    /// The tools that the role may use; empty for any.
    pub tools: &'a [ToolId],
    /// The role's longest TTL, seconds.
    pub max_ttl: Option<u32>,
}

/// The request.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The tools.
    pub tools: &'a [ToolId],
    /// The TTL in seconds. `None` for the longest one that fits, up to the default.
    pub ttl: Option<i64>,
    /// For a child: seconds until its parent's credential expires, counted as a TTL of a credential issued now.
    pub remaining: Option<u32>,
}

/// Checks a grant against the limits of installation, policy and sponsor. Returns the TTL in seconds and all
/// violations. Whether a child is wider than its parent is checked by [`check_child`].
#[must_use]
pub fn check(wanted: Wanted<'_>, sponsor: &Sponsor, limits: Limits<'_>) -> (u32, Vec<Violation>) {
    let mut violations = Vec::new();
    check_roles(sponsor, limits.roles, &mut violations);
    check_tools(wanted.tools, limits, &mut violations);
    let ttl = check_ttl(wanted, sponsor, limits, &mut violations);
    (ttl, violations)
}

fn check_roles(sponsor: &Sponsor, roles: &[RoleLimits<'_>], violations: &mut Vec<Violation>) {
    for (nth, RoleLimits { role, unknown, .. }) in roles.iter().enumerate() {
        let inherited = if nth == 0 { String::new() } else { format!(", and {role} binds this chain too") };
        if !sponsor.roles.contains(role) {
            let approved = join(&sponsor.roles);
            let meant = did_you_mean(role.as_str(), sponsor.roles.iter().map(AsRef::as_ref));
            let id = &sponsor.sponsor_id;
            let why =
                format!("sponsor {id} was approved for the roles {approved}, and not for {role}{inherited}{meant}");
            violations.push(Violation::new("role", why));
        } else if *unknown {
            violations.push(Violation::new("role", format!("the active policy has no role {role}{inherited}")));
        }
    }
}

fn check_tools(tools: &[ToolId], limits: Limits<'_>, violations: &mut Vec<Violation>) {
    if tools.is_empty() {
        violations.push(Violation::new("tools", "must name at least one tool"));
    }
    if tools.len() > MAX_TOOLS {
        violations.push(Violation::new("tools", format!("must be at most {MAX_TOOLS}, are {}", tools.len())));
        return;
    }
    let mut seen = HashSet::new();
    for (i, tool) in tools.iter().enumerate() {
        let mut refuse = |why: String| violations.push(Violation::new(format!("tools[{i}]"), why));
        if !seen.insert(tool) {
            refuse(format!("{tool} is named twice"));
        }
        if !limits.supported_tools.is_empty() && !limits.supported_tools.contains(tool) {
            let meant = did_you_mean(tool.as_str(), limits.supported_tools.iter().map(AsRef::as_ref));
            refuse(format!("{tool} is not one of the supported tools: {}{meant}", join(limits.supported_tools)));
        }
        for RoleLimits { role, tools: of_role, .. } in limits.roles {
            if !of_role.is_empty() && !of_role.contains(tool) {
                let meant = did_you_mean(tool.as_str(), of_role.iter().map(AsRef::as_ref));
                refuse(format!("{tool} is not a tool of the role {role}, which has {}{meant}", join(of_role)));
            }
        }
    }
}

fn check_ttl(wanted: Wanted<'_>, sponsor: &Sponsor, limits: Limits<'_>, violations: &mut Vec<Violation>) -> u32 {
    let mut ceilings = vec![
        (HARD_MAX_TTL, "no credential may live longer".to_owned()),
        (limits.max_ttl, "this installation's max_ttl_seconds".to_owned()),
        (sponsor.max_ttl_seconds, "what the sponsor was approved for".to_owned()),
    ];
    let of_role =
        |limits: &RoleLimits<'_>| Some((limits.max_ttl?, format!("max_ttl_seconds of the role {}", limits.role)));
    ceilings.extend(limits.roles.iter().filter_map(of_role));
    let Some(ttl) = wanted.ttl else {
        let ceiling =
            ceilings.iter().map(|(seconds, _)| *seconds).chain(wanted.remaining).min().unwrap_or(HARD_MAX_TTL);
        let ttl = limits.default_ttl.min(ceiling);
        if ttl < MIN_TTL + BACKDATE {
            violations
                .push(Violation::new("parent_token", "the parent's credential is about to expire: renew it first"));
        }
        return ttl;
    };
    if ttl < i64::from(MIN_TTL) {
        violations.push(Violation::new("ttl", format!("must be at least {MIN_TTL} s, is {ttl} s")));
    }
    for (seconds, what) in ceilings {
        if ttl > i64::from(seconds) {
            violations.push(Violation::new("ttl", format!("must be at most {seconds} s ({what}), is {ttl} s")));
        }
    }
    // An invalid TTL was refused above; the shortest one is used for it here.
    u32::try_from(ttl).unwrap_or(if ttl < 0 { MIN_TTL } else { HARD_MAX_TTL })
}

/// Names, separated by commas, for messages; if there are many, only the first.
pub fn join<T: AsRef<str>>(names: &[T]) -> String {
    /// How many are named at most.
    const NAMED: usize = 20;
    if names.is_empty() {
        return "none".to_owned();
    }
    let shown = names.iter().take(NAMED).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED { format!("{shown} and {} more", names.len() - NAMED) } else { shown }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::sponsor::SponsorState;

    fn sponsor() -> Sponsor {
        Sponsor {
            sponsor_id: "alice".parse().unwrap(),
            display_name: "Alice".into(),
            email: "alice@example.com".into(),
            roles: ["support", "finance", "guest"].map(|role| role.parse().unwrap()).to_vec(),
            max_ttl_seconds: 600,
            max_depth: 3,
            state: SponsorState::Active,
            review_due_at: None,
            create_time: OffsetDateTime::UNIX_EPOCH,
            approve_time: None,
            revoke_time: None,
            revision: 1,
            labels: std::collections::BTreeMap::default(),
            registered_by: "rita".parse().unwrap(),
            changed_by: None,
            person_id: None,
            person_confirmed: false,
            terms_by: Vec::new(),
            suspend_cause: None,
            departure: None,
            grant_leaf: None,
        }
    }

    fn tools(names: &[&str]) -> Vec<ToolId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn fields(roles: &[&str], wanted: &[&str], ttl: Option<i64>, remaining: Option<u32>) -> Vec<String> {
        let roles: Vec<RoleName> = roles.iter().map(|role| role.parse().unwrap()).collect();
        let (wanted, support, finance) = (tools(wanted), tools(&["billing", "search"]), tools(&["billing", "wire"]));
        let table = [("support", &support, Some(300)), ("finance", &finance, Some(120)), ("chef", &support, None)];
        let limits = roles.iter().map(|role| {
            let row = table.iter().find(|(name, ..)| *name == role.as_str());
            let (tools, max_ttl) = row.map_or((&[][..], None), |(_, tools, ttl)| (tools.as_slice(), *ttl));
            RoleLimits { role, unknown: row.is_none(), tools, max_ttl }
        });
        let limits = Limits {
            default_ttl: 300,
            max_ttl: 900,
            supported_tools: &tools(&["billing", "search", "wire", "file-store"]),
            roles: &limits.collect::<Vec<_>>(),
        };
        let (ttl, violations) = check(Wanted { tools: &wanted, ttl, remaining }, &sponsor(), limits);
        if violations.is_empty() {
            return vec![format!("ok {ttl}")];
        }
        violations.into_iter().map(|violation| violation.field.into_owned()).collect()
    }

    #[test]
    fn a_grant_that_fits_has_the_wanted_or_the_default_ttl() {
        assert_eq!(fields(&["support"], &["billing"], None, None), ["ok 300"]);
        assert_eq!(fields(&["support"], &["billing", "search"], Some(60), None), ["ok 60"]);
        assert_eq!(fields(&["support"], &["billing"], None, Some(120)), ["ok 120"]);
        assert_eq!(fields(&["support"], &["billing"], None, Some(2)), ["parent_token"]);
    }

    #[test]
    fn every_violation_is_listed() {
        assert_eq!(fields(&["support"], &["billing"], Some(901), None), ["ttl"; 4]);
        assert_eq!(fields(&["support"], &["billing"], Some(-5), None), ["ttl"]);
        assert_eq!(fields(&["support"], &[], None, None), ["tools"]);
        assert_eq!(fields(&["admin"], &["file-store", "nope"], Some(601), None), ["role", "tools[1]", "ttl"]);
        assert_eq!(fields(&["guest"], &["billing"], None, None), ["role"], "approved, and unknown to the policy");
    }

    #[test]
    fn roles_of_a_chain_all_bound_it_and_are_the_sponsors() {
        assert_eq!(fields(&["finance", "support"], &["billing"], None, None), ["ok 120"]);
        assert_eq!(fields(&["support", "finance"], &["billing"], None, None), ["ok 120"]);
        assert_eq!(fields(&["finance", "support"], &["billing"], Some(121), None), ["ttl"]);
        assert_eq!(fields(&["finance", "support"], &["wire"], None, None), ["tools[0]"]);
        assert_eq!(fields(&["support", "finance"], &["search"], None, None), ["tools[0]"]);
        assert_eq!(fields(&["support", "chef"], &["billing"], None, None), ["role"]);
    }
}
