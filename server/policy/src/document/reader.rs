//! Reads a tree into values. A value that does not fit is reported (unknown, duplicate and missing keys, wrong types,
//! empty lists, invalid names, numbers out of range), and reading continues.

use std::{collections::HashMap, fmt, sync::Arc};

use countersign_core::names::{CALL_SHAPE, SHAPE, is_call_name, is_name};

use super::{
    spelling::Spellings,
    tree::{Member, Node, Value},
};
use crate::{
    text::quoted,
    violation::{At, Violation},
};

/// The permitted form of a name, and its description.
#[derive(Clone, Copy)]
struct NameShape {
    fits: fn(&str) -> bool,
    words: &'static str,
}

/// An id that people choose.
const CHOSEN: NameShape = NameShape { fits: is_name, words: SHAPE };
/// The name of a tool or an action.
const CALL: NameShape = NameShape { fits: is_call_name, words: CALL_SHAPE };

/// The path of a node in the document, such as `rules[2].tool`. It is kept on the stack, because most paths are never
/// written out.
#[derive(Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
    /// Already written out, for checks that come after its parents were dropped.
    Written(&'p str),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Written(path) => f.write_str(path),
            Self::Key(Path::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Item(parent, nth) => write!(f, "{parent}[{nth}]"),
        }
    }
}

/// A value and its place. A value that could not be read is the default, and a violation was reported.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spot<T> {
    pub(crate) at: At,
    pub(crate) value: T,
}

/// An entry of a mapping, whose key is text.
pub(crate) struct NamedEntry<'t> {
    pub(crate) name: &'t str,
    /// The node that holds the name.
    pub(crate) key: &'t Node,
    pub(crate) value: &'t Node,
}

/// A mapping with known keys.
pub(crate) struct Fields<'t> {
    /// Where the mapping starts.
    pub(crate) at: At,
    entries: HashMap<&'t str, &'t Node>,
}

impl<'t> Fields<'t> {
    /// The value of `key`, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<&'t Node> {
        self.entries.get(key).copied()
    }
}

/// Collects violations while a tree is read.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) violations: Vec<Violation>,
    pub(super) spellings: Spellings,
}

impl Reader {
    pub(crate) fn report(&mut self, at: At, path: &Path<'_>, message: impl Into<String>) {
        self.violations.push(Violation::new(at, path, message));
    }

    pub(crate) fn mistyped(&mut self, node: &Node, path: &Path<'_>, wanted: &str) {
        let hint = match node.value {
            Value::Bool(_) | Value::Integer(_) | Value::Fraction if wanted.contains("text") => "; put it in quotes",
            _ => "",
        };
        self.report(node.at, path, format!("must be {wanted}, is {}{hint}", node.value.kind()));
    }

    /// The entries of a mapping, each key once, in the order of the text. Keys that are not text, and duplicates, are
    /// reported.
    pub(crate) fn entries<'t>(&mut self, node: &'t Node, path: &Path<'_>) -> Option<Vec<NamedEntry<'t>>> {
        let Value::Map(members) = &node.value else {
            self.mistyped(node, path, "a mapping");
            return None;
        };
        let mut seen: HashMap<&str, At> = HashMap::with_capacity(members.len());
        let mut entries = Vec::with_capacity(members.len());
        for Member { key, value } in members {
            let Value::Text(name) = &key.value else {
                self.mistyped(key, path, "a mapping with keys of text");
                continue;
            };
            if let Some(first) = seen.insert(name, key.at) {
                let message = format!("duplicate key {}, first on line {}", quoted(name), first.line);
                self.report(key.at, &Path::Key(path, name), message);
                continue;
            }
            entries.push(NamedEntry { name, key, value });
        }
        Some(entries)
    }

    /// A mapping of which every key is in `known`.
    pub(crate) fn fields<'t>(&mut self, node: &'t Node, path: &Path<'_>, known: &[&str]) -> Option<Fields<'t>> {
        let mut entries = HashMap::with_capacity(known.len());
        for NamedEntry { name, key, value } in self.entries(node, path)? {
            if known.contains(&name) {
                entries.insert(name, value);
            } else {
                let message = format!("unknown key {}; known here: {}", quoted(name), known.join(", "));
                self.report(key.at, &Path::Key(path, name), message);
            }
        }
        Some(Fields { at: node.at, entries })
    }

    /// A list with at least one item.
    pub(crate) fn list<'t>(&mut self, node: &'t Node, path: &Path<'_>) -> &'t [Node] {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                self.report(node.at, path, "must not be empty");
                &[]
            }
            Value::List(items) => items,
            _ => {
                self.mistyped(node, path, "a list");
                &[]
            }
        }
    }

    /// The value of a required key.
    pub(crate) fn required<'t>(&mut self, fields: &Fields<'t>, path: &Path<'_>, key: &str) -> Option<&'t Node> {
        let found = fields.get(key);
        if found.is_none() {
            self.report(fields.at, &Path::Key(path, key), "is missing");
        }
        found
    }

    /// An id that people choose: of a role, a rule, a sponsor.
    pub(crate) fn name(&mut self, node: &Node, path: &Path<'_>) -> Spot<Arc<str>> {
        self.shaped(node, path, CHOSEN)
    }

    /// The name of a tool or an action.
    pub(crate) fn call(&mut self, node: &Node, path: &Path<'_>) -> Spot<Arc<str>> {
        self.shaped(node, path, CALL)
    }

    fn shaped(&mut self, node: &Node, path: &Path<'_>, shape: NameShape) -> Spot<Arc<str>> {
        let value = match &node.value {
            Value::Text(text) if (shape.fits)(text) => text.as_str(),
            Value::Text(text) => {
                self.report(node.at, path, format!("must be {}, is {}", shape.words, quoted(text)));
                ""
            }
            _ => {
                self.mistyped(node, path, "text");
                ""
            }
        };
        Spot { at: node.at, value: value.into() }
    }

    /// The id under a required key.
    pub(crate) fn required_name(&mut self, fields: &Fields<'_>, path: &Path<'_>, key: &str) -> Spot<Arc<str>> {
        match self.required(fields, path, key) {
            Some(node) => self.name(node, &Path::Key(path, key)),
            None => Spot { at: fields.at, value: "".into() },
        }
    }

    /// The name of a tool, an action or a type under a required key.
    pub(crate) fn required_call(&mut self, fields: &Fields<'_>, path: &Path<'_>, key: &str) -> Spot<Arc<str>> {
        match self.required(fields, path, key) {
            Some(node) => self.call(node, &Path::Key(path, key)),
            None => Spot { at: fields.at, value: "".into() },
        }
    }

    /// A list of ids that people choose, with at least one item and no duplicates.
    pub(crate) fn names(&mut self, node: &Node, path: &Path<'_>) -> Vec<Spot<Arc<str>>> {
        self.all_shaped(node, path, CHOSEN)
    }

    /// A list of names of tools or actions, with at least one item and no duplicates.
    pub(crate) fn calls(&mut self, node: &Node, path: &Path<'_>) -> Vec<Spot<Arc<str>>> {
        self.all_shaped(node, path, CALL)
    }

    fn all_shaped(&mut self, node: &Node, path: &Path<'_>, shape: NameShape) -> Vec<Spot<Arc<str>>> {
        let items = self.list(node, path);
        let mut seen: HashMap<Arc<str>, usize> = HashMap::with_capacity(items.len());
        let mut names = Vec::with_capacity(items.len());
        for (nth, item) in items.iter().enumerate() {
            let here = Path::Item(path, nth);
            let name = self.shaped(item, &here, shape);
            if name.value.is_empty() {
                continue;
            }
            match seen.insert(name.value.clone(), nth) {
                Some(first) => {
                    self.report(name.at, &here, format!("{:?} occurs twice, first as {path}[{first}]", name.value));
                }
                None => names.push(name),
            }
        }
        names
    }

    /// Text of 1 to `longest` bytes.
    pub(crate) fn text<'t>(&mut self, node: &'t Node, path: &Path<'_>, longest: usize) -> Option<&'t str> {
        match &node.value {
            Value::Text(text) if text.trim().is_empty() => self.report(node.at, path, "must not be empty"),
            Value::Text(text) if text.len() > longest => {
                self.report(node.at, path, format!("must be at most {longest} bytes, is {}", text.len()));
            }
            Value::Text(text) => return Some(text),
            _ => self.mistyped(node, path, "text"),
        }
        None
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, node: &Node, path: &Path<'_>) -> Option<bool> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        self.mistyped(node, path, "true or false");
        None
    }

    /// A whole number in `from..=to`.
    pub(crate) fn whole(&mut self, node: &Node, path: &Path<'_>, from: u32, to: u32) -> Option<u32> {
        match node.value {
            Value::Integer(value) => match u32::try_from(value) {
                Ok(value) if (from..=to).contains(&value) => return Some(value),
                _ => self.report(node.at, path, format!("must be {from} to {to}, is {value}")),
            },
            _ => self.mistyped(node, path, &format!("a whole number, {from} to {to}")),
        }
        None
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node, path: &Path<'_>, words: &[(&str, T)]) -> Option<T> {
        let wanted = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        let Value::Text(text) = &node.value else {
            self.mistyped(node, path, &wanted());
            return None;
        };
        let found = words.iter().find(|(word, _)| word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.report(node.at, path, format!("must be {}, is {}", wanted(), quoted(text)));
        }
        found
    }
}
