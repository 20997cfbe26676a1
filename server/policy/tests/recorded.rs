//! What of a call's context the custody log states: which attributes may be marked, and what of a call that gives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use countersign_core::decision::Reason;
use countersign_policy::{CompiledPolicy, Context, RecordedValue, Request, diff};
use serde_json::{Value, json};

const RULES: &str =
    "rules: [{id: ok, role: r, tool: t, allowed_actions: [a]}, {id: ok2, role: r, tool: u, allowed_actions: [a]}]\n";
const DECLARED: &str = "\
context:
  zone: {type: string, required: false, values: [eu, us], record: true}
  amount_cents: {type: long, required: false, record: true, tools: [t]}
  note: {type: string, required: false}
  arguments:
    type: record
    required: false
    tools: [t]
    attributes:
      urgent: {type: bool, required: false, record: true}
      kind: {type: string, required: false, values: [new, 'old one']}
";

/// What is recorded of a call on `tool`, and why it was answered as it was.
fn recorded(policy: &CompiledPolicy, tool: &str, context: &Value) -> (Vec<String>, Reason) {
    let principal = common::root();
    let context = Context::derived(context.as_object().cloned().unwrap());
    let request = Request { principal: &principal, tool, action: "a", purpose: "p", context: &context };
    let said = policy.recorded_context(&request).into_iter().map(|one| match one.value {
        RecordedValue::Bool(value) => format!("{}={value}", one.name),
        RecordedValue::Long(value) => format!("{}={value}", one.name),
        RecordedValue::Word(word) => format!("{}={word}", one.name),
    });
    (said.collect(), policy.evaluate(&request).reason)
}

#[test]
fn marked_attributes_are_recorded_as_declared_by_name() {
    let policy = CompiledPolicy::load(&format!("{DECLARED}{RULES}"), "").unwrap_or_else(|wrong| panic!("{wrong}"));
    for (tool, context, wanted, reason) in [
        ("t", json!({}), vec![], Reason::AllowedByRule),
        (
            "t",
            json!({"zone": "eu", "amount_cents": -5, "note": "never", "arguments": {"urgent": true, "kind": "new", "more": 1}}),
            vec!["amount_cents=-5", "arguments.urgent=true", "zone=eu"],
            Reason::AllowedByRule,
        ),
        (
            "u",
            json!({"zone": "us", "amount_cents": 5, "arguments": {"urgent": true}}),
            vec!["zone=us"],
            Reason::AllowedByRule,
        ),
        // What is not as it is declared is not recorded, and the call is denied.
        ("t", json!({"zone": "asia", "amount_cents": 1}), vec!["amount_cents=1"], Reason::PolicyError),
        ("t", json!({"zone": "eu", "amount_cents": "1"}), vec!["zone=eu"], Reason::PolicyError),
        ("t", json!({"zone": null, "amount_cents": 0.5}), vec![], Reason::PolicyError),
        ("t", json!({"arguments": {"kind": "newer"}}), vec![], Reason::PolicyError),
    ] {
        assert_eq!(
            recorded(&policy, tool, &context),
            (wanted.iter().map(ToString::to_string).collect(), reason),
            "{tool} {context}"
        );
    }
    let plain = CompiledPolicy::load(RULES, "").unwrap();
    assert!(recorded(&plain, "t", &json!({"amount_cents": 1})).0.is_empty(), "nothing is declared");
}

#[test]
fn attributes_that_the_log_cannot_state_are_refused() {
    for (attribute, wanted) in [
        (
            "{type: string, record: true}",
            "2:29: context.a.record: text is recorded only where `values` lists the words",
        ),
        ("{type: string, values: [x, 'a b'], record: true}", "context.a.record: a word that is recorded must be"),
        ("{type: set, of: long, record: true}", "context.a.record: only whole numbers"),
        ("{type: record, record: true, attributes: {x: {type: long}}}", "context.a.record: only whole numbers"),
        ("{type: long, record: 5}", "context.a.record: must be true or false"),
        ("{type: long, values: [x]}", "context.a.values: is only for `type: string`"),
        ("{type: string, values: []}", "context.a.values: must not be empty"),
        ("{type: string, values: [x, y, x]}", "context.a.values[2]: \"x\" occurs twice"),
        (
            "{type: record, attributes: {'b c': {type: long, record: true}}}",
            "2:3: context: the name of a recorded attribute must be 1 to 128",
        ),
    ] {
        let wrong = CompiledPolicy::load(&format!("context:\n  a: {attribute}\n{RULES}"), "").unwrap_err().to_string();
        assert!(wrong.contains(wanted), "{attribute}\nwanted {wanted}\nis     {wrong}");
    }
    let many = |tools: &str| {
        (0..17).fold("context:\n".to_owned(), |text, n| {
            text + &format!("  a{n}: {{type: long, required: false, record: true{tools}}}\n")
        })
    };
    let wrong = CompiledPolicy::load(&format!("{}{RULES}", many("")), "").unwrap_err().to_string();
    assert!(wrong.contains("at most 16 attributes are recorded, these are 17"), "{wrong}");
    let wrong = CompiledPolicy::load(&format!("{}{RULES}", many(", tools: [t]")), "").unwrap_err().to_string();
    assert!(wrong.contains("at most 16 attributes of calls on \"t\" are recorded, these are 17"), "{wrong}");
    let twice =
        "context: {a: {type: record, attributes: {b: {type: long, record: true}}}, a.b: {type: long, record: true}}\n";
    let wrong = CompiledPolicy::load(&format!("{twice}{RULES}"), "").unwrap_err().to_string();
    assert!(wrong.contains("two attributes would be recorded as \"a.b\""), "{wrong}");
    let types = "types: [{id: user, attributes: {level: {type: long, record: true}}}]\n";
    assert!(
        CompiledPolicy::load(&format!("{types}{RULES}"), "")
            .unwrap_err()
            .to_string()
            .contains("unknown key \"record\"")
    );
}

#[test]
fn what_is_recorded_is_said_where_policies_are_compared() {
    let load = |text: &str| CompiledPolicy::load(&format!("{text}{RULES}"), "").unwrap();
    let without = DECLARED.replace(", record: true", "");
    let said = diff(&load(&without), &load(DECLARED));
    assert_eq!(said.iter().filter(|line| line.contains("custody log is added: records it")).count(), 3, "{said:#?}");
    let other = DECLARED.replace("[eu, us]", "[eu, uk]");
    let said = diff(&load(DECLARED), &load(&other));
    assert_eq!(said, ["context \"zone\": values gain \"uk\" and lose \"us\""]);
}
