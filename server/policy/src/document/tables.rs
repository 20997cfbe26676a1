//! `roles` and `tools`: which ones exist, and their limits: a role's tools, longest credential and `may_delegate_to`; a
//! tool's risk, its default, and whether an ALLOW is cacheable. Duplicate ids are reported.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use countersign_core::{
    grant::{HARD_MAX_TTL, MIN_TTL},
    names::{RoleName, ToolId},
};

use super::{
    reader::{Fields, Path, Reader, Spot},
    spelling::NameOf,
    tree::Node,
};
use crate::violation::At;

/// A role and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSpec {
    /// The role.
    pub role: RoleName,
    /// The tools that it may use; empty for any.
    pub tools: Vec<ToolId>,
    /// Longest credential in seconds; `None` for the installation's limit.
    pub max_ttl_seconds: Option<u32>,
    /// The other roles with which a run of this role may start children. Both roles restrict such a child.
    pub may_delegate_to: Vec<RoleName>,
}

/// A tool and its properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSpec {
    /// The tool.
    pub tool: ToolId,
    /// How much harm it can do.
    pub risk: Risk,
    /// Whether the caller may cache an ALLOW. If the risk is high, it may not, unless the document says so.
    pub cacheable: bool,
}

/// How much harm a tool can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// Its allowed calls may be sampled in exports.
    Low,
    /// Always recorded.
    Medium,
    /// Always recorded, never sampled, and not cacheable unless the document says so.
    High,
}

/// The risk of a tool without a stated risk: never left out by sampling, and cacheable.
pub const DEFAULT_RISK: Risk = Risk::Medium;

const RISKS: [(&str, Risk); 3] = [("low", Risk::Low), ("medium", Risk::Medium), ("high", Risk::High)];

/// Both tables, for checking every name of a role or a tool.
#[derive(Debug, Default)]
pub(super) struct Tables {
    roles: Option<Vec<RoleSpec>>,
    tools: Option<Vec<ToolSpec>>,
    role_names: HashSet<RoleName>,
    tool_names: HashSet<ToolId>,
}

impl Tables {
    pub(super) fn read(reader: &mut Reader, fields: &Fields<'_>) -> Self {
        let mut tables = Self::default();
        if let Some(node) = fields.get("tools") {
            let tools = read_table(reader, node, &Path::Key(&Path::Root, "tools"), read_tool);
            tables.tool_names = tools.iter().map(|spec| spec.tool.clone()).collect();
            tables.tools = Some(tools);
        }
        if let Some(node) = fields.get("roles") {
            let path = Path::Key(&Path::Root, "roles");
            let roles = read_table(reader, node, &path, |reader, node, path| read_role(reader, node, path, &tables));
            tables.role_names = roles.iter().map(|read| read.spec.role.clone()).collect();
            // A role may name a later one, so this is checked when all are known.
            let (roles, named): (Vec<_>, Vec<_>) = roles.into_iter().map(|read| (read.spec, read.named)).unzip();
            tables.roles = Some(roles);
            for named in named.iter().flatten() {
                tables.check_role(reader, &named.role, &Path::Written(&named.path));
            }
        }
        tables
    }

    /// Reports a role that the document does not list, if it lists any.
    pub(super) fn check_role(&self, reader: &mut Reader, role: &Spot<Arc<str>>, path: &Path<'_>) {
        if self.roles.is_some() && !role.value.is_empty() && !self.role_names.contains(&*role.value) {
            reader.report(role.at, path, format!("role {:?} is not listed under `roles`", role.value));
        }
    }

    /// Reports a tool that the document does not register, if it registers any, or that it spells in two ways.
    pub(super) fn check_tool(&self, reader: &mut Reader, tool: &Spot<Arc<str>>, path: &Path<'_>) {
        if !reader.spelling(NameOf::Tool, tool, path) {
            return;
        }
        if self.tools.is_some() && !tool.value.is_empty() && !self.tool_names.contains(&*tool.value) {
            reader.report(tool.at, path, format!("tool {:?} is not registered under `tools`", tool.value));
        }
    }

    pub(super) fn into_specs(self) -> (Option<Vec<RoleSpec>>, Option<Vec<ToolSpec>>) {
        (self.roles, self.tools)
    }
}

/// A mapping of a table.
struct Row<T> {
    id: Spot<Arc<str>>,
    value: T,
}

/// Reads a list of mappings that each have a unique `id`. An entry without a valid id is reported and left out.
fn read_table<T>(
    reader: &mut Reader,
    node: &Node,
    path: &Path<'_>,
    mut read: impl FnMut(&mut Reader, &Node, &Path<'_>) -> Option<Row<T>>,
) -> Vec<T> {
    let mut ids = Ids::default();
    let mut table = Vec::new();
    for (nth, item) in reader.list(node, path).iter().enumerate() {
        let here = Path::Item(path, nth);
        if let Some(Row { id, value }) = read(reader, item, &here) {
            ids.check(reader, &id, &here);
            table.push(value);
        }
    }
    table
}

/// The ids of one list, to find duplicates.
#[derive(Default)]
pub(super) struct Ids(HashMap<Arc<str>, At>);

impl Ids {
    pub(super) fn check(&mut self, reader: &mut Reader, id: &Spot<Arc<str>>, path: &Path<'_>) {
        if id.value.is_empty() {
            return;
        }
        if let Some(first) = self.0.get(&id.value) {
            let message = format!("duplicate id {:?}, first on line {}", id.value, first.line);
            reader.report(id.at, &Path::Key(path, "id"), message);
        } else {
            self.0.insert(id.value.clone(), id.at);
        }
    }
}

fn read_tool(reader: &mut Reader, node: &Node, path: &Path<'_>) -> Option<Row<ToolSpec>> {
    let fields = reader.fields(node, path, &["id", "risk", "cacheable"])?;
    let id = reader.required_call(&fields, path, "id");
    reader.spelling(NameOf::Tool, &id, &Path::Key(path, "id"));
    let risk = fields.get("risk").and_then(|node| reader.word(node, &Path::Key(path, "risk"), &RISKS));
    let cacheable = fields.get("cacheable").and_then(|node| reader.flag(node, &Path::Key(path, "cacheable")));
    let risk = risk.unwrap_or(DEFAULT_RISK);
    let tool = id.value.parse().ok()?;
    Some(Row { id, value: ToolSpec { tool, risk, cacheable: cacheable.unwrap_or(risk < Risk::High) } })
}

/// A role that another role names, and the path of that place.
struct ReadRole {
    spec: RoleSpec,
    named: Vec<NamedRole>,
}

/// A role that another names.
struct NamedRole {
    /// Where it does.
    path: String,
    role: Spot<Arc<str>>,
}

fn read_role(reader: &mut Reader, node: &Node, path: &Path<'_>, tables: &Tables) -> Option<Row<ReadRole>> {
    let fields = reader.fields(node, path, &["id", "tools", "max_ttl_seconds", "may_delegate_to"])?;
    let id = reader.required_name(&fields, path, "id");
    let mut tools = Vec::new();
    if let Some(node) = fields.get("tools") {
        let path = Path::Key(path, "tools");
        for (nth, tool) in reader.calls(node, &path).iter().enumerate() {
            tables.check_tool(reader, tool, &Path::Item(&path, nth));
            tools.extend(tool.value.parse::<ToolId>().ok());
        }
    }
    let max_ttl_seconds = fields
        .get("max_ttl_seconds")
        .and_then(|node| reader.whole(node, &Path::Key(path, "max_ttl_seconds"), MIN_TTL, HARD_MAX_TTL));
    let mut named = Vec::new();
    if let Some(node) = fields.get("may_delegate_to") {
        let path = Path::Key(path, "may_delegate_to");
        let roles = reader.names(node, &path);
        let roles = roles.into_iter().enumerate();
        named.extend(roles.map(|(nth, role)| NamedRole { path: Path::Item(&path, nth).to_string(), role }));
    }
    let may_delegate_to = named.iter().filter_map(|named| named.role.value.parse().ok()).collect();
    let role = id.value.parse().ok()?;
    let spec = RoleSpec { role, tools, max_ttl_seconds, may_delegate_to };
    Some(Row { id, value: ReadRole { spec, named } })
}
