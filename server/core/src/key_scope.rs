//! Limits of an API key to some tools and sponsors (its scope): which roles such a key may have, how many tools and
//! sponsors it may name, which runs and calls it covers, and which runs it may end or revoke.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    Violation,
    instance::StopInstance,
    names::{SponsorId, ToolId},
    operator::{OperatorRole, Roles},
};

/// The tools and sponsors that an API key is limited to. An empty set is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyScope {
    /// The tools that it may be used for.
    #[serde(default)]
    pub tools: BTreeSet<ToolId>,
    /// The sponsors that it may be used for.
    #[serde(default)]
    pub sponsors: BTreeSet<SponsorId>,
}

impl KeyScope {
    /// The roles that a limited key may have. The work of the other roles is not about one tool or sponsor.
    pub const ROLES: Roles = Roles::of(&[OperatorRole::Issuer, OperatorRole::Gate]);
    /// Limit of the number of tools, and of sponsors.
    pub const MOST: usize = 32;
    /// Limit of the length of the names of either, with their commas, in bytes, because the custody log holds them in
    /// one value.
    const MOST_TEXT: usize = 1_024;

    /// Whether it limits nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty() && self.sponsors.is_empty()
    }

    /// Whether it covers a tool.
    #[must_use]
    pub fn has_tool(&self, tool: &ToolId) -> bool {
        self.tools.is_empty() || self.tools.contains(tool)
    }

    /// Whether it covers a sponsor.
    #[must_use]
    pub fn has_sponsor(&self, sponsor: &SponsorId) -> bool {
        self.sponsors.is_empty() || self.sponsors.contains(sponsor)
    }

    /// Whether it covers everything that a run of this sponsor with these tools may do.
    #[must_use]
    pub fn has_run(&self, sponsor: &SponsorId, tools: &[ToolId]) -> bool {
        self.has_sponsor(sponsor) && tools.iter().all(|tool| self.has_tool(tool))
    }

    /// Whether it covers some of that.
    #[must_use]
    pub fn meets_run(&self, sponsor: &SponsorId, tools: &[ToolId]) -> bool {
        self.has_sponsor(sponsor) && tools.iter().any(|tool| self.has_tool(tool))
    }

    /// Whether a key with it may stop a run of this sponsor with these tools. A key for some of the tools is enough to
    /// report that the run is finished; to revoke it, the key must cover all of them.
    #[must_use]
    pub fn may_stop(&self, stop: StopInstance, sponsor: &SponsorId, tools: &[ToolId]) -> bool {
        match stop {
            StopInstance::End => self.meets_run(sponsor, tools),
            StopInstance::Revoke => self.has_run(sponsor, tools),
        }
    }

    /// Whether it covers a call of this tool by a run of this sponsor. A call that names neither is not covered.
    #[must_use]
    pub fn has_call(&self, sponsor: Option<&str>, tool: Option<&str>) -> bool {
        let tool_is_in = tool.is_some_and(|tool| self.tools.iter().any(|one| one.as_str() == tool));
        let sponsor_is_in = sponsor.is_some_and(|sponsor| self.sponsors.iter().any(|one| one.as_str() == sponsor));
        (self.tools.is_empty() || tool_is_in) && (self.sponsors.is_empty() || sponsor_is_in)
    }

    /// The tools, separated by commas. `None` for all.
    #[must_use]
    pub fn tools_text(&self) -> Option<String> {
        joined(self.tools.iter().map(ToolId::as_str), ",")
    }

    /// The sponsors, separated by commas. `None` for all.
    #[must_use]
    pub fn sponsors_text(&self) -> Option<String> {
        joined(self.sponsors.iter().map(SponsorId::as_str), ",")
    }

    /// The violations if a key with these roles had this scope.
    #[must_use]
    pub fn check(&self, roles: Roles) -> Vec<Violation> {
        let mut violations = Vec::new();
        if self.is_empty() {
            return violations;
        }
        let beyond = roles.without(Self::ROLES);
        if roles.is_empty() || !beyond.is_empty() {
            let has = if roles.is_empty() { "none".to_owned() } else { roles.to_string() };
            let why = format!(
                "of a key for some tools or sponsors must be issuer, gate or both, and are {has}: what other roles do is not \
                 about a tool or a sponsor"
            );
            violations.push(Violation::new("roles", why));
        }
        for (field, text) in [("tools", self.tools_text()), ("sponsors", self.sponsors_text())] {
            if let Some(length) = text.map(|text| text.len()).filter(|length| *length > Self::MOST_TEXT) {
                let why = format!("must be at most {} bytes together, are {length}", Self::MOST_TEXT);
                violations.push(Violation::new(field, why));
            }
        }
        violations
    }
}

fn joined<'n>(names: impl Iterator<Item = &'n str>, between: &str) -> Option<String> {
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| names.join(between))
}

/// `the tools billing, search and the sponsors alice`.
impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools = joined(self.tools.iter().map(ToolId::as_str), ", ");
        let sponsors = joined(self.sponsors.iter().map(SponsorId::as_str), ", ");
        let between = if tools.is_some() && sponsors.is_some() { " and " } else { "" };
        let one = |f: &mut fmt::Formatter<'_>, what, names: Option<String>| match names {
            Some(names) => write!(f, "the {what} {names}"),
            None => Ok(()),
        };
        one(f, "tools", tools)?;
        f.write_str(between)?;
        one(f, "sponsors", sponsors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(tools: &[&str], sponsors: &[&str]) -> KeyScope {
        KeyScope {
            tools: tools.iter().map(|tool| tool.parse().unwrap()).collect(),
            sponsors: sponsors.iter().map(|sponsor| sponsor.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_scope_covers_what_it_names_and_an_empty_one_everything() {
        let tools = |names: &[&str]| -> Vec<ToolId> { names.iter().map(|name| name.parse().unwrap()).collect() };
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        for (scope, sponsor, named, all, some) in [
            (scope(&[], &[]), &bob, tools(&["search"]), true, true),
            (scope(&["billing"], &[]), &bob, tools(&["billing"]), true, true),
            (scope(&["billing"], &[]), &bob, tools(&["billing", "search"]), false, true),
            (scope(&["billing"], &[]), &bob, tools(&["Billing"]), false, false),
            (scope(&["billing"], &["alice"]), &bob, tools(&["billing"]), false, false),
            (scope(&["billing"], &["alice"]), &alice, tools(&["billing"]), true, true),
            (scope(&[], &["alice"]), &alice, tools(&["search"]), true, true),
        ] {
            assert_eq!((scope.has_run(sponsor, &named), scope.meets_run(sponsor, &named)), (all, some), "{scope}");
            let may_stop = |stop| scope.may_stop(stop, sponsor, &named);
            assert_eq!((may_stop(StopInstance::Revoke), may_stop(StopInstance::End)), (all, some), "{scope}");
        }
    }

    #[test]
    fn a_scope_is_of_issuers_and_gates_alone() {
        let fields = |scope: &KeyScope, roles: &[OperatorRole]| -> Vec<String> {
            scope.check(Roles::of(roles)).into_iter().map(|violation| violation.field.to_string()).collect()
        };
        let billing = scope(&["billing"], &[]);
        assert!(fields(&billing, &[OperatorRole::Gate, OperatorRole::Issuer]).is_empty());
        assert_eq!(fields(&billing, &[OperatorRole::Gate, OperatorRole::Auditor]), ["roles"]);
        assert_eq!(fields(&billing, &[]), ["roles"]);
        assert!(fields(&scope(&[], &[]), &[OperatorRole::Admin]).is_empty());
        let long: Vec<_> = (0..9).map(|nth| format!("{nth}{}", "x".repeat(127))).collect();
        let long: Vec<_> = long.iter().map(String::as_str).collect();
        assert_eq!(fields(&scope(&long, &[]), &[OperatorRole::Gate]), ["tools"]);
    }

    #[test]
    fn a_scope_is_told_in_words_and_kept() {
        assert_eq!(
            scope(&["search", "billing"], &["alice"]).to_string(),
            "the tools billing, search and the sponsors alice"
        );
        assert_eq!(scope(&[], &["bob", "alice"]).to_string(), "the sponsors alice, bob");
        let kept = serde_json::to_string(&scope(&["billing"], &[])).unwrap();
        assert_eq!(serde_json::from_str::<KeyScope>(&kept).unwrap(), scope(&["billing"], &[]));
    }
}
