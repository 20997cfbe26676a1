//! The parts of a policy (roles, tools, context, types, entities, rules, Cedar, rollout) as items with fields, for a
//! diff; and what it means to add or remove a whole part.

use countersign_core::{
    decision::Effect,
    rollout::{OnBreach, Percent, StickyKey},
};

use super::item::{Field, Item, Value};
use crate::{
    compiled::{CompiledPolicy, Rule},
    context::Value as Known,
    document::{Risk, RoleSpec, RolloutSpec, ToolSpec},
    schema::{ContextAttribute, ContextType},
};

/// One part of a policy.
pub(super) struct Section {
    pub(super) items: fn(&CompiledPolicy) -> Vec<Item>,
    /// Whether the part exists, and what adding or removing it means. `None` if its items say everything.
    switch: Option<Switch>,
}

struct Switch {
    on: fn(&CompiledPolicy) -> bool,
    comes: &'static str,
    goes: &'static str,
}

pub(super) const ALL: [Section; 8] = [
    Section {
        items: |policy| policy.roles().unwrap_or_default().iter().map(role).collect(),
        switch: Some(Switch {
            on: CompiledPolicy::lists_roles,
            comes: "roles are listed: every other role is denied",
            goes: "roles are no longer listed: rules may be for any role",
        }),
    },
    Section {
        items: |policy| policy.tools().unwrap_or_default().iter().map(tool).collect(),
        switch: Some(Switch {
            on: CompiledPolicy::lists_tools,
            comes: "tools are registered: every other tool is denied",
            goes: "tools are no longer registered: rules may be for any tool",
        }),
    },
    Section {
        items: context,
        switch: Some(Switch {
            on: |policy| policy.context().is_some(),
            comes: "the context is declared: rules can read nothing else, and calls must match it",
            goes: "the context is no longer declared: rules may read anything",
        }),
    },
    Section { items: types, switch: None },
    Section { items: entities, switch: None },
    Section { items: |policy| policy.documented().iter().map(rule).collect(), switch: None },
    Section { items: |policy| policy.raw().map(|(id, text)| cedar(id, text)).collect(), switch: None },
    Section { items: |policy| policy.rollout().map(rollout).into_iter().collect(), switch: None },
];

impl Section {
    /// What adding or removing the whole part means.
    pub(super) fn turned(&self, old: &CompiledPolicy, new: &CompiledPolicy) -> Option<String> {
        let Switch { on, comes, goes } = self.switch.as_ref()?;
        match (on(old), on(new)) {
            (false, true) => Some((*comes).to_owned()),
            (true, false) => Some((*goes).to_owned()),
            _ => None,
        }
    }
}

fn field(name: &str, value: Value) -> Field {
    Field { name: name.to_owned(), value }
}

fn role(spec: &RoleSpec) -> Item {
    let RoleSpec { role, tools, max_ttl_seconds, may_delegate_to } = spec;
    let longest = max_ttl_seconds.map_or_else(|| "the installation's".to_owned(), |seconds| format!("{seconds} s"));
    let mut fields =
        vec![field("tools", Value::names("any", tools)), field("longest credential", Value::Words(longest))];
    if !may_delegate_to.is_empty() {
        fields.push(field("may delegate to", Value::names("none", may_delegate_to)));
    }
    Item { name: format!("role {:?}", role.as_str()), fields }
}

fn tool(spec: &ToolSpec) -> Item {
    let ToolSpec { tool, risk, cacheable } = spec;
    let risk = match risk {
        Risk::Low => "low",
        Risk::Medium => "medium",
        Risk::High => "high",
    };
    Item {
        name: format!("tool {:?}", tool.as_str()),
        fields: vec![field("risk", Value::words(&risk)), field("cacheable", Value::words(&cacheable))],
    }
}

fn context(policy: &CompiledPolicy) -> Vec<Item> {
    let mut items = Vec::new();
    for declared in policy.context().unwrap_or_default() {
        for (path, attribute) in flat("context", std::slice::from_ref(declared)) {
            let mut fields = vec![
                field("type", Value::words(&attribute.kind.words())),
                field("presence", Value::words(&presence(attribute))),
            ];
            if !attribute.values.is_empty() {
                fields.push(field("values", Value::names("any", &attribute.values)));
            }
            if attribute.record {
                fields.push(field("custody log", Value::words(&"records it")));
            }
            if std::ptr::eq(attribute, declared) {
                fields.push(field("tools", Value::names("every", &attribute.tools)));
            }
            items.push(Item { name: path, fields });
        }
    }
    items
}

const fn presence(attribute: &ContextAttribute) -> &'static str {
    if attribute.required { "required" } else { "optional" }
}

fn types(policy: &CompiledPolicy) -> Vec<Item> {
    let declared = policy.types.iter().flat_map(|types| &types.types);
    let attribute = |(path, attribute): (String, &ContextAttribute)| {
        field(&path, Value::Words(format!("{}, {}", attribute.kind.words(), presence(attribute))))
    };
    let item = |(name, attributes): (&_, &Vec<ContextAttribute>)| Item {
        name: format!("type {name:?}"),
        fields: flat("attribute", attributes).into_iter().map(attribute).collect(),
    };
    declared.map(item).collect()
}

/// Attributes with their paths; those inside a mapping follow the mapping.
fn flat<'a>(parent: &str, attributes: &'a [ContextAttribute]) -> Vec<(String, &'a ContextAttribute)> {
    let mut found = Vec::new();
    for attribute in attributes {
        // Quoted, because a name may contain a dot.
        let path = format!("{parent} {:?}", attribute.name);
        let inside = match &attribute.kind {
            ContextType::Record(inside) => flat(&path, inside),
            ContextType::One(_) | ContextType::Set(_) => Vec::new(),
        };
        found.push((path, attribute));
        found.extend(inside);
    }
    found
}

fn entities(policy: &CompiledPolicy) -> Vec<Item> {
    let known = policy.types.iter().flat_map(|types| &types.known);
    let all = known.flat_map(|(kind, entities)| entities.iter().map(move |(id, known)| (kind, id, known)));
    let mut items: Vec<_> = all
        .map(|(kind, id, known)| Item {
            name: format!("entity {kind}::{id:?}"),
            fields: known
                .iter()
                .map(|known| field(&format!("attribute {:?}", known.name), text(&known.value)))
                .collect(),
        })
        .collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    items
}

/// A value as text; values with the same meaning have the same text.
fn text(value: &Known) -> Value {
    fn write(value: &Known) -> String {
        match value {
            Known::Bool(value) => value.to_string(),
            Known::Long(value) => value.to_string(),
            Known::Text(text) => format!("{text:?}"),
            Known::Set(items) => {
                let mut items: Vec<_> = items.iter().map(write).collect();
                items.sort();
                items.dedup();
                format!("[{}]", items.join(", "))
            }
            Known::Record(fields) => {
                let mut fields: Vec<_> =
                    fields.iter().map(|(name, value)| format!("{name:?}: {}", write(value))).collect();
                fields.sort();
                format!("{{{}}}", fields.join(", "))
            }
        }
    }
    Value::Text(write(value))
}

fn rule(rule: &Rule) -> Item {
    let effect = match rule.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
        Effect::RequireApproval => "allow once a person has approved it",
    };
    let mut fields = vec![
        field("effect", Value::words(&effect)),
        field("role", Value::name(rule.role.as_ref())),
        field("tool", Value::name(rule.tool.as_ref())),
        field("actions", Value::names("any", &rule.actions)),
    ];
    fields.extend(rule.when.as_ref().map(|when| field("condition", Value::Text(when.trim().to_owned()))));
    Item { name: format!("rule {:?}", rule.rule_id), fields }
}

fn cedar(id: &str, text: &str) -> Item {
    Item { name: format!("Cedar policy {id:?}"), fields: vec![field("text", Value::Text(text.trim().to_owned()))] }
}

fn rollout(spec: &RolloutSpec) -> Item {
    const DEFAULT: &str = "the default";
    let or_default = |value: Option<String>| Value::Words(value.unwrap_or_else(|| DEFAULT.to_owned()));
    let sticky_key = spec.sticky_key.map(|key| match key {
        StickyKey::RootInstance => "root_instance",
        StickyKey::Sponsor => "sponsor",
        StickyKey::Agent => "agent",
    });
    let steps = |steps: &Vec<Percent>| steps.iter().map(Percent::to_string).collect::<Vec<_>>().join(", ");
    let labels = spec.scope.labels.iter().map(|(label, value)| format!("{label}={value}"));
    let mut fields = vec![
        field("percent", Value::words(&spec.percent)),
        field("increment", Value::Words(spec.increment.map_or_else(|| "none".to_owned(), |points| points.to_string()))),
        field("baseline", or_default(spec.baseline.map(|baseline| baseline.to_string()))),
        field("sticky_key", or_default(sticky_key.map(str::to_owned))),
        field("steps", or_default(spec.steps.as_ref().map(steps))),
        field("min_soak_seconds", or_default(spec.min_soak_seconds.map(|seconds| seconds.to_string()))),
        field("scope.tools", Value::names("any", &spec.scope.tools)),
        field("scope.roles", Value::names("any", &spec.scope.roles)),
        field("scope.sponsors", Value::names("any", &spec.scope.sponsors)),
        field("scope.labels", Value::names("any", labels)),
    ];
    fields.extend(gates(spec));
    Item { name: "the rollout".to_owned(), fields }
}

fn gates(spec: &RolloutSpec) -> Vec<Field> {
    let gates = &spec.gates;
    let issuance = gates.issuance_failure_bp.map_or_else(|| "no gate".to_owned(), |limit| limit.to_string());
    let on_breach = match gates.on_breach {
        OnBreach::Rollback => "rollback",
        OnBreach::Pause => "pause",
    };
    vec![
        field("gates.missing_sponsor_bp", Value::words(&gates.missing_sponsor_bp)),
        field("gates.policy_error_bp", Value::words(&gates.policy_error_bp)),
        field("gates.issuance_failure_bp", Value::Words(issuance)),
        field("gates.latency_p95_ms", Value::words(&gates.latency_p95_ms)),
        field("gates.window_seconds", Value::words(&gates.window_seconds)),
        field("gates.min_decisions", Value::words(&gates.min_decisions)),
        field("gates.on_breach", Value::words(&on_breach)),
    ]
}
