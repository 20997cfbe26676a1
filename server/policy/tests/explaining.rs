//! What is said of a recorded call: what matched, what nearly did, and what would have answered otherwise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;

use countersign_core::decision::Reason;
use countersign_policy::{CompiledPolicy, ExplainedCall, Explanation, MAX_NEAR_MISSES, PrincipalSpec};

const DOCUMENT: &str = "\
rules:
- {id: allow-refund, role: support, tool: billing, allowed_actions: [refund]}
- {id: allow-small, role: support, tool: billing, allowed_actions: [refund, void], when: context.amount_cents < 500}
- {id: allow-root, role: support, tool: billing, allowed_actions: [void], when: principal.depth == 0}
- {id: ask-charge, role: support, tool: billing, allowed_actions: [charge], require_approval: true}
- {id: allow-export, role: support, tool: crm, allowed_actions: [void]}
- {id: allow-admin, role: admin, tool: billing, allowed_actions: [void]}
- {id: allow-admin-export, role: admin, tool: crm, allowed_actions: [void]}
- {id: no-trial, effect: deny, when: 'principal.hasTag(\"tier\") && principal.getTag(\"tier\") == \"trial\"'}
";

fn explain(document: &str, (role, depth, tier): (&str, u32, &str), (tool, action): (&str, &str)) -> Explanation {
    let labels = BTreeMap::from([("tier".to_owned(), tier.to_owned())]);
    let principal = PrincipalSpec {
        agent_instance_id: "inst_1",
        root_instance_id: "inst_1",
        sponsor_id: "alice",
        agent: "bot",
        role,
        inherited_roles: &[],
        depth,
        purpose: "ticket 1",
        tools: &[],
        labels: &labels,
    };
    let policy = CompiledPolicy::load(document, "").unwrap();
    policy.explain(&ExplainedCall { principal: &principal, tool, action, purpose: Some("ticket 1") })
}

fn near(explanation: &Explanation) -> Vec<String> {
    explanation.near_misses.iter().map(ToString::to_string).collect()
}

fn ids(ids: &[std::sync::Arc<str>]) -> Vec<&str> {
    ids.iter().map(AsRef::as_ref).collect()
}

#[test]
fn what_matched_is_named_and_what_read_the_context_is_left_out() {
    let explained = explain(DOCUMENT, ("support", 0, "gold"), ("billing", "refund"));
    assert_eq!(explained.evaluation.reason, Reason::AllowedByRule);
    assert_eq!((ids(&explained.matched), ids(&explained.unevaluated)), (vec!["allow-refund"], vec!["allow-small"]));
    assert_eq!(explained.otherwise, None);
}

#[test]
fn near_misses_say_the_one_thing_and_the_nearest_comes_first() {
    let explained = explain(DOCUMENT, ("support", 1, "gold"), ("billing", "void"));
    assert_eq!(explained.evaluation.reason, Reason::NoMatchingRule);
    assert_eq!(
        near(&explained),
        [
            r#"rule "allow-root" would allow it, but its condition does not hold: "principal.depth == 0""#,
            r#"rule "no-trial" would forbid it, but its condition does not hold: "principal.hasTag(\"tier\") && principal.getTag(\"tier\") == \"trial\"""#,
            r#"rule "allow-refund" would allow it, but covers the action "refund" and not "void""#,
            r#"rule "ask-charge" would allow it once a person has approved it, but covers the action "charge" and not "void""#,
            r#"rule "allow-export" would allow it, but covers the tool "crm" and not "billing""#,
            r#"rule "allow-admin" would allow it, but is for the role "admin" and not "support""#,
        ]
    );
    let otherwise = explained.otherwise.unwrap();
    assert!(otherwise.starts_with(r#"Nearest is: rule "allow-root" would allow it, but its condition"#), "{otherwise}");
}

#[test]
fn a_rule_that_misses_more_than_one_thing_is_not_near() {
    // Another action, and a condition that does not hold either.
    let explained = explain(DOCUMENT, ("support", 1, "gold"), ("billing", "refund"));
    assert!(near(&explained).iter().all(|near| !near.contains("allow-root")), "{:?}", near(&explained));
    let explained = explain(DOCUMENT, ("support", 0, "gold"), ("billing", "refund"));
    assert!(near(&explained).iter().any(|near| near.starts_with(r#"rule "allow-root" would allow it, but covers"#)));
    // Another role and another tool.
    assert!(near(&explained).iter().all(|near| !near.contains("admin-export")));
    // Whether the condition would hold is not known: said so, and behind those of which it is.
    let explained = explain(DOCUMENT, ("support", 0, "gold"), ("billing", "charge"));
    let unsure = near(&explained).into_iter().find(|near| near.contains("allow-small")).unwrap();
    assert_eq!(
        unsure,
        r#"rule "allow-small" would allow it, but covers the action "refund", "void" and not "charge"; and its condition reads data of the call that was not stored"#
    );
}

#[test]
fn a_denial_by_a_rule_says_what_would_be_without_it() {
    let otherwise = |call| explain(DOCUMENT, ("support", 0, "trial"), call).otherwise.unwrap();
    assert_eq!(otherwise(("billing", "refund")), r#"Without that, rule "allow-refund" would allow it."#);
    assert_eq!(
        otherwise(("billing", "charge")),
        r#"Without that, rule "ask-charge" would allow it once a person has approved it."#
    );
    assert_eq!(otherwise(("mail", "send")), "Without that, no rule would allow it either.");
}

#[test]
fn what_the_tables_refuse_no_rule_was_asked_about() {
    let tables = format!(
        "tools: [{{id: billing}}, {{id: crm}}]\nroles: [{{id: support, tools: [billing]}}, {{id: admin}}]\n{DOCUMENT}"
    );
    for (role, tool, reason) in [
        ("support", "mail", Reason::ToolUnknown),
        ("support", "crm", Reason::NoMatchingRule),
        ("guest", "crm", Reason::NoMatchingRule),
    ] {
        let explained = explain(&tables, (role, 0, "gold"), (tool, "void"));
        assert_eq!(explained.evaluation.reason, reason);
        assert!(explained.matched.is_empty() && explained.near_misses.is_empty() && explained.unevaluated.is_empty());
    }
}

#[test]
fn near_misses_are_bounded_however_large_the_document() {
    let rules = (0..5_000).fold(String::new(), |text, nth| {
        text + &format!(
            "- {{id: r{nth}, role: x{nth}, tool: billing, allowed_actions: [void], when: principal.depth == {nth}}}\n"
        )
    });
    let explained = explain(&format!("rules:\n{rules}"), ("support", 0, "gold"), ("billing", "void"));
    assert_eq!(near(&explained), [r#"rule "r0" would allow it, but is for the role "x0" and not "support""#]);
    let explained = explain(
        &format!("rules:\n{}", rules.replace("principal.depth == ", "principal.depth < 9 || 1 == ")),
        ("support", 0, "gold"),
        ("billing", "void"),
    );
    assert_eq!(explained.near_misses.len(), MAX_NEAR_MISSES);
}
