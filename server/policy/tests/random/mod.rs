//! Random documents and calls.

use std::collections::BTreeMap;

use countersign_core::names::ToolId;
use countersign_policy::{CompiledPolicy, Context, Evaluation, Principal, PrincipalSpec, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

const ROLES: [&str; 3] = ["a", "b", "c"];
const TOOLS: [&str; 3] = ["x", "y", "z"];
const ACTIONS: [&str; 3] = ["r", "w", "d"];

/// Conditions that hold, do not hold, and fail, depending on the call.
const CONDITIONS: [&str; 24] = [
    "context.n > 5",
    "context has n && context.n > 5",
    "!(context has n) || context.n == 0",
    "context.n + 9223372036854775800 > 0",
    "context.flag",
    "context.s like \"a*\"",
    "context.list.contains(\"u\")",
    "context.purpose == principal.purpose",
    "principal.depth > 1",
    "principal.depth == context.n",
    "principal.tools.contains(\"x\")",
    "principal.hasTag(\"tier\") && principal.getTag(\"tier\") == \"gold\"",
    "principal.sponsor_id == \"alice\" && principal.agent != \"bot\"",
    "action == Action::\"r\" && resource == Tool::\"x\"",
    "principal in Role::\"a\" && context.flag",
    "principal == Instance::\"i1\"",
    "context has nested.inner && context.nested.inner == 1",
    "context.nested.inner > 0 || context.flag",
    "if context.flag then context.n > 1 else principal.depth == 0",
    "context.list.isEmpty() || context.list.containsAny([\"u\", \"w\"])",
    "context.n * 9223372036854775807 > 1",
    "context.s == \"ab\" || context.flag",
    "resource in [Tool::\"x\", Tool::\"z\"] && principal.tools.containsAll([\"x\", \"y\"])",
    "principal.purpose like \"p*\" && context.purpose != \"q\"",
];

/// Policy heads of every form, none of which covers a call by nobody.
const HEADS: [&str; 7] = [
    "(principal in Role::\"a\", action, resource)",
    "(principal is Instance in Role::\"b\", action == Action::\"r\", resource in Tool::\"x\")",
    "(principal == Instance::\"i1\", action in [Action::\"r\", Action::\"w\", Action::\"r\"], resource)",
    "(principal is Instance, action in Action::\"d\", resource is Tool)",
    "(principal, action == Action::\"w\", resource is Tool in Tool::\"y\")",
    "(principal in Instance::\"i0\", action, resource == Tool::\"z\")",
    "(principal, action, resource == Tool::\"x\")",
];

fn name(names: [&'static str; 3]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(names.to_vec())
}

fn condition() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::weighted(0.5, prop::sample::select(CONDITIONS.to_vec()))
}

/// A rule without its id, as YAML in JSON's clothes.
fn rule() -> impl Strategy<Value = Value> {
    let names = (
        name(ROLES),
        name(TOOLS),
        prop::sample::subsequence(ACTIONS.to_vec(), 1..=3),
        prop::array::uniform3(prop::bool::weighted(0.7)),
    );
    (0..4, names, condition()).prop_map(|(kind, (role, tool, actions, kept), when)| {
        let deny = kind == 0;
        let mut rule = json!({});
        if deny {
            rule["effect"] = "deny".into();
        } else if kind == 1 {
            rule["require_approval"] = true.into();
        }
        for (key, value, kept) in [
            ("role", json!(role), kept[0]),
            ("tool", json!(tool), kept[1]),
            ("allowed_actions", json!(actions), kept[2]),
        ] {
            if !deny || kept {
                rule[key] = value;
            }
        }
        if let Some(when) = when {
            rule["when"] = when.into();
        }
        rule
    })
}

/// A head of any effect, or that of a forbid which covers everything.
fn head() -> impl Strategy<Value = (&'static str, &'static str)> {
    let effect = prop::sample::select(vec!["permit", "forbid", "@require_approval permit"]);
    prop_oneof![9 => (effect, prop::sample::select(HEADS.to_vec())), 1 => Just(("forbid", "(principal, action, resource)"))]
}

/// A policy without its id, with up to two conditions.
fn raw() -> impl Strategy<Value = String> {
    let keyword = || prop::sample::select(vec!["when", "unless"]);
    let clause = move || {
        (keyword(), condition())
            .prop_map(|(keyword, text)| text.map(|text| format!(" {keyword} {{ {text} }}")).unwrap_or_default())
    };
    (head(), clause(), clause()).prop_map(|((effect, head), one, other)| format!("{effect} {head}{one}{other};"))
}

prop_compose! {
    pub(crate) fn document()(rules in prop::collection::vec(rule(), 0..16), raw in prop::collection::vec(raw(), 0..8)) -> (String, String) {
        // Names every action, so that conditions may.
        let mut all = vec![json!({"role": "other", "tool": "other", "allowed_actions": ACTIONS})];
        all.extend(rules);
        for (nth, rule) in all.iter_mut().enumerate() {
            // Ids that sort otherwise than the rules stand.
            rule["id"] = format!("rule-{}", 40 - nth).into();
        }
        let raw: Vec<String> = raw.iter().enumerate().map(|(nth, text)| format!("@id(\"raw-{nth}\") {text}")).collect();
        (json!({ "rules": all }).to_string(), raw.join("\n"))
    }
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) instance: &'static str,
    pub(crate) sponsor: &'static str,
    pub(crate) role: &'static str,
    pub(crate) depth: u32,
    pub(crate) tools: Vec<&'static str>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) tool: &'static str,
    pub(crate) action: &'static str,
    pub(crate) purpose: &'static str,
    pub(crate) context: Value,
}

prop_compose! {
    pub(crate) fn call()(
        instance in prop::sample::select(vec!["i0", "i1"]),
        sponsor in prop::sample::select(vec!["alice", "bob"]),
        (role, tool, action) in (name(ROLES), name(TOOLS), name(ACTIONS)),
        depth in 0..3_u32,
        tools in prop::sample::subsequence(TOOLS.to_vec(), 0..=3),
        tier in prop::option::of(prop::sample::select(vec!["gold", "tin"])),
        purpose in prop::sample::select(vec!["p", "q"]),
        n in prop::option::of(prop::sample::select(vec![json!(0), json!(2), json!(9), json!(900), json!("text")])),
        flag in prop::option::of(prop::sample::select(vec![json!(true), json!(false), json!(1)])),
        s in prop::option::of(prop::sample::select(vec![json!("ab"), json!("b"), json!([])])),
        list in prop::option::of(prop::sample::select(vec![json!(["u", "v"]), json!(["v", "v"]), json!([]), json!({})])),
        nested in prop::option::of(prop::sample::select(vec![json!({}), json!({"inner": 1}), json!({"inner": "x"}), json!(5)])),
    ) -> Call {
        let mut context = json!({});
        for (key, value) in [("n", n), ("flag", flag), ("s", s), ("list", list), ("nested", nested)] {
            if let Some(value) = value {
                context[key] = value;
            }
        }
        let labels = tier.map(|tier| ("tier".to_owned(), tier.to_owned())).into_iter().collect();
        Call { instance, sponsor, role, depth, tools, labels, tool, action, purpose, context }
    }
}

/// The answer of the code under test.
pub(crate) fn answer(policy: &CompiledPolicy, call: &Call) -> Evaluation {
    let tools: Vec<ToolId> = call.tools.iter().map(|tool| tool.parse().unwrap()).collect();
    let principal = Principal::new(&PrincipalSpec {
        agent_instance_id: call.instance,
        root_instance_id: "i0",
        sponsor_id: call.sponsor,
        agent: "assistant",
        role: call.role,
        inherited_roles: &[],
        depth: call.depth,
        purpose: "p",
        tools: &tools,
        labels: &call.labels,
    });
    let Value::Object(object) = call.context.clone() else { panic!("an object") };
    let context = Context::from_json(object).unwrap();
    let request = Request {
        principal: &principal,
        tool: call.tool,
        action: call.action,
        purpose: call.purpose,
        context: &context,
    };
    policy.evaluate(&request)
}
