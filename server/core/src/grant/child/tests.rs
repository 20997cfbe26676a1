//! Random delegations are compared with a second implementation of the rules, which must find a rule that is left out.

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    sample::subsequence,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::*;

const ROLES: [&str; 3] = ["support", "finance", "audit"];
const TOOLS: [&str; 3] = ["billing", "search", "wire"];
const PURPOSES: [&str; 4] = ["triage", "triage: refund", "triage47", "holiday"];

/// Terms that own their values.
#[derive(Debug, Clone)]
struct Owned {
    sponsor_id: SponsorId,
    role: RoleName,
    inherited_roles: Vec<RoleName>,
    tools: Vec<ToolId>,
    ttl: i64,
    depth: u32,
    purpose: &'static str,
    labels: BTreeMap<String, String>,
    audience: &'static str,
    single_use: bool,
}

impl Owned {
    fn terms(&self) -> Terms<'_> {
        Terms {
            sponsor_id: &self.sponsor_id,
            role: &self.role,
            inherited_roles: &self.inherited_roles,
            tools: &self.tools,
            ttl: self.ttl,
            depth: self.depth,
            purpose: self.purpose,
            labels: &self.labels,
            audience: self.audience,
            single_use: self.single_use,
        }
    }

    fn binding(&self) -> BTreeSet<&str> {
        self.inherited_roles.iter().chain([&self.role]).map(RoleName::as_str).collect()
    }
}

#[derive(Debug, Clone)]
struct Case {
    parent: Owned,
    child: Owned,
    may_delegate_to: Vec<RoleName>,
    max_depth: u32,
}

impl Case {
    fn step(&self) -> Step<'_> {
        Step {
            parent: self.parent.terms(),
            child: self.child.terms(),
            may_delegate_to: &self.may_delegate_to,
            max_depth: self.max_depth,
        }
    }

    /// The second implementation: in which respects the child could do more than its parent.
    fn wider(&self) -> Vec<&'static str> {
        let Self { parent, child, may_delegate_to, max_depth } = self;
        let set = |tools: &[ToolId]| tools.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        // A call must be allowed for every role that restricts the run: more roles never allow more.
        let may_act_so = [&parent.role].into_iter().chain(may_delegate_to).any(|role| *role == child.role);
        let words = |text: &str| text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect::<Vec<_>>();
        [
            ("sponsor", child.sponsor_id.as_str() != parent.sponsor_id.as_str()),
            ("role", !may_act_so),
            ("inherited roles", !child.binding().is_superset(&parent.binding())),
            ("tools", !set(&child.tools).is_subset(&set(&parent.tools))),
            ("ttl", child.ttl > parent.ttl),
            ("depth", child.depth != parent.depth + 1 || child.depth > *max_depth),
            ("purpose", !words(child.purpose).starts_with(&words(parent.purpose))),
            ("labels", child.labels != parent.labels),
            ("audience", child.audience != parent.audience),
            ("single use", parent.single_use),
        ]
        .into_iter()
        .filter_map(|(attribute, wider)| wider.then_some(attribute))
        .collect()
    }
}

fn names<N>(of: &'static [&'static str]) -> impl Strategy<Value = Vec<N>>
where
    N: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug,
{
    subsequence(of, 0..=of.len()).prop_map(|names| names.iter().map(|name| name.parse().unwrap()).collect())
}

fn owned() -> impl Strategy<Value = Owned> {
    let who = (
        prop_oneof![4 => Just("alice"), 1 => Just("bob")],
        prop_oneof![Just("support"), Just("finance"), Just("audit")],
    );
    let may = (names::<RoleName>(&ROLES), names::<ToolId>(&TOOLS), 1_i64..900, 0_u32..5);
    let what = (
        prop::sample::select(&PURPOSES[..]),
        prop_oneof![3 => Just(None), 1 => Just(Some("gold"))],
        prop_oneof![4 => Just("countersign"), 1 => Just("other")],
        prop::bool::weighted(0.2),
    );
    (who, may, what).prop_map(
        |((sponsor, role), (mut inherited_roles, tools, ttl, depth), (purpose, tier, audience, once))| {
            let role: RoleName = role.parse().unwrap();
            inherited_roles.retain(|inherited| *inherited != role);
            Owned {
                sponsor_id: sponsor.parse().unwrap(),
                role,
                inherited_roles,
                tools,
                ttl,
                depth,
                purpose,
                labels: tier.map(|tier| ("tier".to_owned(), tier.to_owned())).into_iter().collect(),
                audience,
                single_use: once,
            }
        },
    )
}

/// A parent, and a child that is equal except for values of another one: each attribute one time in six.
fn cases() -> impl Strategy<Value = Case> {
    let swaps = prop::array::uniform10(prop::bool::weighted(1.0 / 6.0));
    (owned(), owned(), swaps, names(&ROLES), 0_u32..6).prop_map(|(parent, other, swaps, may_delegate_to, max_depth)| {
        let mut child = Owned { depth: parent.depth + 1, ..parent.clone() };
        let [sponsor, role, inherited, tools, ttl, depth, purpose, labels, audience, once] = swaps;
        if sponsor {
            child.sponsor_id = other.sponsor_id;
        }
        if role {
            child.role = other.role;
            child.inherited_roles = parent.inherited_roles.iter().chain([&parent.role]).cloned().collect();
            child.inherited_roles.retain(|inherited| *inherited != child.role);
        }
        if inherited {
            child.inherited_roles = other.inherited_roles;
        }
        if tools {
            child.tools = other.tools;
        }
        if ttl {
            child.ttl = other.ttl;
        }
        if depth {
            child.depth = other.depth;
        }
        if purpose {
            child.purpose = other.purpose;
        }
        if labels {
            child.labels = other.labels;
        }
        if audience {
            child.audience = other.audience;
        }
        if once {
            child.single_use = other.single_use;
        }
        Case { parent, child, may_delegate_to, max_depth }
    })
}

/// Whether `rules` refuse every child that is wider than its parent, over many delegations, which are always the same.
fn lets_no_wider_child_through(without: Option<&str>) -> bool {
    let rules = || ATTRIBUTES.iter().filter(|attribute| Some(attribute.name) != without);
    let config = Config { cases: 4_096, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let holds = |case: Case| {
        prop_assert!(by(rules(), &case.step()).is_err() || case.wider().is_empty());
        Ok(())
    };
    runner.run(&cases(), holds).is_ok()
}

#[test]
fn a_child_is_never_wider_than_its_parent() {
    assert!(lets_no_wider_child_through(None));
}

#[test]
fn each_rule_is_missed_when_it_is_gone() {
    for attribute in &ATTRIBUTES {
        assert!(!lets_no_wider_child_through(Some(attribute.name)), "nobody misses the rule of {}", attribute.name);
    }
}

proptest! {
    #[test]
    fn nothing_but_what_is_wider_is_refused(case in cases()) {
        prop_assert_eq!(check_child(&case.step()).is_ok(), case.wider().is_empty(), "{:?}", case.wider());
    }
}
