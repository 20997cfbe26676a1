//! The index and one policy at a time answer exactly as Cedar does over the whole set.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{collections::BTreeMap, sync::Arc};

use cedar_policy::{Authorizer, Decision, Entities, EntityUid, PolicyId, PolicySet, Request as CedarRequest};
use countersign_core::{
    decision::{Effect, Reason},
    names::ToolId,
};
use countersign_policy::{CompiledPolicy, Context, Evaluation, Principal, PrincipalSpec, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

const ROLES: [&str; 3] = ["a", "b", "c"];
const TOOLS: [&str; 3] = ["x", "y", "z"];
const ACTIONS: [&str; 3] = ["r", "w", "d"];

/// Conditions that hold, do not hold, and fail, depending on the call.
const CONDITIONS: [&str; 16] = [
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

fn raw() -> impl Strategy<Value = String> {
    let effect = prop::sample::select(vec!["permit", "forbid", "@require_approval permit"]);
    let keyword = prop::sample::select(vec!["when", "unless"]);
    (effect, prop::sample::select(HEADS.to_vec()), keyword, condition()).prop_map(
        |(effect, head, keyword, condition)| {
            let condition = condition.map(|text| format!("{keyword} {{ {text} }}")).unwrap_or_default();
            format!("{effect} {head} {condition};")
        },
    )
}

prop_compose! {
    fn document()(rules in prop::collection::vec(rule(), 0..8), raw in prop::collection::vec(raw(), 0..4)) -> (String, String) {
        // Names every action, so that conditions may.
        let mut all = vec![json!({"role": "other", "tool": "other", "allowed_actions": ACTIONS})];
        all.extend(rules);
        for (nth, rule) in all.iter_mut().enumerate() {
            // Ids that sort otherwise than the rules stand.
            rule["id"] = format!("rule-{}", 20 - nth).into();
        }
        let raw: Vec<String> = raw.iter().enumerate().map(|(nth, text)| format!("@id(\"raw-{nth}\") {text}")).collect();
        (json!({ "rules": all }).to_string(), raw.join("\n"))
    }
}

#[derive(Debug)]
struct Call {
    instance: &'static str,
    sponsor: &'static str,
    role: &'static str,
    depth: u32,
    tools: Vec<&'static str>,
    labels: BTreeMap<String, String>,
    tool: &'static str,
    action: &'static str,
    purpose: &'static str,
    context: Value,
}

prop_compose! {
    fn call()(
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
        list in prop::option::of(prop::sample::select(vec![json!(["u", "v"]), json!(["v", "v"]), json!({})])),
    ) -> Call {
        let mut context = json!({});
        for (key, value) in [("n", n), ("flag", flag), ("s", s), ("list", list)] {
            if let Some(value) = value {
                context[key] = value;
            }
        }
        let labels = tier.map(|tier| ("tier".to_owned(), tier.to_owned())).into_iter().collect();
        Call { instance, sponsor, role, depth, tools, labels, tool, action, purpose, context }
    }
}

/// The answer of the code under test.
fn answer(policy: &CompiledPolicy, call: &Call) -> Evaluation {
    let tools: Vec<ToolId> = call.tools.iter().map(|tool| tool.parse().unwrap()).collect();
    let principal = Principal::new(&PrincipalSpec {
        agent_instance_id: call.instance,
        root_instance_id: "i0",
        sponsor_id: call.sponsor,
        agent: "assistant",
        role: call.role,
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

/// The answer of plain Cedar over the whole set, from Cedar's own text and JSON forms.
fn plain_answer(cedar: &str, call: &Call) -> (Effect, Reason, Vec<String>) {
    let parsed: PolicySet = cedar.parse().unwrap();
    let set = PolicySet::from_policies(
        parsed.policies().map(|policy| policy.new_id(PolicyId::new(policy.annotation("id").unwrap()))),
    )
    .unwrap();
    let instance = json!([{
        "uid": {"type": "Instance", "id": call.instance},
        "attrs": {
            "agent_instance_id": call.instance, "root_instance_id": "i0", "sponsor_id": call.sponsor, "agent": "assistant",
            "role": call.role, "depth": call.depth, "purpose": "p", "tools": call.tools,
        },
        "parents": [{"type": "Role", "id": call.role}],
        "tags": call.labels,
    }]);
    let entities = Entities::from_json_value(instance, None).unwrap();
    let uid = |kind: &str, id: &str| -> EntityUid { format!("{kind}::{id:?}").parse().unwrap() };
    let mut context = call.context.clone();
    context["purpose"] = call.purpose.into();
    let request = CedarRequest::new(
        uid("Instance", call.instance),
        uid("Action", call.action),
        uid("Tool", call.tool),
        cedar_policy::Context::from_json_value(context, None).unwrap(),
        None,
    )
    .unwrap();
    let response = Authorizer::new().is_authorized(&request, &set, &entities);
    let sorted = |ids: Vec<&PolicyId>| {
        let mut ids: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    };
    let failed = response.diagnostics().errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    });
    let failed = sorted(failed.collect());
    let (asking, plain): (Vec<_>, Vec<_>) =
        response.diagnostics().reason().partition(|id| set.annotation(id, "require_approval").is_some());
    match response.decision() {
        _ if !failed.is_empty() => (Effect::Deny, Reason::PolicyError, failed),
        Decision::Deny if plain.is_empty() => (Effect::Deny, Reason::NoMatchingRule, Vec::new()),
        Decision::Deny => (Effect::Deny, Reason::DeniedByRule, sorted(plain)),
        Decision::Allow if asking.is_empty() => (Effect::Allow, Reason::AllowedByRule, sorted(plain)),
        Decision::Allow => (Effect::RequireApproval, Reason::ApprovalRequired, sorted(asking)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn the_index_answers_as_cedar_does_over_the_whole_set(
        (document, cedar) in document(),
        calls in prop::collection::vec(call(), 1..24),
    ) {
        let policy = CompiledPolicy::load(&document, &cedar).unwrap_or_else(|error| panic!("{document}\n{cedar}\n{error}"));
        let text = policy.to_cedar();
        for call in &calls {
            let answer = answer(&policy, call);
            let rule_ids: Vec<String> = answer.rule_ids.iter().map(<Arc<str>>::to_string).collect();
            prop_assert_eq!((answer.effect, answer.reason, rule_ids), plain_answer(&text, call), "{:?}\n{}", call, text);
            prop_assert!(!answer.cacheable || answer.effect == Effect::Allow);
        }
    }

    /// What may be cached holds for every other context and purpose of the same caller.
    #[test]
    fn a_cacheable_allowance_does_not_depend_on_the_context((document, cedar) in document(), first in call(), other in call()) {
        let policy = CompiledPolicy::load(&document, &cedar).unwrap();
        if answer(&policy, &first).cacheable {
            let again = Call { context: other.context, purpose: other.purpose, ..first };
            prop_assert_eq!(answer(&policy, &again).effect, Effect::Allow);
        }
    }
}
