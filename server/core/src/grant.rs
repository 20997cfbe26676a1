//! What a credential may grant: how long, which tools, how deep. What does not fit is refused, never clamped.

use std::collections::HashSet;

use crate::{
    names::{RoleName, ToolId},
    sponsor::Sponsor,
    violation::Violation,
};

/// Longest credential of all, seconds. No configuration lifts it.
pub const HARD_MAX_TTL: u32 = 900;
/// Length of a credential whose caller names none, seconds, by default.
pub const DEFAULT_TTL: u32 = 300;
/// Shortest credential that can be asked for, seconds.
pub const MIN_TTL: u32 = 1;
/// How far `iat` is set back, seconds, so that a verifier whose clock is a little behind accepts a fresh token.
pub const BACKDATE: u32 = 2;
/// Most tools in one credential.
pub const MAX_TOOLS: usize = 32;

/// The limits that the installation, the policy's role and the sponsor set.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// TTL for who names none, seconds.
    pub default_ttl: u32,
    /// The installation's longest TTL, seconds; at most [`HARD_MAX_TTL`].
    pub max_ttl: u32,
    /// Tools the installation knows; empty: any.
    pub supported_tools: &'a [ToolId],
    /// What the policy says of the role: its tools and longest TTL. None: the policy has no roles.
    pub role: Option<RoleLimits<'a>>,
    /// Whether the policy lists roles but not this one.
    pub role_unknown: bool,
}

/// What the active policy says of one role.
#[derive(Debug, Clone, Copy)]
pub struct RoleLimits<'a> {
    /// Tools the role may use; empty: any.
    pub tools: &'a [ToolId],
    /// The role's longest TTL, seconds.
    pub max_ttl: Option<u32>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The role.
    pub role: &'a RoleName,
    /// The tools.
    pub tools: &'a [ToolId],
    /// The TTL in seconds; none: the longest fitting one up to the default.
    pub ttl: Option<i64>,
}

/// What the parent has, for a child.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// The parent's tools.
    pub tools: &'a [ToolId],
    /// The parent's depth.
    pub depth: u32,
    /// Seconds until the parent's credential expires, counted as a TTL of a credential issued now.
    pub remaining: u32,
}

/// Checks a grant against every rule and returns its TTL in seconds, or everything that does not fit.
pub fn check(
    wanted: Wanted<'_>,
    sponsor: &Sponsor,
    limits: Limits<'_>,
    parent: Option<Parent<'_>>,
) -> Result<u32, Vec<Violation>> {
    let mut violations = Vec::new();
    check_role(wanted.role, sponsor, limits.role_unknown, &mut violations);
    check_tools(wanted.tools, limits, parent, &mut violations);
    if let Some(parent) = parent
        && parent.depth >= sponsor.max_depth
    {
        violations.push(Violation::new(
            "parent_token",
            format!(
                "the parent is at depth {} and the sponsor allows {} at most: it cannot delegate further",
                parent.depth, sponsor.max_depth
            ),
        ));
    }
    let ttl = check_ttl(wanted.ttl, sponsor, limits, parent, &mut violations);
    if violations.is_empty() { Ok(ttl) } else { Err(violations) }
}

fn check_role(role: &RoleName, sponsor: &Sponsor, unknown: bool, violations: &mut Vec<Violation>) {
    if !sponsor.roles.contains(role) {
        let roles = join(&sponsor.roles);
        violations.push(Violation::new("role", format!("sponsor {} was approved for {roles}", sponsor.sponsor_id)));
    } else if unknown {
        violations.push(Violation::new("role", format!("the active policy has no role {role}")));
    }
}

fn check_tools(tools: &[ToolId], limits: Limits<'_>, parent: Option<Parent<'_>>, violations: &mut Vec<Violation>) {
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
            refuse(format!("{tool} is not one of the supported tools: {}", join(limits.supported_tools)));
        }
        if let Some(role) = limits.role
            && !role.tools.is_empty()
            && !role.tools.contains(tool)
        {
            refuse(format!("{tool} is not a tool of this role, which has {}", join(role.tools)));
        }
        if let Some(parent) = parent
            && !parent.tools.contains(tool)
        {
            refuse(format!("{tool} is not among the parent's tools: {}", join(parent.tools)));
        }
    }
}

fn check_ttl(
    wanted: Option<i64>,
    sponsor: &Sponsor,
    limits: Limits<'_>,
    parent: Option<Parent<'_>>,
    violations: &mut Vec<Violation>,
) -> u32 {
    let ceilings = [
        (Some(HARD_MAX_TTL), "no credential may live longer"),
        (Some(limits.max_ttl), "this installation's max_ttl_seconds"),
        (Some(sponsor.max_ttl_seconds), "what the sponsor was approved for"),
        (limits.role.and_then(|role| role.max_ttl), "the role's max_ttl_seconds"),
        (parent.map(|parent| parent.remaining), "what is left of the parent's credential"),
    ];
    let ceilings = || ceilings.iter().filter_map(|(seconds, what)| Some(((*seconds)?, *what)));
    let ceiling = ceilings().map(|(seconds, _)| seconds).min().unwrap_or(HARD_MAX_TTL);
    let Some(wanted) = wanted else {
        let ttl = limits.default_ttl.min(ceiling);
        if ttl < MIN_TTL + BACKDATE {
            violations
                .push(Violation::new("parent_token", "the parent's credential is about to expire: renew it first"));
        }
        return ttl;
    };
    if wanted < i64::from(MIN_TTL) {
        violations.push(Violation::new("ttl", format!("must be at least {MIN_TTL} s, is {wanted} s")));
    }
    for (seconds, what) in ceilings() {
        if wanted > i64::from(seconds) {
            violations.push(Violation::new("ttl", format!("must be at most {seconds} s ({what}), is {wanted} s")));
        }
    }
    u32::try_from(wanted).unwrap_or(HARD_MAX_TTL)
}

/// Names, comma-separated, for messages.
pub fn join<T: AsRef<str>>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::*;
    use crate::sponsor::SponsorState;

    fn sponsor() -> Sponsor {
        Sponsor {
            sponsor_id: "alice".parse().unwrap(),
            display_name: "Alice".into(),
            email: "alice@example.com".into(),
            roles: vec!["support".parse().unwrap()],
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
            suspend_cause: None,
            departure: None,
            grant_leaf: None,
        }
    }

    fn tools(names: &[&str]) -> Vec<ToolId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn fields(role: &str, wanted: &[&str], ttl: Option<i64>, parent: Option<(&[&str], u32, u32)>) -> Vec<String> {
        let (role, wanted, role_tools) = (role.parse().unwrap(), tools(wanted), tools(&["billing", "search"]));
        let parent_tools = parent.map(|(names, ..)| tools(names)).unwrap_or_default();
        let limits = Limits {
            default_ttl: 300,
            max_ttl: 900,
            supported_tools: &tools(&["billing", "search", "file-store"]),
            role: Some(RoleLimits { tools: &role_tools, max_ttl: Some(300) }),
            role_unknown: false,
        };
        let parent = parent.map(|(_, depth, remaining)| Parent { tools: &parent_tools, depth, remaining });
        match check(Wanted { role: &role, tools: &wanted, ttl }, &sponsor(), limits, parent) {
            Ok(ttl) => vec![format!("ok {ttl}")],
            Err(violations) => violations.into_iter().map(|v| v.field.into_owned()).collect(),
        }
    }

    #[test]
    fn a_grant_that_fits_has_the_wanted_or_the_default_ttl() {
        assert_eq!(fields("support", &["billing"], None, None), ["ok 300"]);
        assert_eq!(fields("support", &["billing", "search"], Some(60), None), ["ok 60"]);
        assert_eq!(fields("support", &["billing"], None, Some((&["billing"], 0, 120))), ["ok 120"]);
    }

    #[test]
    fn every_violation_is_listed() {
        assert_eq!(fields("support", &["billing"], Some(901), None), ["ttl"; 4]);
        assert_eq!(fields("support", &["billing"], Some(-5), None), ["ttl"]);
        assert_eq!(fields("support", &[], None, None), ["tools"]);
        assert_eq!(
            fields("admin", &["file-store", "nope"], Some(301), None),
            ["role", "tools[0]", "tools[1]", "tools[1]", "ttl"]
        );
        assert_eq!(
            fields("support", &["search"], Some(200), Some((&["billing"], 3, 100))),
            ["tools[0]", "parent_token", "ttl"]
        );
    }

    proptest! {
        #[test]
        fn a_child_is_never_wider_than_its_parent(
            ttl in proptest::option::of(-10_i64..2_000),
            depth in 0_u32..6,
            remaining in 0_u32..900,
            wanted in proptest::sample::subsequence(vec!["billing", "search", "file-store"], 0..=3),
            held in proptest::sample::subsequence(vec!["billing", "search", "file-store"], 0..=3),
        ) {
            let answer = fields("support", &wanted, ttl, Some((&held, depth, remaining)));
            if let Some(granted) = answer[0].strip_prefix("ok ") {
                prop_assert!(granted.parse::<u32>().unwrap() <= remaining.min(300));
                prop_assert!(wanted.iter().all(|tool| held.contains(tool)) && depth < 3);
            }
        }
    }
}
