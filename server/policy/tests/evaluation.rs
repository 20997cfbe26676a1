//! What a loaded document answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;

use countersign_core::decision::{Effect, Reason};
use countersign_policy::{CompiledPolicy, Context, Evaluation, Principal, PrincipalSpec, Request};
use serde_json::{Value, json};

const STARTER: &str = include_str!("documents/starter.yaml");

fn principal(role: &str, depth: u32) -> Principal {
    Principal::new(&PrincipalSpec {
        agent_instance_id: "inst_1",
        root_instance_id: "inst_1",
        sponsor_id: "alice",
        agent: "support-assistant",
        role,
        inherited_roles: &[],
        depth,
        purpose: "ticket 42",
        tools: &[],
        labels: &BTreeMap::from([("tier".to_owned(), "trial".to_owned())]),
    })
}

fn ask(
    policy: &CompiledPolicy,
    (role, depth): (&str, u32),
    (tool, action): (&str, &str),
    context: Value,
) -> Evaluation {
    ask_in_words(policy, (role, depth), (tool, action), context).0
}

fn ask_in_words(
    policy: &CompiledPolicy,
    (role, depth): (&str, u32),
    (tool, action): (&str, &str),
    context: Value,
) -> (Evaluation, String) {
    let Value::Object(object) = context else { panic!("an object") };
    let context = Context::from_json(object).unwrap();
    let principal = principal(role, depth);
    let request = Request { principal: &principal, tool, action, purpose: "ticket 42", context: &context };
    let (answer, words) = policy.evaluate_in_words(&request);
    assert_eq!(policy.evaluate(&request), answer, "words change nothing");
    (answer, words)
}

#[test]
fn the_starter_table_answers_as_it_reads() {
    let policy = CompiledPolicy::load(STARTER, "").unwrap();
    let cents = |n: i64| json!({ "amount_cents": n });
    let rows = [
        (("support", 0), ("billing", "refund"), cents(50_000), Reason::AllowedByRule, vec!["allow-support-billing"]),
        (("support", 0), ("billing", "refund"), cents(50_001), Reason::ApprovalRequired, vec!["approve-large-refunds"]),
        (("support", 0), ("billing", "charge"), cents(50_001), Reason::NoMatchingRule, vec![]),
        (("support", 2), ("billing", "refund"), cents(1), Reason::DeniedByRule, vec!["no-refunds-at-depth"]),
        (("support", 2), ("billing", "charge"), cents(1), Reason::AllowedByRule, vec!["allow-support-billing"]),
        (("support", 0), ("billing", "charge"), json!({}), Reason::PolicyError, vec!["allow-support-billing"]),
        (
            ("support", 0),
            ("billing", "charge"),
            json!({"amount_cents": "1"}),
            Reason::PolicyError,
            vec!["allow-support-billing"],
        ),
        (("support", 0), ("search", "query"), json!({}), Reason::AllowedByRule, vec!["allow-support-search"]),
        (("support", 0), ("search", "delete"), json!({}), Reason::NoMatchingRule, vec![]),
        (("support", 0), ("file", "read"), json!({}), Reason::NoMatchingRule, vec![]),
        (("support", 0), ("mail", "send"), json!({}), Reason::ToolUnknown, vec![]),
        (("admin", 0), ("file", "read"), json!({}), Reason::AllowedByRule, vec!["allow-admin-file"]),
        (("user", 0), ("search", "query"), json!({}), Reason::AllowedByRule, vec!["allow-user-search"]),
        (("user", 0), ("billing", "charge"), json!({}), Reason::NoMatchingRule, vec![]),
        (("guest", 0), ("search", "query"), json!({}), Reason::NoMatchingRule, vec![]),
    ];
    for (who, call, context, reason, rules) in rows {
        let answer = ask(&policy, who, call, context);
        let ids: Vec<&str> = answer.rule_ids.iter().map(AsRef::as_ref).collect();
        assert_eq!((answer.reason, ids), (reason, rules), "{who:?} {call:?}");
        let effect = match reason {
            Reason::AllowedByRule => Effect::Allow,
            Reason::ApprovalRequired => Effect::RequireApproval,
            _ => Effect::Deny,
        };
        assert_eq!(answer.effect, effect, "{who:?} {call:?}");
    }
}

#[test]
fn messages_say_what_and_why_and_never_hold_context_values() {
    let policy = CompiledPolicy::load(STARTER, "").unwrap();
    let message = |who, call, context| ask_in_words(&policy, who, call, context).1;
    let rows = [
        (
            ("support", 0),
            ("search", "query"),
            json!({}),
            r#"rule "allow-support-search" allows role "support" to call "query" on tool "search""#,
        ),
        (
            ("support", 0),
            ("billing", "refund"),
            json!({"amount_cents": 60_123}),
            r#"rule "approve-large-refunds" allows role "support" to call "refund" on tool "billing" once a person has approved it"#,
        ),
        (
            ("support", 2),
            ("billing", "refund"),
            json!({"amount_cents": 1}),
            r#"rule "no-refunds-at-depth" forbids role "support" to call "refund" on tool "billing""#,
        ),
        (
            ("support", 0),
            ("billing", "charge"),
            json!({"amount_cents": 60_123}),
            r#"no rule allows role "support" to call "charge" on tool "billing": the condition of rule "allow-support-billing" does not hold"#,
        ),
        (
            ("support", 0),
            ("billing", "refund"),
            json!({"amount_cents": "60123"}),
            r#"rules "allow-support-billing", "approve-large-refunds" fail to evaluate, so the call is denied: an attribute is missing or of another type; read is context.amount_cents"#,
        ),
        (
            ("support", 0),
            ("search", "drop"),
            json!({}),
            r#"no rule allows role "support" to call "drop" on tool "search""#,
        ),
        (("support", 0), ("mail", "send"), json!({}), r#"the policy does not know the tool "mail""#),
        (("guest", 0), ("search", "query"), json!({}), r#"the policy does not list the role "guest""#),
        (("user", 0), ("billing", "charge"), json!({}), r#"the role "user" may not use the tool "billing""#),
    ];
    for (who, call, context, wanted) in rows {
        assert_eq!(message(who, call, context), wanted);
    }
}

#[test]
fn the_stricter_answer_wins() {
    let rule = |id: &str, more: &str| format!("- {{id: {id}, role: r, tool: t, allowed_actions: [a]{more}}}\n");
    let reason = |rules: &[(&str, &str)]| {
        let rules: String = rules.iter().map(|(id, more)| rule(id, more)).collect();
        ask(&CompiledPolicy::load(&format!("rules:\n{rules}"), "").unwrap(), ("r", 1), ("t", "a"), json!({})).reason
    };
    let (allow, ask, deny, fail) =
        (("allow", ""), ("ask", ", require_approval: true"), ("deny", ", effect: deny"), ("fail", ", when: context.x"));
    assert_eq!(reason(&[allow]), Reason::AllowedByRule);
    assert_eq!(reason(&[allow, ask]), Reason::ApprovalRequired);
    assert_eq!(reason(&[ask, allow, deny]), Reason::DeniedByRule);
    assert_eq!(reason(&[ask, allow, deny, fail]), Reason::PolicyError);
    assert_eq!(reason(&[allow, ("failing-deny", ", effect: deny, when: context.x")]), Reason::PolicyError);
    assert_eq!(
        reason(&[allow, ("guarded", ", effect: deny, when: context has x && context.x")]),
        Reason::AllowedByRule
    );
    assert_eq!(reason(&[("unmet", ", when: principal.depth > 1")]), Reason::NoMatchingRule);
    assert_eq!(reason(&[("met", ", when: principal.depth == 1")]), Reason::AllowedByRule);
}

#[test]
fn a_deny_without_a_scope_covers_everything() {
    let document = "rules:\n- {id: a, role: r, tool: t, allowed_actions: [a]}\n- {id: d, effect: deny, when: principal.depth > 1}\n";
    let policy = CompiledPolicy::load(document, "").unwrap();
    assert_eq!(ask(&policy, ("r", 1), ("t", "a"), json!({})).reason, Reason::AllowedByRule);
    assert_eq!(ask(&policy, ("r", 2), ("t", "a"), json!({})).reason, Reason::DeniedByRule);
    assert_eq!(ask(&policy, ("else", 2), ("any", "thing"), json!({})).reason, Reason::DeniedByRule);
}

#[test]
fn an_allow_is_cacheable_unless_tool_or_condition_forbids() {
    let document = "\
tools: [{id: low, risk: low}, {id: high, risk: high}]
rules:
- {id: plain, role: r, tool: low, allowed_actions: [a, b, c]}
- {id: high, role: r, tool: high, allowed_actions: [a]}
- {id: who, role: who, tool: low, allowed_actions: [a], when: principal.depth < 2}
- {id: limit, effect: deny, role: r, tool: low, allowed_actions: [b], when: context has n && context.n > 1}
- {id: ask, role: r, tool: low, allowed_actions: [c], require_approval: true}
";
    let policy = CompiledPolicy::load(document, "").unwrap();
    let cacheable = |role, tool, action| ask(&policy, (role, 1), (tool, action), json!({})).cacheable;
    assert!(cacheable("r", "low", "a"));
    assert!(cacheable("who", "low", "a"), "the caller does not change");
    assert!(!cacheable("r", "high", "a"), "high risk");
    assert!(!cacheable("r", "low", "b"), "another context would be denied");
    assert!(!cacheable("r", "low", "c"), "not an ALLOW");
    assert!(!cacheable("r", "low", "d"), "not an ALLOW");
}

#[test]
fn odd_names_in_a_request_match_nothing() {
    let policy = CompiledPolicy::load("rules:\n- {id: a, role: r, tool: t, allowed_actions: [a]}\n", "").unwrap();
    for odd in ["", "*", "T", "t\0", "\"", "ä", &"t".repeat(10_000)] {
        let (answer, words) = ask_in_words(&policy, ("r", 0), (odd, "a"), json!({}));
        assert_eq!(answer.reason, Reason::NoMatchingRule);
        assert!(words.len() < 512);
        assert_eq!(ask(&policy, ("r", 0), ("t", odd), json!({})).reason, Reason::NoMatchingRule);
        assert_eq!(ask(&policy, (odd, 0), ("t", "a"), json!({})).reason, Reason::NoMatchingRule);
    }
}

#[test]
fn policies_and_callers_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<CompiledPolicy>();
    shared::<Principal>();
    shared::<Context>();
}
