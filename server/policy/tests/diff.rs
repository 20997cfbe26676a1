//! What changes from one policy to another, in words.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod random;

use countersign_policy::{CompiledPolicy, diff};
use proptest::prelude::*;
use random::{answer, call, document};

fn load(document: &str, cedar: &str) -> CompiledPolicy {
    // Random rules have faults.
    CompiledPolicy::load_stored(document, cedar).unwrap_or_else(|wrong| panic!("{document}\n{cedar}\n{wrong}"))
}

const RULE: &str = "rules: [{id: one, role: support, tool: billing, allowed_actions: [refund]}]\n";

/// What changes where `from` in a document becomes `to`.
fn edited(document: &str, from: &str, to: &str) -> Vec<String> {
    assert!(document.contains(from), "{from}");
    diff(&load(document, ""), &load(&document.replace(from, to), ""))
}

#[test]
fn a_rule_changes_field_by_field() {
    for (from, to, said) in [
        ("id: one", "effect: deny, id: one", &["effect was allow, is deny"][..]),
        ("id: one", "require_approval: true, id: one", &["effect was allow, is allow once a person has approved it"]),
        ("support", "admin", &["role was \"support\", is \"admin\""]),
        ("billing", "search", &["tool was \"billing\", is \"search\""]),
        ("[refund]", "[charge, void]", &["actions gain \"charge\", \"void\" and lose \"refund\""]),
        ("id: one", "id: one, when: principal.depth < 2", &["condition is added: `principal.depth < 2`"]),
        (
            "role: support, tool: billing",
            "effect: deny",
            &["effect was allow, is deny", "role was \"support\", is any", "tool was \"billing\", is any"],
        ),
    ] {
        let said: Vec<_> = said.iter().map(|said| format!("rule \"one\": {said}")).collect();
        assert_eq!(edited(RULE, from, to), said);
    }
    let conditional = RULE.replace("id: one", "id: one, when: context.n < 2");
    assert_eq!(
        edited(&conditional, "context.n < 2", "context.n < 3"),
        ["rule \"one\": condition was `context.n < 2`, is `context.n < 3`"]
    );
    assert_eq!(diff(&load(&conditional, ""), &load(RULE, "")), ["rule \"one\": condition is gone: `context.n < 2`"]);
    assert_eq!(
        edited(RULE, "id: one", "id: two"),
        [
            "rule \"one\" is gone: effect allow, role \"support\", tool \"billing\", actions \"refund\"",
            "rule \"two\" is added: effect allow, role \"support\", tool \"billing\", actions \"refund\"",
        ]
    );
}

#[test]
fn every_part_of_a_document_is_compared() {
    let old = "\
roles: [{id: support, tools: [billing]}, {id: clerk}]
tools: [{id: billing}, {id: search, risk: low}]
context: {amount: {type: long}, who: {type: record, attributes: {tier: {type: string}}}}
types: [{id: user, attributes: {email: {type: string}, age: {type: long}}}, {id: todo}]
entities: [{type: user, id: al, attributes: {email: a@b, age: 3}}]
rules: [{id: one, role: support, tool: billing, allowed_actions: [refund]}]
rollout: {percent: 10, scope: {tools: [billing]}}
";
    let new = "\
roles: [{id: support, max_ttl_seconds: 300}, {id: admin}]
tools: [{id: billing, risk: high}, {id: search, risk: low, cacheable: false}]
context:
  amount: {type: string, required: false, tools: [billing]}
  who: {type: record, attributes: {tier: {type: bool}, seats: {type: long, required: false}}}
types: [{id: user, attributes: {email: {type: string, required: false}, teams: {type: set, of: string}}}, {id: task}]
entities: [{type: user, id: al, attributes: {email: c@d}}, {type: task, id: \"1\"}]
rules: [{id: one, role: support, tool: billing, allowed_actions: [refund]}]
rollout: {percent: 5, steps: [5, 100], scope: {tools: [billing, search]}, gates: {on_breach: pause}}
";
    let raw = "@id(\"raw\") forbid (principal is user, action, resource) ";
    let (was, is) = (format!("{raw}when {{ principal.age < 9 }};"), format!("{raw}when {{ true }};"));
    assert_eq!(
        diff(&load(old, &was), &load(new, &is)),
        [
            "role \"support\": tools were \"billing\", are any",
            "role \"support\": longest credential was the installation's, is 300 s",
            "role \"clerk\" is gone: tools any, longest credential the installation's",
            "role \"admin\" is added: tools any, longest credential the installation's",
            "tool \"billing\": risk was medium, is high",
            "tool \"billing\": cacheable was true, is false",
            "tool \"search\": cacheable was true, is false",
            "context \"amount\": type was a whole number, is text",
            "context \"amount\": presence was required, is optional",
            "context \"amount\": tools were every, are \"billing\"",
            "context \"who\" \"tier\": type was text, is true or false",
            "context \"who\" \"seats\" is added: type a whole number, presence optional",
            "type \"todo\" is gone",
            "type \"user\": attribute \"email\" was text, required, is text, optional",
            "type \"user\": attribute \"age\" is gone: a whole number, required",
            "type \"user\": attribute \"teams\" is added: a set of text, required",
            "type \"task\" is added",
            "entity user::\"al\": attribute \"email\" was `\"a@b\"`, is `\"c@d\"`",
            "entity user::\"al\": attribute \"age\" is gone: `3`",
            "entity task::\"1\" is added",
            &format!("Cedar policy \"raw\": text was `{was}`, is `{is}`"),
            "the rollout: percent was 10, is 5",
            "the rollout: steps was the default, is 5, 100",
            "the rollout: scope.tools gain \"search\"",
            "the rollout: gates.on_breach was rollback, is pause",
        ]
    );
    let bare = diff(&load(old, ""), &load(RULE, ""));
    for said in [
        "roles are no longer listed: rules may be for any role",
        "tools are no longer registered: rules may be for any tool",
        "the context is no longer declared: rules may read anything",
        "the rollout is gone: percent 10, ",
    ] {
        assert!(bare.iter().any(|sentence| sentence.starts_with(said)), "{said}\n{bare:?}");
    }
    let back = diff(&load(RULE, ""), &load(old, ""));
    assert_eq!(back[0], "roles are listed: every other role is denied");
    assert!(back.contains(&"the context is declared: rules can read nothing else, and calls must match it".to_owned()));
}

#[test]
fn what_says_the_same_is_no_change_however_it_is_written() {
    let two = "
# A comment, other quotes, another order, defaults spelled out.
rules:
- {id: two, effect: deny, tool: \"billing\"}
- {tool: billing, allowed_actions: [b, a], role: support, id: one, effect: allow, require_approval: false, when: ' true'}
tools:
- {id: billing, risk: medium, cacheable: true}
";
    let one = "{tools: [{id: billing}], rules: [
        {id: one, when: 'true', role: support, tool: billing, allowed_actions: [a, b]}, {id: two, effect: deny, tool: billing}]}";
    assert_eq!(diff(&load(one, ""), &load(two, "")), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_policy_does_not_differ_from_itself((document, cedar) in document()) {
        prop_assert_eq!(diff(&load(&document, &cedar), &load(&document, &cedar)), Vec::<String>::new());
    }

    #[test]
    fn where_two_policies_answer_otherwise_something_is_said(
        (document, cedar) in document(),
        (other, other_cedar) in document(),
        keep in (any::<bool>(), any::<bool>()),
        calls in prop::collection::vec(call(), 1..24),
    ) {
        // Half of one and half of the other are nearer to each other than two of their own.
        let old = load(&document, &cedar);
        let new = CompiledPolicy::load(
            if keep.0 { &document } else { &other },
            if keep.1 { &cedar } else { &other_cedar },
        );
        let Ok(new) = new else { return Ok(()) };
        let differs = calls.iter().any(|call| answer(&old, call) != answer(&new, call));
        prop_assert!(!differs || !diff(&old, &new).is_empty());
        prop_assert_eq!(diff(&old, &new).is_empty(), diff(&new, &old).is_empty());
    }
}
