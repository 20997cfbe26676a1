//! `rules`: which calls are allowed or denied. A rule has `id`, `effect`, `role`, `tool`, `allowed_actions`, `when` and
//! `require_approval`; only a deny rule may leave out role, tool or actions.

use std::sync::Arc;

use countersign_core::decision::Effect;

use super::{
    limits::{MAX_CONDITION_BYTES, MAX_RULES},
    place::Written,
    reader::{Fields, Path, Reader, Spot},
    spelling::NameOf,
    tables::{Ids, Tables},
    tree::Node,
};
use crate::violation::At;

const KEYS: [&str; 7] = ["id", "effect", "role", "tool", "allowed_actions", "when", "require_approval"];

/// A rule as written.
#[derive(Debug)]
pub(crate) struct RuleNode {
    pub(crate) at: At,
    pub(crate) id: Arc<str>,
    pub(crate) effect: Effect,
    /// `None` for every role. Only a deny rule may leave it out; the same is true for tool and actions.
    pub(crate) role: Option<Arc<str>>,
    pub(crate) tool: Option<Arc<str>>,
    /// `None` for every action.
    pub(crate) actions: Option<Vec<Arc<str>>>,
    pub(crate) when: Option<Written>,
}

pub(super) fn read(reader: &mut Reader, node: &Node, path: &Path<'_>, tables: &Tables) -> Vec<RuleNode> {
    let items = reader.list(node, path);
    if let Some(extra) = items.get(MAX_RULES) {
        reader.report(extra.at, path, format!("must be at most {MAX_RULES} rules, are {}", items.len()));
        return Vec::new();
    }
    let mut ids = Ids::default();
    let mut rules = Vec::with_capacity(items.len());
    for (nth, item) in items.iter().enumerate() {
        let here = Path::Item(path, nth);
        if let Some((id, rule)) = read_rule(reader, item, &here, tables) {
            ids.check(reader, &id, &here);
            rules.push(rule);
        }
    }
    rules
}

fn read_rule(reader: &mut Reader, node: &Node, path: &Path<'_>, tables: &Tables) -> Option<(Spot<Arc<str>>, RuleNode)> {
    let fields = reader.fields(node, path, &KEYS)?;
    let id = reader.required_name(&fields, path, "id");
    let effect = read_effect(reader, &fields, path);
    let mut scope = |key| match fields.get(key) {
        None if effect == Effect::Deny => None,
        None => {
            reader.report(
                fields.at,
                &Path::Key(path, key),
                "is missing; only a rule with `effect: deny` may leave it out",
            );
            None
        }
        Some(node) => Some((node, Path::Key(path, key))),
    };
    let (role, tool, listed) = (scope("role"), scope("tool"), scope("allowed_actions"));
    let role = role.map(|(node, path)| {
        let role = reader.name(node, &path);
        tables.check_role(reader, &role, &path);
        role.value
    });
    let tool = tool.map(|(node, path)| {
        let tool = reader.call(node, &path);
        tables.check_tool(reader, &tool, &path);
        tool.value
    });
    let actions = listed.map(|(node, path)| {
        let actions = reader.calls(node, &path);
        for (nth, action) in actions.iter().enumerate() {
            reader.spelling(NameOf::Action, action, &Path::Item(&path, nth));
        }
        actions.into_iter().map(|action| action.value).collect()
    });
    let when = fields.get("when").and_then(|node| {
        let text = reader.text(node, &Path::Key(path, "when"), MAX_CONDITION_BYTES)?;
        Some(Written { at: node.at, offset: node.offset, text: text.to_owned() })
    });
    let node = RuleNode { at: fields.at, id: id.value.clone(), effect, role, tool, actions, when };
    Some((id, node))
}

fn read_effect(reader: &mut Reader, fields: &Fields<'_>, path: &Path<'_>) -> Effect {
    const EFFECTS: [(&str, Effect); 2] = [("allow", Effect::Allow), ("deny", Effect::Deny)];
    let effect = fields.get("effect").and_then(|node| reader.word(node, &Path::Key(path, "effect"), &EFFECTS));
    let approval = fields.get("require_approval").and_then(|node| {
        let path = Path::Key(path, "require_approval");
        let flag = reader.flag(node, &path)?;
        if flag && effect == Some(Effect::Deny) {
            reader.report(node.at, &path, "a deny rule has nothing to approve; leave one of the two out");
        }
        Some(flag)
    });
    match (effect.unwrap_or(Effect::Allow), approval) {
        (Effect::Allow, Some(true)) => Effect::RequireApproval,
        (effect, _) => effect,
    }
}
