//! A YAML file as a list of settings: `tls: {certificate: a.pem}` on line 3 is the setting `tls.certificate` = `a.pem`.
//! Limits of its depth, nodes and aliases; a fraction, an empty key and a key with brackets are refused.
//!
//! The list is flat, because a setting then looks the same in a file, in the environment and in a flag, and one reader
//! can report the errors of all three.

use std::{fmt, path::Path};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{MergeKeyPolicy, Options, Spanned, options::DuplicateKeyPolicy};

use super::problem::{Origin, Problem};

/// A setting and its place.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key with dots. `[]` at its end means an item of a list; if the items are mappings, `[0]`, `[1]`, ... are
    /// inside it.
    pub(super) key: String,
    /// The value. `None` if the key has no value.
    pub(super) value: Option<String>,
    pub(super) origin: Origin,
}

/// Reads the settings of a document, in order and with duplicates. Reading ends at a syntax error, so there is at most
/// one.
pub(super) fn parse(text: &str, path: &Path) -> Result<Vec<Entry>, Problem> {
    let root: Spanned<Value> = serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().map_or(0, |place| place.line());
        Problem::new(Origin::File(path.to_owned(), line), "", first_line(&error.to_string()))
    })?;
    let mut entries = Vec::new();
    match root.value {
        Value::Nothing => {}
        Value::Map(_) => flatten("", root.referenced.line(), root.value, path, &mut entries),
        _ => return Err(Problem::new(Origin::File(path.to_owned(), 1), "", "must be a mapping of keys to values")),
    }
    Ok(entries)
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 8, max_nodes: 10_000, max_events: 20_000, max_documents: 1, max_aliases: 100 },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn flatten(key: &str, line: u64, value: Value, path: &Path, entries: &mut Vec<Entry>) {
    let mut push = |value| {
        entries.push(Entry { key: key.to_owned(), value, origin: Origin::File(path.to_owned(), line) });
    };
    match value {
        Value::Nothing => push(None),
        Value::Scalar(text) => push(Some(text)),
        Value::List(items) => {
            for (nth, item) in items.into_iter().enumerate() {
                let nth = if matches!(item.value, Value::Map(_)) { nth.to_string() } else { String::new() };
                flatten(&format!("{key}[{nth}]"), item.referenced.line(), item.value, path, entries);
            }
        }
        Value::Map(members) => {
            for Member { name, value } in members {
                let dot = if key.is_empty() { "" } else { "." };
                flatten(&format!("{key}{dot}{}", name.value), name.referenced.line(), value.value, path, entries);
            }
        }
    }
}

#[derive(Debug)]
enum Value {
    Nothing,
    Scalar(String),
    List(Vec<Spanned<Value>>),
    Map(Vec<Member>),
}

/// An entry of a mapping.
#[derive(Debug)]
struct Member {
    name: Spanned<String>,
    value: Spanned<Value>,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    /// No setting is a fraction, and a text that looks like one (`1.10`) would lose its last digit.
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a fraction is not a setting; if it is meant as text, put it in quotes"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Vec<Member> = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            members.push(Member { name, value });
        }
        if members.iter().any(|member| member.name.value.is_empty()) {
            return Err(A::Error::custom("a key must not be empty"));
        }
        // Brackets mark the item of a list, so a key in the file may not contain them.
        if members.iter().any(|member| member.name.value.contains(['[', ']'])) {
            return Err(A::Error::custom("a key must not contain [ or ]; write a list as a list"));
        }
        Ok(Value::Map(members))
    }
}
