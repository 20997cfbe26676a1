//! `context`: what callers say of a call, and of what type.

use super::{
    reader::{Fields, Path, Reader},
    tables::Tables,
    tree::Node,
};
use crate::{
    context::{MAX_DEPTH, MAX_KEY, PURPOSE},
    schema::{ContextAttribute, ContextType, Scalar},
};

/// Most attributes that a document declares, those inside mappings included.
const MAX_ATTRIBUTES: usize = 256;

const SCALARS: [(&str, Scalar); 3] = [("long", Scalar::Long), ("string", Scalar::String), ("bool", Scalar::Bool)];

/// What `type` says.
#[derive(Clone, Copy)]
enum Word {
    One(Scalar),
    Set,
    Record,
}

const TYPES: [(&str, Word); 5] = [
    ("long", Word::One(Scalar::Long)),
    ("string", Word::One(Scalar::String)),
    ("bool", Word::One(Scalar::Bool)),
    ("set", Word::Set),
    ("record", Word::Record),
];

pub(super) fn read(reader: &mut Reader, node: &Node, path: &Path<'_>, tables: &Tables) -> Vec<ContextAttribute> {
    let mut section = Section { reader, tables, count: 0 };
    let attributes = section.attributes(node, path, 1);
    if section.count > MAX_ATTRIBUTES {
        let count = section.count;
        reader.report(node.at, path, format!("must be at most {MAX_ATTRIBUTES} attributes in all, are {count}"));
    }
    attributes
}

/// A mapping of attributes of something else than the context.
pub(super) fn read_attributes(
    reader: &mut Reader,
    node: &Node,
    path: &Path<'_>,
    tables: &Tables,
) -> Vec<ContextAttribute> {
    // What is inside of something is read so, and this is inside of an entity.
    Section { reader, tables, count: 0 }.attributes(node, path, 2)
}

struct Section<'r> {
    reader: &'r mut Reader,
    tables: &'r Tables,
    count: usize,
}

impl Section<'_> {
    /// A mapping of attributes that stand `depth` below the context.
    fn attributes(&mut self, node: &Node, path: &Path<'_>, depth: usize) -> Vec<ContextAttribute> {
        let Some(entries) = self.reader.entries(node, path) else { return Vec::new() };
        if entries.is_empty() {
            self.reader.report(node.at, path, "must not be empty");
        }
        self.count += entries.len();
        let mut attributes = Vec::with_capacity(entries.len());
        for (name, key, value) in entries {
            let here = Path::Key(path, name);
            if !(1..=MAX_KEY).contains(&name.len()) || name.chars().any(char::is_control) {
                let message = format!("the name must be 1 to {MAX_KEY} bytes without control characters");
                self.reader.report(key.at, path, message);
            } else if depth == 1 && name == PURPOSE {
                self.reader.report(key.at, &here, "is the call's own purpose, which is always there; leave it out");
            } else {
                attributes.extend(self.attribute(name, value, &here, depth));
            }
        }
        attributes
    }

    fn attribute(&mut self, name: &str, node: &Node, path: &Path<'_>, depth: usize) -> Option<ContextAttribute> {
        // Only an attribute of the context itself is one of a call; what is inside goes with it.
        let keys: &[&str] = match depth {
            1 => &["type", "of", "attributes", "required", "tools"],
            _ => &["type", "of", "attributes", "required"],
        };
        let fields = self.reader.fields(node, path, keys)?;
        let kind = self.kind(&fields, path, depth);
        let required = fields.get("required").and_then(|node| self.reader.flag(node, &Path::Key(path, "required")));
        let mut tools = Vec::new();
        if let Some(node) = fields.get("tools") {
            let path = Path::Key(path, "tools");
            for (nth, tool) in self.reader.names(node, &path).iter().enumerate() {
                self.tables.check_tool(self.reader, tool, &Path::Item(&path, nth));
                tools.extend(tool.value.parse().ok());
            }
        }
        Some(ContextAttribute { name: name.to_owned(), kind: kind?, required: required.unwrap_or(true), tools })
    }

    fn kind(&mut self, fields: &Fields<'_>, path: &Path<'_>, depth: usize) -> Option<ContextType> {
        let node = self.reader.required(fields, path, "type")?;
        let word = self.reader.word(node, &Path::Key(path, "type"), &TYPES)?;
        let (of, attributes) = (fields.get("of"), fields.get("attributes"));
        let mut misplaced = |key: &'static str, node: Option<&Node>, wanted: &str| {
            if let Some(node) = node {
                self.reader.report(node.at, &Path::Key(path, key), format!("is only for `type: {wanted}`"));
            }
        };
        if !matches!(word, Word::Set) {
            misplaced("of", of, "set");
        }
        if !matches!(word, Word::Record) {
            misplaced("attributes", attributes, "record");
        }
        match word {
            Word::One(scalar) => Some(ContextType::One(scalar)),
            Word::Set => {
                let node = self.reader.required(fields, path, "of")?;
                Some(ContextType::Set(self.reader.word(node, &Path::Key(path, "of"), &SCALARS)?))
            }
            Word::Record => {
                let node = self.reader.required(fields, path, "attributes")?;
                if depth == MAX_DEPTH {
                    let message = format!("the context is at most {MAX_DEPTH} deep, and this would be deeper");
                    self.reader.report(node.at, &Path::Key(path, "attributes"), message);
                    return None;
                }
                Some(ContextType::Record(self.attributes(node, &Path::Key(path, "attributes"), depth + 1)))
            }
        }
    }
}
