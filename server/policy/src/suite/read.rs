//! Reads a file of policy tests (`defaults`, `tests`): the meaning of each key, all checks and limits, and the caller
//! if a case states none.

use std::{collections::BTreeMap, sync::Arc};

use countersign_core::{
    decision::{Effect, Reason},
    names::{RoleName, ToolId},
};
use serde_json::{Map, Value as Json};

use super::{Expected, PolicyTests, TestCase, TestPrincipal};
use crate::{
    context::Context,
    document::{
        MAX_DOCUMENT_BYTES,
        reader::{Fields, NamedEntry, Path, Reader, Spot},
        tree::{self, Node, Value},
    },
    violation::{At, Noted, Violation, Violations},
};

/// Longest name of a case, purpose or label, in bytes.
const MAX_WORDS: usize = 512;
/// Greatest depth of a caller; real chains are far shorter.
const MAX_DEPTH: u32 = 1_000;

const CALL: [&str; 5] = ["principal", "tool", "action", "purpose", "context"];
const EFFECTS: [(&str, Effect); 3] =
    [("allow", Effect::Allow), ("deny", Effect::Deny), ("require_approval", Effect::RequireApproval)];

/// The attributes of a call in a case, or in the defaults.
#[derive(Default, Clone)]
struct Given {
    principal: Principal,
    tool: Option<Arc<str>>,
    action: Option<Arc<str>>,
    purpose: Option<String>,
    context: Map<String, Json>,
}

/// The attributes of the caller.
#[derive(Default, Clone)]
struct Principal {
    agent_instance_id: Option<Arc<str>>,
    root_instance_id: Option<Arc<str>>,
    sponsor_id: Option<Arc<str>>,
    agent: Option<Arc<str>>,
    role: Option<Arc<str>>,
    inherited_roles: Vec<RoleName>,
    depth: Option<u32>,
    purpose: Option<String>,
    tools: Option<Vec<ToolId>>,
    labels: BTreeMap<String, String>,
}

pub(super) fn read(text: &str) -> Result<PolicyTests, Violations> {
    let mut reader = Reader::default();
    let cases = if text.len() > MAX_DOCUMENT_BYTES {
        let message = format!("must be at most {MAX_DOCUMENT_BYTES} bytes, is {}", text.len());
        reader.violations.push(Violation::new(At::START, "", message));
        Vec::new()
    } else if text.trim().is_empty() {
        reader.violations.push(Violation::new(At::START, "", "the file is empty; it needs at least `tests`"));
        Vec::new()
    } else {
        match tree::parse(text) {
            Ok(root) => read_file(&mut reader, &root),
            Err(violation) => {
                reader.violations.push(violation);
                Vec::new()
            }
        }
    };
    Violations::check(Noted { document: reader.violations, ..Noted::default() })?;
    Ok(PolicyTests { cases })
}

fn read_file(reader: &mut Reader, root: &Node) -> Vec<TestCase> {
    let path = Path::Root;
    let Some(fields) = reader.fields(root, &path, &["defaults", "tests"]) else { return Vec::new() };
    let mut defaults = Given::default();
    if let Some(node) = fields.get("defaults") {
        let path = Path::Key(&path, "defaults");
        if let Some(fields) = reader.fields(node, &path, &CALL) {
            read_given(reader, &fields, &path, &mut defaults);
        }
    }
    let Some(node) = reader.required(&fields, &path, "tests") else { return Vec::new() };
    let path = Path::Key(&path, "tests");
    let items = reader.list(node, &path).iter().enumerate();
    items.filter_map(|(nth, item)| read_case(reader, item, &Path::Item(&path, nth), &defaults)).collect()
}

fn read_case(reader: &mut Reader, node: &Node, path: &Path<'_>, defaults: &Given) -> Option<TestCase> {
    let known = ["name", CALL[0], CALL[1], CALL[2], CALL[3], CALL[4], "expect"];
    let fields = reader.fields(node, path, &known)?;
    let name = reader
        .required(&fields, path, "name")
        .and_then(|node| reader.text(node, &Path::Key(path, "name"), MAX_WORDS).map(str::to_owned));
    let mut given = defaults.clone();
    read_given(reader, &fields, path, &mut given);
    let expected = reader
        .required(&fields, path, "expect")
        .and_then(|node| read_expected(reader, node, &Path::Key(path, "expect")));
    let principal = Path::Key(path, "principal");
    let mut needed = |value: Option<Arc<str>>, path: &Path<'_>, key: &str| {
        if value.is_none() {
            reader.report(fields.at, &Path::Key(path, key), "is missing, here and in `defaults`");
        }
        value
    };
    let role = needed(given.principal.role.clone(), &principal, "role");
    let tool = needed(given.tool, path, "tool");
    let action = needed(given.action, path, "action");
    let context = match Context::from_json(given.context) {
        Ok(context) => Some(context),
        Err(wrong) => {
            let at = fields.get("context").map_or(fields.at, |node| node.at);
            for violation in wrong {
                let message = format!("{} {}", violation.field, violation.description);
                reader.report(at, &Path::Key(path, "context"), message);
            }
            None
        }
    };
    let tool = tool?;
    Some(TestCase {
        name: name?,
        line: fields.at.line,
        principal: given.principal.finish(role?, &tool),
        tool,
        action: action?,
        purpose: given.purpose,
        context: context?,
        expected: expected?,
    })
}

/// Reads the attributes of a call, which replace those that were read before.
fn read_given(reader: &mut Reader, fields: &Fields<'_>, path: &Path<'_>, given: &mut Given) {
    if let Some(node) = fields.get("principal") {
        given.principal.read(reader, node, &Path::Key(path, "principal"));
    }
    for (key, value) in [("tool", &mut given.tool), ("action", &mut given.action)] {
        if let Some(node) = fields.get(key) {
            *value = Some(reader.call(node, &Path::Key(path, key)).value);
        }
    }
    if let Some(node) = fields.get("purpose") {
        given.purpose = reader.text(node, &Path::Key(path, "purpose"), MAX_WORDS).map(str::to_owned);
    }
    if let Some(node) = fields.get("context") {
        let path = Path::Key(path, "context");
        for NamedEntry { name, value, .. } in reader.entries(node, &path).unwrap_or_default() {
            if let Some(value) = json(reader, value, &Path::Key(&path, name)) {
                given.context.insert(name.to_owned(), value);
            }
        }
    }
}

impl Principal {
    fn read(&mut self, reader: &mut Reader, node: &Node, path: &Path<'_>) {
        const KEYS: [&str; 10] = [
            "role",
            "inherited_roles",
            "agent",
            "sponsor_id",
            "agent_instance_id",
            "root_instance_id",
            "depth",
            "labels",
            "tools",
            "purpose",
        ];
        let Some(fields) = reader.fields(node, path, &KEYS) else { return };
        for (key, value) in [
            ("role", &mut self.role),
            ("agent", &mut self.agent),
            ("sponsor_id", &mut self.sponsor_id),
            ("agent_instance_id", &mut self.agent_instance_id),
            ("root_instance_id", &mut self.root_instance_id),
        ] {
            if let Some(node) = fields.get(key) {
                *value = Some(reader.name(node, &Path::Key(path, key)).value);
            }
        }
        if let Some(node) = fields.get("depth") {
            self.depth = reader.whole(node, &Path::Key(path, "depth"), 0, MAX_DEPTH);
        }
        if let Some(node) = fields.get("purpose") {
            self.purpose = reader.text(node, &Path::Key(path, "purpose"), MAX_WORDS).map(str::to_owned);
        }
        if let Some(node) = fields.get("tools") {
            let path = Path::Key(path, "tools");
            let names = if is_empty(node) { Vec::new() } else { reader.calls(node, &path) };
            self.tools = Some(names.iter().filter_map(|name| name.value.parse().ok()).collect());
        }
        if let Some(node) = fields.get("inherited_roles") {
            let names = names_or_none(reader, node, &Path::Key(path, "inherited_roles"));
            self.inherited_roles = names.iter().filter_map(|name| name.value.parse().ok()).collect();
        }
        if let Some(node) = fields.get("labels") {
            let path = Path::Key(path, "labels");
            for NamedEntry { name, key, value } in reader.entries(node, &path).unwrap_or_default() {
                let path = Path::Key(&path, name);
                reader.name(key, &path);
                if let Some(text) = reader.text(value, &path, MAX_WORDS) {
                    self.labels.insert(name.to_owned(), text.to_owned());
                }
            }
        }
    }

    fn finish(self, role: Arc<str>, tool: &str) -> TestPrincipal {
        let or = |value: Option<Arc<str>>, default: &str| value.unwrap_or_else(|| default.into());
        let agent_instance_id = or(self.agent_instance_id, "instance");
        TestPrincipal {
            root_instance_id: self.root_instance_id.unwrap_or_else(|| agent_instance_id.clone()),
            agent_instance_id,
            sponsor_id: or(self.sponsor_id, "sponsor"),
            agent: or(self.agent, "agent"),
            role,
            inherited_roles: self.inherited_roles,
            depth: self.depth.unwrap_or(0),
            purpose: self.purpose.unwrap_or_else(|| "test".to_owned()),
            // A call of a credential without the tool would not have reached the policy.
            tools: self.tools.unwrap_or_else(|| tool.parse().into_iter().collect()),
            labels: self.labels,
        }
    }
}

fn read_expected(reader: &mut Reader, node: &Node, path: &Path<'_>) -> Option<Expected> {
    let fields = reader.fields(node, path, &["effect", "reason", "rules"])?;
    let effect = reader
        .required(&fields, path, "effect")
        .and_then(|node| reader.word(node, &Path::Key(path, "effect"), &EFFECTS));
    let reason = fields.get("reason").map(|node| {
        let reasons: Vec<_> = OF_A_POLICY.iter().map(|reason| (reason.as_str(), *reason)).collect();
        reader.word(node, &Path::Key(path, "reason"), &reasons)
    });
    let rules = fields.get("rules").map(|node| {
        let mut rules: Vec<_> =
            names_or_none(reader, node, &Path::Key(path, "rules")).into_iter().map(|name| name.value).collect();
        rules.sort();
        rules
    });
    Some(Expected { effect: effect?, reason: reason.flatten(), rules })
}

/// A list of ids without duplicates. Unlike in a document, it may be empty.
fn names_or_none(reader: &mut Reader, node: &Node, path: &Path<'_>) -> Vec<Spot<Arc<str>>> {
    if is_empty(node) { Vec::new() } else { reader.names(node, path) }
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::List(items) if items.is_empty())
}

/// The reasons that a policy can give; every other reason is given before or after it.
const OF_A_POLICY: [Reason; 6] = [
    Reason::AllowedByRule,
    Reason::ApprovalRequired,
    Reason::DeniedByRule,
    Reason::NoMatchingRule,
    Reason::ToolUnknown,
    Reason::PolicyError,
];

/// A value of the context, in the form in which a caller would send it.
fn json(reader: &mut Reader, node: &Node, path: &Path<'_>) -> Option<Json> {
    match &node.value {
        Value::Null => reader.report(node.at, path, "must not be nothing; leave the attribute out"),
        Value::Fraction => {
            reader.report(node.at, path, "must be a whole number; send cents instead of fractions, or text");
        }
        Value::Bool(value) => return Some(Json::Bool(*value)),
        Value::Integer(value) => match i64::try_from(*value) {
            Ok(value) => return Some(value.into()),
            Err(_) => reader.report(node.at, path, "must be a whole number of 64 bits"),
        },
        Value::Text(text) => return Some(Json::String(text.clone())),
        Value::List(items) => {
            let items = items.iter().enumerate();
            return Some(items.filter_map(|(nth, item)| json(reader, item, &Path::Item(path, nth))).collect());
        }
        Value::Map(_) => {
            let mut object = Map::new();
            for NamedEntry { name, value, .. } in reader.entries(node, path)? {
                if let Some(value) = json(reader, value, &Path::Key(path, name)) {
                    object.insert(name.to_owned(), value);
                }
            }
            return Some(Json::Object(object));
        }
    }
    None
}
