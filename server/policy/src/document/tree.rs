//! YAML as a tree in which every node has its place, with limits against hostile documents (depth, nodes, aliases). A
//! tree is read, instead of structs, so that a document can be refused with all its errors and not only with the first.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{
    MergeKeyPolicy, Options, Spanned,
    options::{AliasLimits, DuplicateKeyPolicy},
};

use crate::violation::{At, Violation};

/// A YAML node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    /// Where the node starts in the document's bytes.
    pub(crate) offset: Option<usize>,
    pub(crate) value: Value,
}

/// An entry of a mapping. The key may be anything.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) key: Node,
    pub(crate) value: Node,
}

/// The content of a node. Keys keep their order and their duplicates.
#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Fraction,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

impl Value {
    /// The kind of value, in words for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a true or false",
            Self::Integer(_) => "a whole number",
            Self::Fraction => "a fraction",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads one YAML document. Reading ends at a syntax error, so there is at most one.
pub(crate) fn parse(text: &str) -> Result<Node, Violation> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let error = error.without_snippet();
        let at = error.location().map_or(At::START, |place| at(&place));
        Violation::new(at, "", first_line(&error.to_string()))
    })
}

/// Limits against hostile documents: alias bombs, deep nesting, event storms. All are far above what a valid document
/// of the largest size needs.
fn options() -> Options {
    let mut aliases = AliasLimits::default();
    aliases.max_total_replayed_events = 100_000;
    aliases.max_replay_stack_depth = 4;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_nodes: 1_000_000,
            max_events: 2_000_000,
            max_documents: 1,
            max_anchors: 1_000,
            max_aliases: 10_000,
        },
        alias_limits: aliases,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
    }
}

fn at(place: &serde_saphyr::Location) -> At {
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    At { line: narrow(place.line()), column: narrow(place.column()) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let offset = spanned.referenced.span().byte_offset().and_then(|offset| usize::try_from(offset).ok());
        Ok(Self { at: at(&spanned.referenced), offset, value: spanned.value })
    }
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
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Integer(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Fraction)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            members.push(Member { key, value });
        }
        Ok(Value::Map(members))
    }
}
