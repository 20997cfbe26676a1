//! What of a call's context the custody log states: attributes that the document marks `record: true`.

use countersign_core::names::ToolId;

use crate::schema::{ContextAttribute, ContextType};

/// Most attributes that are recorded of one call.
pub(crate) const MAX_RECORDED: usize = 16;
/// What names and words look like that are recorded.
pub(crate) const TOKEN: &str = "1 to 128 characters of A-Z a-z 0-9 . _ @ : / -";

/// An attribute of a call that is recorded, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedAttribute<'a> {
    /// Its name: those of what holds it and its own, with dots.
    pub name: &'a str,
    /// Its value.
    pub value: RecordedValue<'a>,
}

/// A value that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedValue<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// One of the words that the document lists.
    Word(&'a str),
}

/// An attribute that is recorded wherever a call has it.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
    pub(crate) attribute: ContextAttribute,
    /// As declared for what stands in the context itself; empty: every tool.
    pub(crate) tools: Vec<ToolId>,
}

impl Recorded {
    /// Whether it is one of calls on `tool`; none: of every call.
    pub(crate) fn is_for(&self, tool: Option<&str>) -> bool {
        self.tools.is_empty() || tool.is_some_and(|tool| self.tools.iter().any(|listed| listed.as_str() == tool))
    }
}

/// What is recorded of these declared attributes, rising by name.
pub(crate) fn recorded(declared: &[ContextAttribute]) -> Vec<Recorded> {
    let mut found = Vec::new();
    for attribute in declared {
        collect(attribute, &mut Vec::new(), &attribute.tools, &mut found);
    }
    found.sort_by(|one: &Recorded, other| one.name.cmp(&other.name));
    found
}

fn collect(attribute: &ContextAttribute, path: &mut Vec<String>, tools: &[ToolId], found: &mut Vec<Recorded>) {
    path.push(attribute.name.clone());
    if attribute.record {
        found.push(Recorded {
            name: path.join("."),
            path: path.clone(),
            attribute: attribute.clone(),
            tools: tools.to_vec(),
        });
    }
    if let ContextType::Record(inside) = &attribute.kind {
        for attribute in inside {
            collect(attribute, path, tools, found);
        }
    }
    path.pop();
}

/// Whether text has the shape of what the custody log can state: its tokens.
pub(crate) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._@:/-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}
