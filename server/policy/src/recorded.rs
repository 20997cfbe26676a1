//! The attributes of a call's context that the custody log contains: those that the document marks `record: true`. This
//! file decides how many are recorded per call, and the permitted form of their names and words.

use countersign_core::names::ToolId;

use crate::schema::{ContextAttribute, ContextType};

/// Limit of the attributes that are recorded per call.
pub(crate) const MAX_RECORDED: usize = 16;
/// The permitted form of names and words that are recorded.
pub(crate) const TOKEN: &str = "1 to 128 characters of A-Z a-z 0-9 . _ @ : / -";

/// An attribute of a call that is recorded, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedAttribute<'a> {
    /// Its name: the names of its parents and its own, separated by dots.
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

/// An attribute that is recorded if a call has it.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
    pub(crate) attribute: ContextAttribute,
    /// As declared for the attribute of the context that contains it; empty for every tool.
    pub(crate) tools: Vec<ToolId>,
}

impl Recorded {
    /// Whether it is an attribute of calls on `tool`; with `None`, of all calls.
    pub(crate) fn is_for(&self, tool: Option<&str>) -> bool {
        self.tools.is_empty() || tool.is_some_and(|tool| self.tools.iter().any(|listed| listed.as_str() == tool))
    }
}

/// The recorded attributes among these declared ones, sorted by name.
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

/// Whether a text has the form of a token, which the custody log can contain.
pub(crate) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._@:/-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}
