//! What a document declares of the context: how rules are held to it, and how calls are.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use countersign_core::decision::Reason;
use countersign_policy::{CompiledPolicy, Context, ContextType, Evaluation, Request, Scalar};
use serde_json::{Value, json};

const DECLARED: &str = "\
context:
  region: {type: string}
  urgent: {type: bool, required: false}
  amount_cents: {type: long, tools: [billing]}
  tags: {type: set, of: string, required: false}
  customer:
    type: record
    required: false
    attributes:
      tier: {type: string}
      seats: {type: long, required: false}
";

/// The declarations, which take lines 1 to 11, and rules from line 13 on.
fn declared(rules: &str) -> String {
    format!("{DECLARED}rules:\n{rules}")
}

fn errors(document: &str, cedar: &str) -> Vec<String> {
    let refused = CompiledPolicy::load(document, cedar).err();
    refused.into_iter().flatten().map(|violation| violation.to_string()).collect()
}

#[track_caller]
fn refused(document: &str, cedar: &str, wanted: &[&str]) {
    let errors = errors(document, cedar);
    assert_eq!(errors.len(), wanted.len(), "{document}\n{errors:#?}");
    for (error, wanted) in errors.iter().zip(wanted) {
        let (place, words) = wanted.split_once(" ~ ").unwrap();
        assert!(error.starts_with(place) && error.contains(words), "{document}\nwanted {wanted}\nis     {error}");
    }
}

fn ask(policy: &CompiledPolicy, tool: &str, context: &Value) -> Evaluation {
    ask_in_words(policy, tool, context).0
}

fn ask_in_words(policy: &CompiledPolicy, tool: &str, context: &Value) -> (Evaluation, String) {
    let principal = common::root();
    let Value::Object(object) = context.clone() else { panic!("an object") };
    let context = Context::from_json(object).unwrap();
    policy.evaluate_in_words(&Request { principal: &principal, tool, action: "a", purpose: "p", context: &context })
}

#[test]
fn a_declaration_is_read_as_it_stands() {
    let policy = CompiledPolicy::load(&declared("- {id: d, effect: deny}\n"), "").unwrap();
    let attributes = policy.context().unwrap();
    let names: Vec<_> = attributes.iter().map(|attribute| (attribute.name.as_str(), attribute.required)).collect();
    let wanted = [("region", true), ("urgent", false), ("amount_cents", true), ("tags", false), ("customer", false)];
    assert_eq!(names, wanted);
    assert_eq!((&attributes[2].kind, attributes[2].tools[0].as_str()), (&ContextType::One(Scalar::Long), "billing"));
    assert_eq!(attributes[3].kind, ContextType::Set(Scalar::String));
    let ContextType::Record(inside) = &attributes[4].kind else { panic!("a record") };
    assert_eq!((inside[0].name.as_str(), inside[1].required), ("tier", false));
    assert!(CompiledPolicy::load("rules: [{id: d, effect: deny}]", "").unwrap().context().is_none());
}

#[test]
fn every_error_of_a_declaration_is_named_with_its_place() {
    let document = "\
tools: [{id: billing}]
context:
  purpose: {type: string}
  a: {type: number}
  b: {type: set}
  c: {type: long, of: string}
  d: {type: record, attributes: {}}
  e: {required: true}
  f: {type: long, tools: [mail]}
  g: {type: record, attributes: {x: {type: long, tools: [billing]}}}
  h: {type: record, attributes: {x: {type: record, attributes: {x: {type: record, attributes: {x: {type: record, attributes: {x: {type: long}}}}}}}}}
  i: long
  a: {type: long}
rules: [{id: d, effect: deny}]
";
    refused(
        document,
        "",
        &[
            "3:3: context.purpose:  ~ the call's own purpose",
            "4:13: context.a.type:  ~ must be long or string or bool or set or record, is \"number\"",
            "5:6: context.b.of:  ~ is missing",
            "6:23: context.c.of:  ~ only for `type: set`",
            "7:33: context.d.attributes:  ~ must not be empty",
            "8:6: context.e.type:  ~ is missing",
            "9:27: context.f.tools[0]:  ~ \"mail\" is not registered",
            "10:50: context.g.attributes.x.tools:  ~ unknown key \"tools\"",
            "11: ~ at most 4 deep",
            "12:6: context.i:  ~ must be a mapping, is text",
            "13:3: context.a:  ~ duplicate key",
        ],
    );
    refused("context: {}\nrules: [{id: d, effect: deny}]", "", &["1:10: context:  ~ must not be empty"]);
    let many = (0..257).fold(String::new(), |text, n| text + &format!("  a{n}: {{type: long}}\n"));
    refused(&format!("context:\n{many}rules: [{{id: d, effect: deny}}]"), "", &["2:3: context:  ~ at most 256"]);
}

#[test]
fn rules_may_read_only_what_is_declared_and_as_it_is_declared() {
    let rule = |tool: &str, when: &str| {
        declared(&format!(
            "- {{id: one, role: r, tool: {tool}, allowed_actions: [a]}}\n- id: two\n  effect: deny\n  when: {when}\n"
        ))
    };
    let allow = |tool: &str, when: &str| {
        declared(&format!("- {{id: one, role: r, tool: {tool}, allowed_actions: [a], when: '{when}'}}\n"))
    };
    refused(
        &rule("search", "context.land == \"eu\""),
        "",
        &[
            "16:9: rules[1].when:  ~ context.land is not declared under `context`; declared are amount_cents, customer, region",
        ],
    );
    refused(
        &rule("search", "context has land && context.region == \"eu\""),
        "",
        &["16:21: rules[1].when:  ~ land is not"],
    );
    refused(
        &rule("search", "context has customer && context.customer.name == \"x\""),
        "",
        &["16:33:  ~ context.customer.name is not declared"],
    );
    refused(&rule("search", "context.region.code == \"x\""), "", &["16:9:  ~ context.region.code is not declared"]);
    refused(&rule("search", "context.region > 5"), "", &["16:9:  ~ is a whole number here and declared as text"]);
    refused(
        &rule("search", "context has tags && context.tags.contains(5)"),
        "",
        &["16:9:  ~ declared as a set of text"],
    );
    refused(
        &rule("search", "context has customer && context.customer == \"x\""),
        "",
        &["16:9:  ~ a value here and a mapping as declared"],
    );
    // What need not be there must be asked for.
    refused(&rule("search", "context.urgent"), "", &["16:9:  ~ optional attribute `urgent`"]);
    refused(
        &rule("search", "context has customer && context.customer.seats > 5"),
        "",
        &["16:33:  ~ optional attribute `customer.seats`"],
    );
    // Declared for one tool: required of its calls, not there for others, and optional for a rule about every tool.
    assert_eq!(errors(&allow("billing", "context.amount_cents < 5"), ""), [""; 0]);
    refused(
        &allow("search", "context.amount_cents < 5"),
        "",
        &["13:65: rules[0].when:  ~ declared for calls on \"billing\", and this rule is for \"search\""],
    );
    refused(&rule("search", "context.amount_cents > 5"), "", &["16:9:  ~ optional attribute `amount_cents`"]);
    for good in [
        "context has amount_cents && context.amount_cents > 5",
        "context.region == \"eu\" && context.purpose == principal.purpose",
        "context has customer.seats && context.customer.seats > 5 && context.customer.tier == \"gold\"",
        "context has urgent && context.urgent && [\"eu\"].contains(context.region)",
    ] {
        assert_eq!(errors(&rule("search", good), ""), [""; 0], "{good}");
    }
}

#[test]
fn raw_cedar_is_held_to_the_declaration_too() {
    let document = declared("- {id: one, role: r, tool: billing, allowed_actions: [a]}\n");
    let cedar = "@id(\"two\")\nforbid (principal, action, resource == Tool::\"billing\")\nwhen { context.amount_cents > 5 || context.colour == \"red\" };\n\
                 @id(\"three\") forbid (principal, action, resource) when { context.amount_cents > 5 };";
    refused(
        &document,
        cedar,
        &[
            "3:36: cedar[two]:  ~ context.colour is not declared",
            "4:58: cedar[three]:  ~ optional attribute `amount_cents`",
        ],
    );
}

#[test]
fn a_call_without_declared_context_is_a_policy_error() {
    let document = declared(
        "- {id: pay, role: r, tool: billing, allowed_actions: [a]}\n- {id: find, role: r, tool: search, allowed_actions: [a]}\n",
    );
    let policy = CompiledPolicy::load(&document, "").unwrap();
    let rows = [
        ("billing", json!({"region": "eu", "amount_cents": 1}), ""),
        ("billing", json!({"region": "eu"}), "context.amount_cents is missing"),
        (
            "billing",
            json!({"amount_cents": "4111"}),
            "context.region is missing, context.amount_cents must be a whole number",
        ),
        ("search", json!({"region": "eu"}), ""),
        ("search", json!({"region": "eu", "amount_cents": "no number, but search has none"}), ""),
        ("search", json!({"region": "eu", "colour": ["nobody", "asked"]}), ""),
        ("search", json!({"region": "eu", "tags": ["a", 1]}), "context.tags must be a set of text"),
        ("search", json!({"region": "eu", "urgent": 1}), "context.urgent must be true or false"),
        ("search", json!({"region": "eu", "customer": {}}), "context.customer.tier is missing"),
        (
            "search",
            json!({"region": "eu", "customer": {"tier": "gold", "seats": "x"}}),
            "context.customer.seats must be a whole number",
        ),
        ("search", json!({"region": "eu", "customer": {"tier": "gold", "more": 1}}), ""),
        ("search", json!({"region": "eu", "customer": "x"}), "context.customer must be a mapping"),
    ];
    for (tool, context, wrong) in rows {
        let (answer, words) = ask_in_words(&policy, tool, &context);
        if wrong.is_empty() {
            assert_eq!(answer.reason, Reason::AllowedByRule, "{tool} {context}");
        } else {
            assert_eq!((answer.reason, answer.rule_ids.len()), (Reason::PolicyError, 0), "{tool} {context}");
            assert!(words.ends_with(wrong) && !words.contains("4111"), "{words}");
        }
    }
    // The document's tables come first: a role or tool that is not there has no context to be wrong.
    let listed = format!("tools: [{{id: billing}}, {{id: search}}]\n{document}");
    let policy = CompiledPolicy::load(&listed, "").unwrap();
    assert_eq!(ask(&policy, "mail", &json!({})).reason, Reason::ToolUnknown);
}

#[test]
fn undeclared_context_is_ignored_even_by_rules_on_all_of_it() {
    let document = "context: {a: {type: long}}\nrules: [{id: one, role: r, tool: t, allowed_actions: [a], when: 'context == {a: 1, purpose: \"p\"}'}]";
    let policy = CompiledPolicy::load(document, "").unwrap();
    assert_eq!(ask(&policy, "t", &json!({"a": 1})).reason, Reason::AllowedByRule);
    assert_eq!(ask(&policy, "t", &json!({"a": 1, "b": 2})).reason, Reason::AllowedByRule);
}

#[test]
fn a_tool_with_a_declared_context_is_asked_every_time() {
    let document = "context: {n: {type: long, tools: [b]}}\nrules: [{id: x, role: r, tool: a, allowed_actions: [a]}, {id: y, role: r, tool: b, allowed_actions: [a]}]";
    let policy = CompiledPolicy::load(document, "").unwrap();
    assert!(ask(&policy, "a", &json!({})).cacheable, "whatever its context, it is allowed");
    assert!(!ask(&policy, "b", &json!({"n": 1})).cacheable, "without n it would be denied");
}
