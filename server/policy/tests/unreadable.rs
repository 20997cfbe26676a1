//! What a door cannot represent is kept as unreadable, and no deny rule that names it is got around.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fmt::Write as _;

use countersign_core::decision::{Effect, Reason};
use countersign_policy::{CompiledPolicy, Context, Evaluation, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

fn ask(policy: &CompiledPolicy, context: &Context) -> (Evaluation, String) {
    let principal = common::root();
    policy.evaluate_in_words(&Request { principal: &principal, tool: "t", action: "a", purpose: "p", context })
}

fn derived(value: &Value) -> Context {
    Context::derived(value.as_object().cloned().unwrap())
}

/// An allow rule without a condition and a deny rule with this one.
fn denying(when: &str) -> CompiledPolicy {
    let document = format!(
        "rules:\n- {{id: ok, role: r, tool: t, allowed_actions: [a]}}\n- id: no\n  effect: deny\n  when: {when:?}\n"
    );
    CompiledPolicy::load(&document, "").unwrap_or_else(|wrong| panic!("{document}\n{wrong}"))
}

#[test]
fn a_deny_rule_is_not_switched_off_by_what_no_context_can_hold() {
    let rules = [
        "context has arguments && context.arguments has amount && context.arguments.amount > 500",
        "context has arguments.amount && context.arguments.amount > 500",
        "context[\"arguments\"][\"amount\"] > 500",
        "!(context has arguments) || !(context.arguments has amount) || context.arguments.amount > 500",
        "if context has arguments.amount then context.arguments.amount > 500 else false",
    ];
    let many: serde_json::Map<String, Value> = (0..65).map(|nth| (format!("a{nth}"), json!(nth))).collect();
    let mut crowded = many;
    crowded.insert("amount".to_owned(), json!(900));
    let calls = [
        json!({"amount": 900, "note": null}),
        json!({"amount": 900, "rate": 0.5}),
        json!({"amount": 900, "note": "x".repeat(1025)}),
        json!({"amount": 900, "id": 9_007_199_254_740_993_i64}),
        json!({"amount": 900, "deep": {"a": {"b": {"c": {"d": 1}}}}}),
        json!({"amount": 900, "": 1}),
        Value::Object(crowded),
        json!({"amount": null}),
        json!({"amount": 900.5}),
        json!({"amount": {"x": null}}),
        json!([null]),
        json!("x".repeat(1025)),
        Value::Null,
    ];
    for when in rules {
        let policy = denying(when);
        for arguments in &calls {
            let (answer, words) = ask(&policy, &derived(&json!({ "arguments": arguments })));
            assert_eq!(answer.effect, Effect::Deny, "{when}\n{arguments}\n{words}");
            assert!(!answer.cacheable);
        }
    }
}

#[test]
fn rules_that_do_not_name_it_are_not_disturbed() {
    let note = "x".repeat(2000);
    let readable = |amount: i64| {
        derived(&json!({"arguments": {"amount": amount, "note": note, "rows": vec![1; 100], "none": null}}))
    };
    for when in [
        "context.arguments.amount > 500",
        "context has arguments.amount && context.arguments.amount > 500",
        "!(context has arguments) || !(context.arguments has amount) || context.arguments.amount > 500",
        "context.purpose == \"q\"",
        "principal.depth > 0",
    ] {
        assert_eq!(ask(&denying(when), &readable(100)).0.reason, Reason::AllowedByRule, "{when}");
    }
    assert_eq!(ask(&denying("context.arguments.amount > 500"), &readable(900)).0.reason, Reason::DeniedByRule);
    // What names the place, something in it, or takes what holds it, is.
    for when in [
        "context.arguments.note == \"x\"",
        "context has arguments.note",
        "context.arguments has note",
        "context.arguments has none",
        "context.arguments.rows.contains(5)",
        "context has arguments.rows.first",
        "context.arguments == {amount: 5}",
        "[context.arguments].contains({amount: 5})",
        "{all: context}.all has other",
        "context == {purpose: \"q\"}",
        "(if principal.depth > 0 then context else context) has amount",
    ] {
        let (answer, words) = ask(&denying(when), &readable(100));
        assert_eq!(answer.reason, Reason::PolicyError, "{when}: {words}");
        assert_eq!(answer.rule_ids.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["no"]);
        assert!(words.contains("no rule can read") && !words.contains("xxx"), "{words}");
    }
    // Too many values hide the whole context, but never the purpose.
    let many: serde_json::Map<String, Value> = (0..65).map(|nth| (format!("a{nth}"), json!(nth))).collect();
    assert_eq!(ask(&denying("context.a0 > 500"), &Context::derived(many.clone())).0.reason, Reason::PolicyError);
    let context = Context::derived(many);
    assert_eq!(ask(&denying("context.purpose == \"q\""), &context).0.reason, Reason::AllowedByRule);
}

#[test]
fn raw_cedar_is_indexed_as_rules_are() {
    let document = "rules: [{id: ok, role: r, tool: t, allowed_actions: [a]}]";
    for (cedar, reason) in [
        ("forbid (principal, action, resource) unless { context.n < 5 };", Reason::PolicyError),
        ("forbid (principal, action, resource) when { true } when { context has n };", Reason::PolicyError),
        ("forbid (principal, action, resource) unless { context.other < 5 };", Reason::AllowedByRule),
        // Not of this call.
        ("forbid (principal, action == Action::\"b\", resource) when { context.n > 5 };", Reason::AllowedByRule),
    ] {
        let policy = CompiledPolicy::load(document, &format!("@id(\"no\") {cedar}")).unwrap();
        assert_eq!(ask(&policy, &derived(&json!({"n": null, "other": 1}))).0.reason, reason, "{cedar}");
    }
}

#[test]
fn declared_values_must_be_readable_and_others_are_ignored() {
    let document = "context: {n: {type: long, required: false}, in: {type: record, required: false, attributes: {t: {type: string, required: false}}}}\n\
                    rules: [{id: ok, role: r, tool: t, allowed_actions: [a]}, {id: no, effect: deny, when: context has n && context.n > 5}]";
    let policy = CompiledPolicy::load(document, "").unwrap();
    for (context, words) in [
        (json!({"n": 1, "other": null, "in": {"other": null}}), None),
        (json!({"n": null}), Some("context.n holds what no rule can read")),
        (json!({"in": {"t": "x".repeat(2000)}}), Some("context.in.t holds what no rule can read")),
        (json!({"in": null}), Some("context.in holds what no rule can read")),
        (
            json!((0..65).map(|nth| (format!("a{nth}"), json!(nth))).collect::<serde_json::Map<_, _>>()),
            Some("context.n holds"),
        ),
    ] {
        let (answer, said) = ask(&policy, &derived(&context));
        match words {
            None => assert_eq!(answer.reason, Reason::AllowedByRule, "{context}"),
            Some(words) => assert!(answer.reason == Reason::PolicyError && said.contains(words), "{context}: {said}"),
        }
    }
}

const PATHS: [&[&str]; 5] = [&["a"], &["b"], &["r"], &["r", "x"], &["r", "y"]];

fn spelled(path: &[&str]) -> String {
    path.iter().fold("context".to_owned(), |text, name| text + "." + name)
}

/// A condition, at times one that fails to evaluate.
fn condition() -> impl Strategy<Value = String> {
    let has = prop::sample::select(&PATHS[..]).prop_map(|path| format!("context has {}", path.join(".")));
    let number = prop::sample::select(vec!["a", "r.x"]).prop_flat_map(|path| {
        (0i64..3, prop::sample::select(vec!["<", "==", ">="]))
            .prop_map(move |(n, op)| format!("context.{path} {op} {n}"))
    });
    let text = prop::sample::select(vec!["b", "r.y"]).prop_map(|path| format!("context.{path} like \"x*\""));
    let whole =
        prop::sample::select(vec!["context == {a: 1}", "[context.r].contains({x: 1})", "context.purpose == \"p\""])
            .prop_map(str::to_owned);
    let leaf = prop_oneof![4 => has, 4 => number, 3 => text, 1 => whole, 1 => Just("principal.depth > 0".to_owned())];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

fn rules() -> impl Strategy<Value = String> {
    let rule = (condition(), any::<bool>()).prop_map(|(when, deny)| (when, deny));
    prop::collection::vec(rule, 1..5).prop_map(|rules| {
        let mut document = "rules:\n- {id: ok, role: r, tool: t, allowed_actions: [a]}\n".to_owned();
        for (nth, (when, deny)) in rules.into_iter().enumerate() {
            let effect = if deny { "deny" } else { "allow" };
            let _ = writeln!(
                document,
                "- {{id: r{nth}, effect: {effect}, role: r, tool: t, allowed_actions: [a], when: {when:?}}}"
            );
        }
        document
    })
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        (0i64..3).prop_map(Value::from),
        prop::sample::select(vec!["x", "xy", "z"]).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    prop_oneof![
        3 => scalar.clone(),
        1 => prop::collection::vec(scalar.clone(), 0..3).prop_map(Value::from),
        1 => prop::collection::btree_map("[xy]", scalar, 0..2).prop_map(|map| json!(map)),
    ]
}

fn context() -> impl Strategy<Value = Value> {
    let inner = prop::option::of((prop::option::of(0i64..3), prop::option::of(prop::sample::select(vec!["x", "z"]))));
    (prop::option::of(0i64..3), prop::option::of(prop::sample::select(vec!["x", "z"])), inner).prop_map(|(a, b, r)| {
        let mut context = serde_json::Map::new();
        context.extend(a.map(|a| ("a".to_owned(), json!(a))));
        context.extend(b.map(|b| ("b".to_owned(), json!(b))));
        if let Some((x, y)) = r {
            let mut inside = serde_json::Map::new();
            inside.extend(x.map(|x| ("x".to_owned(), json!(x))));
            inside.extend(y.map(|y| ("y".to_owned(), json!(y))));
            context.insert("r".to_owned(), Value::Object(inside));
        }
        Value::Object(context)
    })
}

/// Puts `value` where `path` leads.
fn put(context: &mut Value, path: &[&str], value: Value) {
    let (last, holders) = path.split_last().unwrap();
    let mut here = context;
    for name in holders {
        if !here[*name].is_object() {
            here[*name] = json!({});
        }
        here = &mut here[*name];
    }
    here[*last] = value;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// If a call that holds something unreadable is allowed, it is allowed whatever stands there.
    #[test]
    fn what_is_allowed_unread_is_allowed_whatever_it_is(
        document in rules(),
        context in context(),
        path in prop::sample::select(&PATHS[..]),
        bad in prop::sample::select(vec![json!(null), json!(0.5), json!("x".repeat(1025)), json!([null]), json!(u64::MAX)]),
        values in prop::collection::vec(value(), 1..8),
    ) {
        // Some random rules contradict each other; those say nothing here.
        if let Ok(policy) = CompiledPolicy::load(&document, "") {
            let mut unread = context.clone();
            put(&mut unread, path, bad);
            let answer = ask(&policy, &derived(&unread)).0;
            if answer.effect == Effect::Allow {
                for value in values {
                    let mut read = context.clone();
                    put(&mut read, path, value);
                    let other = ask(&policy, &Context::from_json(read.as_object().cloned().unwrap()).unwrap()).0;
                    prop_assert_eq!(&other, &answer, "{}\n{} {}", document, spelled(path), read);
                }
            }
        }
    }
}
