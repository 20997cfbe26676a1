//! The policy document: its top-level keys (`roles`, `tools`, `context`, `types`, `entities`, `rules`, `rollout`), and
//! all checks except those of its conditions. An empty or too large document is refused.

mod context;
mod entities;
mod limits;
mod names;
mod place;
pub(crate) mod reader;
mod rollout;
mod rules;
mod spelling;
mod tables;
pub(crate) mod tree;

pub use limits::{MAX_CONDITION_BYTES, MAX_DOCUMENT_BYTES, MAX_RULES};
pub(crate) use place::{Places, Written};
pub use rollout::RolloutSpec;
pub(crate) use rules::RuleNode;
pub(crate) use spelling::{NameOf, differs};
pub use tables::{DEFAULT_RISK, Risk, RoleSpec, ToolSpec};

use crate::{
    entities::EntityTypes,
    schema::ContextAttribute,
    violation::{At, Violation},
};
use reader::{Path, Reader};
use tables::Tables;

/// A document as read. If `violations` is not empty, the document may have gaps and must not be used for decisions.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) roles: Option<Vec<RoleSpec>>,
    pub(crate) tools: Option<Vec<ToolSpec>>,
    pub(crate) types: Option<EntityTypes>,
    pub(crate) context: Option<Vec<ContextAttribute>>,
    pub(crate) rules: Vec<RuleNode>,
    pub(crate) rollout: Option<RolloutSpec>,
    pub(crate) violations: Vec<Violation>,
}

impl Document {
    /// Reads a document. `rules_elsewhere`: all rules may be in Cedar text, so the key is optional.
    pub(crate) fn read(text: &str, rules_elsewhere: bool) -> Self {
        let refused = |violation| Self { violations: vec![violation], ..Self::default() };
        if text.len() > MAX_DOCUMENT_BYTES {
            return refused(Violation::new(
                At::START,
                "",
                format!("the document must be at most {MAX_DOCUMENT_BYTES} bytes, is {}", text.len()),
            ));
        }
        if text.trim().is_empty() {
            return refused(Violation::new(At::START, "", "the document is empty; it needs at least `rules`"));
        }
        match tree::parse(text) {
            Ok(root) => Self::from_tree(&root, rules_elsewhere),
            Err(violation) => refused(violation),
        }
    }

    fn from_tree(root: &tree::Node, rules_elsewhere: bool) -> Self {
        let mut reader = Reader::default();
        let path = Path::Root;
        let mut document = Self::default();
        if let Some(fields) =
            reader.fields(root, &path, &["roles", "tools", "context", "types", "entities", "rules", "rollout"])
        {
            let tables = Tables::read(&mut reader, &fields);
            document.types = entities::read(&mut reader, &fields, &tables);
            if let Some(node) = fields.get("context") {
                document.context = Some(context::read(&mut reader, node, &Path::Key(&path, "context"), &tables));
            }
            if let Some(node) = fields.get("rules") {
                document.rules = rules::read(&mut reader, node, &Path::Key(&path, "rules"), &tables);
            } else if !rules_elsewhere {
                reader.required(&fields, &path, "rules");
            }
            if let Some(node) = fields.get("rollout") {
                document.rollout = rollout::read(&mut reader, node, &Path::Key(&path, "rollout"), &tables);
            }
            (document.roles, document.tools) = tables.into_specs();
        }
        document.violations = reader.violations;
        document
    }
}
