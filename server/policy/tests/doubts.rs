//! Conditions that are good Cedar and no good rule: what is refused, what is warned of, and what is taken in another form.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use countersign_core::decision::Reason;
use countersign_policy::{CompiledPolicy, Context, Request};
use serde_json::{Value, json};

const OK: &str = "- {id: ok, role: r, tool: t, allowed_actions: [a, charge]}\n";
const DECLARED: &str = "context: {n: {type: long, required: false}, m: {type: long}, only: {type: long, tools: [t]}, inner: {type: record, required: false, attributes: {x: {type: long, required: false}}}}\n";
const TYPES: &str = "types: [{id: user, attributes: {level: {type: long}, nick: {type: string, required: false}}}, {id: doc, attributes: {locked: {type: bool, required: false}, by: {type: record, required: false, attributes: {name: {type: string}}}}}]\n\
                     entities: [{type: doc, id: global, attributes: {locked: true}}]\n";

/// A document whose second rule, on line 4 or 7, has this effect and condition.
fn document(declared: &str, effect: &str, when: &str) -> String {
    format!(
        "{declared}rules:\n{OK}- id: one\n  effect: {effect}\n  role: r\n  tool: t\n  allowed_actions: [a]\n  when: {when:?}\n"
    )
}

/// What a document is refused with, and if it is not, what it is warned of.
fn said(document: &str, cedar: &str) -> (Vec<String>, Vec<String>) {
    let words = |all: &[countersign_policy::Violation]| all.iter().map(ToString::to_string).collect();
    match CompiledPolicy::load(document, cedar) {
        Ok(policy) => (Vec::new(), words(policy.warnings())),
        Err(refused) => (words(refused.as_slice()), Vec::new()),
    }
}

#[track_caller]
fn one(said: &[String], words: &str, about: &str) {
    assert!(said.len() == 1 && said[0].contains(words), "{about}\nwanted {words}\nis     {said:#?}");
}

#[test]
fn an_unknown_attribute_fails_deny_rules_and_warns_in_others() {
    for (when, words) in [
        (
            "principal has tier && principal.hasTag(\"tier\")",
            "8:24: rules[1].when: principal has no attribute \"tier\"",
        ),
        ("principal has tier", "principal.hasTag(\"tier\")"),
        ("!(principal has tier) || true", "no attribute \"tier\""),
        ("principal has detph && principal.depth > 1", "did you mean \"depth\"?"),
        ("resource has risk", "resource has no attribute \"risk\""),
        ("action has name", "an action has no attributes"),
        ("context has ticket && principal has tier", "no attribute \"tier\""),
        ("Instance::\"inst_1\".hasTag(\"x\")", "knows only the run that calls"),
        ("Instance::\"inst_1\" in Role::\"r\"", "knows only the run that calls"),
    ] {
        let (errors, _) = said(&document("", "deny", when), "");
        one(&errors, words, when);
        let (errors, warnings) = said(&document("", "allow", when), "");
        assert!(errors.is_empty(), "{when}\n{errors:#?}");
        one(&warnings, words, when);
    }
}

#[test]
fn declared_types_and_entities_are_known_by_name_too() {
    for (head, when, words) in [
        (
            "principal is user, action, resource is doc",
            "resource has lokced && resource.level > 1",
            "resource has no attribute \"lokced\"; did you mean \"locked\"?",
        ),
        (
            "principal is user, action, resource is doc",
            "resource has by.nam",
            "resource.by has no attribute \"nam\"; did you mean \"name\"?",
        ),
        ("principal is user, action, resource is doc", "principal has nik", "did you mean \"nick\"?"),
        (
            "principal is user, action, resource is doc",
            "doc::\"globl\" has locked && doc::\"globl\".locked",
            "doc::\"globl\" is not among `entities`, so it has no attributes; did you mean \"global\"?",
        ),
        (
            "principal, action, resource",
            "doc::\"global\" has lockd",
            "has no attribute \"lockd\"; did you mean \"locked\"?",
        ),
    ] {
        let cedar = format!("@id(\"no\")\nforbid ({head}) when {{ {when} }};");
        let (errors, _) = said(&format!("{TYPES}rules:\n{OK}"), &cedar);
        assert!(
            errors.iter().any(|error| error.contains("cedar[no]: ") && error.contains(words)),
            "{when}\n{errors:#?}"
        );
    }
    for good in ["doc::\"global\" has locked && doc::\"global\".locked", "principal == user::\"anybody\""] {
        let cedar = format!("@id(\"no\") forbid (principal is user, action, resource is doc) when {{ {good} }};");
        let (errors, _) = said(&format!("{TYPES}rules:\n{OK}"), &cedar);
        assert!(errors.is_empty(), "{good}\n{errors:#?}");
    }
}

#[test]
fn a_deny_rule_that_can_never_apply_is_refused() {
    for when in [
        "false",
        "principal.depth > 1 && false",
        "action == Action::\"charge\" && action == Action::\"a\"",
        "resource in Role::\"r\"",
        "principal is Tool",
        "context has n && !(context has n)",
    ] {
        let (errors, _) = said(&document("", "deny", when), "");
        one(&errors, "can never apply", when);
        let (errors, warnings) = said(&document("", "allow", when), "");
        assert!(errors.is_empty(), "{when}: {errors:?}");
        one(&warnings, "can never apply", when);
    }
    for cedar in
        ["forbid (principal, action, resource) unless { true };", "forbid (principal, action, resource is Role);"]
    {
        let (errors, _) = said(&format!("rules:\n{OK}"), &format!("@id(\"no\") {cedar}"));
        assert!(errors.iter().any(|error| error.contains("can never apply")), "{cedar}: {errors:?}");
    }
    // What a call may have or not have is no impossibility.
    for when in ["!(context has ticket)", "context has ticket", "!(context has n) && context has m", "true"] {
        assert_eq!(said(&document("", "deny", when), "").0, [""; 0], "{when}");
    }
    assert_eq!(said(&document(DECLARED, "deny", "!(context has n)"), "").0, [""; 0]);
    one(&said(&document(DECLARED, "deny", "!(context has m)"), "").0, "can never apply", "it is required");
}

#[test]
fn scopes_that_nothing_comes_to_are_warned_of() {
    let rules = "- {id: no, effect: deny, role: r, tool: t, allowed_actions: [chrage]}\n- {id: off, role: r, tool: u, allowed_actions: [a]}\n";
    let (errors, warnings) = said(&format!("roles: [{{id: r, tools: [t]}}]\nrules:\n{OK}{rules}"), "");
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(
        warnings[0].starts_with("4:3: rules[1]: no rule allows the action \"chrage\"")
            && warnings[0].ends_with("did you mean \"charge\"?"),
        "{warnings:#?}"
    );
    assert!(warnings[1].starts_with("5:3: rules[2]: never applies"), "{warnings:#?}");
}

#[test]
fn a_deny_rule_that_a_gap_switches_off_is_warned_of() {
    for (declared, when, words) in [
        (
            "",
            "context has n && context.n > 5",
            "8:22: rules[1].when: this deny rule does not apply if context.n is missing, so a call can avoid it by leaving that out; to deny such calls too: !(context has n) || context.n > 5",
        ),
        (
            "",
            "context has inner && context.inner has x && context.inner.x > 5",
            "context.inner, context.inner.x is missing",
        ),
        ("", "context.m > 1 && context has n", "context.n is missing"),
        ("", "if context has n then context.n > 5 else false", "!(context has n) || ..."),
        (DECLARED, "context has n && context.n > 5", "context.n is missing"),
        (DECLARED, "context has inner.x && context.inner.x > 5", "context.inner.x is missing"),
    ] {
        let (errors, warnings) = said(&document(declared, "deny", when), "");
        assert!(errors.is_empty(), "{when}: {errors:?}");
        one(&warnings, words, when);
    }
    for (declared, when) in [
        ("", "!(context has n) || context.n > 5"),
        ("", "if context has n then context.n > 5 else true"),
        ("", "context has n || context.m > 5"),
        ("", "context.purpose == \"x\""),
        ("", "principal.hasTag(\"tier\") && principal.getTag(\"tier\") == \"trial\""),
        // A call on the tool must have it.
        ("context: {m: {type: long}}\n", "context has m && context.m > 5"),
    ] {
        let (errors, warnings) = said(&document(declared, "deny", when), "");
        assert_eq!((errors, warnings), (Vec::new(), Vec::new()), "{when}");
    }
    let (_, warnings) = said(&document("", "allow", "context has n && context.n > 5"), "");
    assert!(warnings.is_empty(), "an allow rule denies by itself: {warnings:?}");
    let cedar = "@id(\"no\")\nforbid (principal is user, action, resource is doc)\nunless { !(principal has nick) || principal.nick == \"x\" };";
    one(
        &said(&format!("{TYPES}rules:\n{OK}"), cedar).1,
        "3:26: cedar[no]: this deny rule does not apply if principal.nick is missing",
        cedar,
    );
}

fn ask(policy: &CompiledPolicy, context: &Value) -> Reason {
    let principal = common::root();
    let context = Context::from_json(context.as_object().cloned().unwrap()).unwrap();
    policy.evaluate(&Request { principal: &principal, tool: "t", action: "a", purpose: "p", context: &context }).reason
}

#[test]
fn a_deny_rule_that_survives_gaps_is_taken_if_optional() {
    for (when, n) in [
        ("!(context has n) || context.n > 5", true),
        ("!(context has n) || context.n > 5 || context.m > 5", true),
        ("context.m > 5 || !(context has n) || context.n > 5", true),
        ("!(context has inner) || !(context.inner has x) || context.inner.x > 5", false),
        ("!(context has inner.x) || context.inner.x > 5", false),
        ("!(!(context has n && context.n > 5) && context has n)", true),
        ("if !(context has n) then true else context.n > 5", true),
        ("(!(context has n) || context.n > 5) && context.m < 100", true),
    ] {
        let policy = CompiledPolicy::load(&document(DECLARED, "deny", when), "")
            .unwrap_or_else(|wrong| panic!("{when}\n{wrong}"));
        let with = |value: Option<i64>| match (n, value) {
            (_, None) => json!({"m": 1, "only": 1}),
            (true, Some(value)) => json!({"m": 1, "only": 1, "n": value}),
            (false, Some(value)) => json!({"m": 1, "only": 1, "inner": {"x": value}}),
        };
        assert_eq!(ask(&policy, &with(None)), Reason::DeniedByRule, "{when}");
        assert_eq!(ask(&policy, &with(Some(6))), Reason::DeniedByRule, "{when}");
        assert_eq!(ask(&policy, &with(Some(5))), Reason::AllowedByRule, "{when}");
        // It is shown, and given to other tools, as it was written.
        assert!(policy.to_cedar().contains(when), "{}", policy.to_cedar());
    }
    // What does not hold in that form either is said of the text as it stands.
    let (errors, _) = said(&document(DECLARED, "deny", "context.n > 5 || !(context has n)"), "");
    one(&errors, "`!(... has x) || ...`", "the order is wrong");
    assert!(errors[0].starts_with("9:10: "), "{errors:?}");
    // Raw Cedar, and what types declare.
    let cedar = "@id(\"no\") forbid (principal is user, action, resource is doc) when { !(principal has nick) || principal.nick == \"x\" };";
    assert_eq!(said(&format!("{TYPES}rules:\n{OK}"), cedar), (Vec::new(), Vec::new()));
}

#[test]
fn what_is_stored_already_goes_on_answering_with_its_faults() {
    let text = document("", "deny", "principal has tier && principal.depth > 0");
    assert!(CompiledPolicy::load(&text, "").is_err());
    let policy = CompiledPolicy::load_stored(&text, "").unwrap();
    assert_eq!(policy.faults().len(), 1);
    assert_eq!(ask(&policy, &json!({})), Reason::AllowedByRule);
    // What was an error before is one still, and comes with the faults of a new document.
    let both = text.replace("role: r\n", "role: R\n");
    assert!(CompiledPolicy::load_stored(&both, "").is_err());
    assert!(CompiledPolicy::load(include_str!("documents/policy-config.yaml"), "").unwrap().warnings().is_empty());
    assert!(CompiledPolicy::load(include_str!("documents/starter.yaml"), "").unwrap().warnings().is_empty());
    let dev = CompiledPolicy::load(include_str!("../../src/dev/policy-config.yaml"), "").unwrap();
    assert!(dev.warnings().is_empty(), "{:?}", dev.warnings());
}
