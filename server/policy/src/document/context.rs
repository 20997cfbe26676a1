//! `context`: the attributes of a call that callers send, and their types: `required`, `tools`, `values` (listed
//! words), and which may be recorded (`record`, never free text). This file limits how many attributes and words there
//! may be.

use std::collections::BTreeSet;

use super::{
    reader::{Fields, NamedEntry, Path, Reader},
    tables::Tables,
    tree::Node,
};
use crate::{
    context::{MAX_DEPTH, MAX_KEY, MAX_TEXT, PURPOSE},
    recorded::{MAX_RECORDED, TOKEN, is_token, recorded},
    schema::{ContextAttribute, ContextType, Scalar},
    text::quoted,
};

/// Limit of the attributes that a document declares, including those inside mappings.
const MAX_ATTRIBUTES: usize = 256;
/// Limit of the words in the list of an attribute.
const MAX_WORDS: usize = 256;

const SCALARS: [(&str, Scalar); 3] = [("long", Scalar::Long), ("string", Scalar::String), ("bool", Scalar::Bool)];

/// The value of `type`.
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
    let mut section = Section { reader, tables, count: 0, of_calls: true };
    let attributes = section.attributes(node, path, 1);
    let count = section.count;
    check_recorded(reader, node, path, &attributes);
    if count > MAX_ATTRIBUTES {
        reader.report(node.at, path, format!("must be at most {MAX_ATTRIBUTES} attributes in all, are {count}"));
    }
    attributes
}

/// Checks that recorded attributes fit into a custody event.
fn check_recorded(reader: &mut Reader, node: &Node, path: &Path<'_>, attributes: &[ContextAttribute]) {
    let recorded = recorded(attributes);
    if let Some(one) = recorded.iter().find(|one| !is_token(&one.name)) {
        let message = format!("the name of a recorded attribute must be {TOKEN}, and {} is not", quoted(&one.name));
        reader.report(node.at, path, message);
    }
    if let Some(pair) = recorded.windows(2).find(|pair| pair[0].name == pair[1].name) {
        reader.report(node.at, path, format!("two attributes would be recorded as {}", quoted(&pair[0].name)));
    }
    let tools: BTreeSet<Option<&str>> =
        recorded.iter().flat_map(|one| one.tools.iter().map(|tool| Some(tool.as_str()))).chain([None]).collect();
    let most = tools.into_iter().map(|tool| (recorded.iter().filter(|one| one.is_for(tool)).count(), tool)).max();
    if let Some((count @ MAX_RECORDED.., tool)) = most.filter(|(count, _)| *count > MAX_RECORDED) {
        let of = tool.map(|tool| format!(" of calls on {tool:?}")).unwrap_or_default();
        reader.report(node.at, path, format!("at most {MAX_RECORDED} attributes{of} are recorded, these are {count}"));
    }
}

/// Reads a mapping of attributes that are not attributes of the context.
pub(super) fn read_attributes(
    reader: &mut Reader,
    node: &Node,
    path: &Path<'_>,
    tables: &Tables,
) -> Vec<ContextAttribute> {
    // Attributes inside another value are read like this, and these are inside an entity.
    Section { reader, tables, count: 0, of_calls: false }.attributes(node, path, 2)
}

struct Section<'r> {
    reader: &'r mut Reader,
    tables: &'r Tables,
    count: usize,
    /// Whether these are attributes of calls, which the custody log may contain.
    of_calls: bool,
}

impl Section<'_> {
    /// Reads a mapping of attributes at `depth` below the context.
    fn attributes(&mut self, node: &Node, path: &Path<'_>, depth: usize) -> Vec<ContextAttribute> {
        let Some(entries) = self.reader.entries(node, path) else { return Vec::new() };
        if entries.is_empty() {
            self.reader.report(node.at, path, "must not be empty");
        }
        self.count += entries.len();
        let mut attributes = Vec::with_capacity(entries.len());
        for NamedEntry { name, key, value } in entries {
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
        // Only an attribute of the context itself is limited to tools; the attributes inside it follow it.
        let keys: &[&str] = match (self.of_calls, depth) {
            (true, 1) => &["type", "of", "attributes", "required", "tools", "values", "record"],
            (true, _) => &["type", "of", "attributes", "required", "values", "record"],
            (false, _) => &["type", "of", "attributes", "required"],
        };
        let fields = self.reader.fields(node, path, keys)?;
        let kind = self.kind(&fields, path, depth);
        let required = fields.get("required").and_then(|node| self.reader.flag(node, &Path::Key(path, "required")));
        let mut tools = Vec::new();
        if let Some(node) = fields.get("tools") {
            let path = Path::Key(path, "tools");
            for (nth, tool) in self.reader.calls(node, &path).iter().enumerate() {
                self.tables.check_tool(self.reader, tool, &Path::Item(&path, nth));
                tools.extend(tool.value.parse().ok());
            }
        }
        let kind = kind?;
        let values = self.values(&fields, path, &kind);
        let record = self.record(&fields, path, &kind, &values);
        Some(ContextAttribute {
            name: name.to_owned(),
            kind,
            required: required.unwrap_or(true),
            tools,
            values,
            record,
        })
    }

    /// The words that a text may be.
    fn values(&mut self, fields: &Fields<'_>, path: &Path<'_>, kind: &ContextType) -> Vec<String> {
        let Some(node) = fields.get("values") else { return Vec::new() };
        let path = Path::Key(path, "values");
        if *kind != ContextType::One(Scalar::String) {
            self.reader.report(node.at, &path, "is only for `type: string`");
            return Vec::new();
        }
        let items = self.reader.list(node, &path);
        if let Some(extra) = items.get(MAX_WORDS) {
            self.reader.report(extra.at, &path, format!("must be at most {MAX_WORDS} words, are {}", items.len()));
            return Vec::new();
        }
        let mut words: Vec<String> = Vec::with_capacity(items.len());
        for (nth, item) in items.iter().enumerate() {
            let here = Path::Item(&path, nth);
            let Some(word) = self.reader.text(item, &here, MAX_TEXT) else { continue };
            if words.iter().any(|known| known == word) {
                self.reader.report(item.at, &here, format!("{} occurs twice", quoted(word)));
            } else {
                words.push(word.to_owned());
            }
        }
        words
    }

    /// Whether the custody log contains its value. Free text is not permitted, because the log is permanent.
    fn record(&mut self, fields: &Fields<'_>, path: &Path<'_>, kind: &ContextType, values: &[String]) -> bool {
        let Some(node) = fields.get("record") else { return false };
        let here = Path::Key(path, "record");
        if self.reader.flag(node, &here) != Some(true) {
            return false;
        }
        let wrong = match kind {
            ContextType::One(Scalar::Long | Scalar::Bool) => None,
            ContextType::One(Scalar::String) if values.is_empty() => Some(
                "text is recorded only where `values` lists the words that it may be: what is recorded is never erased"
                    .to_owned(),
            ),
            ContextType::One(Scalar::String) => values
                .iter()
                .find(|word| !is_token(word))
                .map(|word| format!("a word that is recorded must be {TOKEN}, and {} is not", quoted(word))),
            ContextType::Set(_) | ContextType::Record(_) => {
                Some("only whole numbers, true or false, and words of a list are recorded".to_owned())
            }
        };
        match wrong {
            Some(message) => self.reader.report(node.at, &here, message),
            None => return true,
        }
        false
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
