//! A custody chain as a tree, for the demo: the sponsor, its runs, the answers to each, and the outcomes.

use std::fmt::Write as _;

use countersign_proto::v1::{CustodyChain, CustodyEvent, Effect, EventKind, Instance};

use super::screen::{Colour, WIDTH, short};

/// One line and the lines below it.
#[derive(Debug, Default)]
struct Node {
    /// Log index. `None` for a sponsor or a run, which are not events.
    log_index: Option<i64>,
    /// The highlighted word.
    word: String,
    colour: Option<Colour>,
    text: String,
    children: Vec<Self>,
}

/// The tree, one line each, without an end of line after the last.
pub(super) fn render(chain: &CustodyChain, colours: bool) -> String {
    let mut tree = String::new();
    write(&mut tree, &sponsor(chain), Indent { own: "", below: "" }, colours);
    tree.truncate(tree.trim_end().len());
    tree
}

fn sponsor(chain: &CustodyChain) -> Node {
    let (word, text) = match &chain.sponsor {
        Some(sponsor) => (sponsor.sponsor_id.clone(), format!("sponsor, {}", state(sponsor.state().as_str_name()))),
        None => ("no sponsor".to_owned(), "is accountable for this".to_owned()),
    };
    // Events of the sponsor first, then the runs; both in log order.
    let mut children: Vec<_> =
        chain.events.iter().filter(|event| event.agent_instance_id.is_empty()).map(plain).collect();
    children.extend(chain.instances.iter().filter(|it| it.parent_agent_id.is_empty()).map(|it| run(chain, it)));
    Node { word, colour: Some(Colour::Bold), text, children, ..Node::default() }
}

/// A run: its events and the runs that it started, in log order.
fn run(chain: &CustodyChain, instance: &Instance) -> Node {
    let own = |event: &&CustodyEvent| {
        event.agent_instance_id == instance.agent_instance_id && event.kind() != EventKind::ToolCall
    };
    let mut children: Vec<_> = chain.events.iter().filter(own).map(|event| entry(chain, event)).collect();
    let started = chain.instances.iter().filter(|it| it.parent_agent_id == instance.agent_instance_id);
    children.extend(started.map(|it| run(chain, it)));
    children.sort_by_key(first_index);
    let text = format!(
        "{}, {}, may call {}, \"{}\"",
        short(&instance.agent_instance_id),
        state(instance.state().as_str_name()),
        instance.tools.join(" and "),
        instance.purpose
    );
    Node { word: instance.agent.clone(), colour: Some(Colour::Bold), text, children, ..Node::default() }
}

fn first_index(node: &Node) -> i64 {
    node.log_index.or_else(|| node.children.iter().map(first_index).min()).unwrap_or(i64::MAX)
}

fn entry(chain: &CustodyChain, event: &CustodyEvent) -> Node {
    if event.kind() != EventKind::Decision {
        return plain(event);
    }
    let (word, colour) = match event.effect() {
        Effect::Allow => ("ALLOW", Colour::Green),
        Effect::Deny => ("DENY", Colour::Red),
        Effect::RequireApproval => ("REQUIRE_APPROVAL", Colour::Bold),
        Effect::Unspecified => ("UNKNOWN", Colour::Bold),
    };
    let why = match event.rule_ids.as_slice() {
        [] => event.decision_reason().as_str_name().trim_start_matches("DECISION_REASON_").to_owned(),
        rules => format!("rule {}", rules.join(", ")),
    };
    let id = short(&event.policy_decision_id);
    let text = format!("{} on {}: {why} ({id})", event.action, event.tool_id);
    let answers =
        |it: &&CustodyEvent| it.kind() == EventKind::ToolCall && it.policy_decision_id == event.policy_decision_id;
    let children = chain.events.iter().filter(answers).map(outcome).collect();
    Node { log_index: Some(event.log_index), word: word.to_owned(), colour: Some(colour), text, children }
}

fn outcome(event: &CustodyEvent) -> Node {
    let how = event.outcome().as_str_name().trim_start_matches("TOOL_CALL_OUTCOME_");
    Node { log_index: Some(event.log_index), text: format!("the tool was called: {how}"), ..Node::default() }
}

/// Any event, by the name of its kind.
fn plain(event: &CustodyEvent) -> Node {
    let kind = event.kind().as_str_name().trim_start_matches("EVENT_KIND_");
    let mut text = kind.to_lowercase().replace('_', " ");
    if !event.operator_id.is_empty() {
        text = format!("{text} by {}", event.operator_id);
    }
    if !event.reason.is_empty() {
        text = format!("{text}: \"{}\"", event.reason);
    }
    Node { log_index: Some(event.log_index), text, ..Node::default() }
}

/// `SPONSOR_STATE_ACTIVE` is ACTIVE.
fn state(name: &str) -> &str {
    name.split_once("_STATE_").map_or(name, |(_, state)| state)
}

/// Writes a node after `before.0`, and the lines below it after `before.1`.
#[derive(Clone, Copy)]
struct Indent<'i> {
    own: &'i str,
    below: &'i str,
}

fn write(tree: &mut String, node: &Node, indent: Indent<'_>, colours: bool) {
    let index = node.log_index.map(|index| format!("#{index} ")).unwrap_or_default();
    let word = if node.word.is_empty() { String::new() } else { format!("{} ", node.word) };
    let taken = [indent.own, &index, &word].iter().map(|part| part.chars().count()).sum::<usize>();
    let painted = node.colour.map_or_else(|| word.clone(), |colour| colour.paint(&word, colours));
    let text = cut(&node.text, WIDTH.saturating_sub(taken));
    // Writing to a String cannot fail.
    let _ = writeln!(tree, "{}{}{painted}{text}", indent.own, Colour::Dim.paint(&index, colours));
    for (number, child) in node.children.iter().enumerate() {
        let (branch, trunk) = if number + 1 == node.children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let (own, below) = (format!("{}{branch}", indent.below), format!("{}{trunk}", indent.below));
        write(tree, child, Indent { own: &own, below: &below }, colours);
    }
}

/// At most `width` characters; a cut is marked.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
