//! `types` and `entities`: subjects and resources besides runs and their tools, and the attributes of single ones. This
//! file decides which names a type may not have, and how many types there may be.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    context,
    reader::{Fields, NamedEntry, Path, Reader},
    spelling::NameOf,
    tables::{Ids, Tables},
    tree::{Node, Value as Yaml},
};
use crate::{
    cedar::domain::is_ours,
    context::{MAX_TEXT, Value},
    entities::{EntityTypes, Known, KnownAttribute},
    schema::{ContextAttribute, ContextType, Scalar},
};

/// Most types that a document declares.
const MAX_TYPES: usize = 256;
/// A subject of this type is a run, identified by its credential.
const CREDENTIAL: &str = "credential";

pub(super) fn read(reader: &mut Reader, fields: &Fields<'_>, tables: &Tables) -> Option<EntityTypes> {
    let (types, entities) = (fields.get("types"), fields.get("entities"));
    let path = Path::Key(&Path::Root, "entities");
    let Some(node) = types else {
        if let Some(node) = entities {
            reader.report(node.at, &path, "needs `types`: an entity is of a type that is declared");
        }
        return None;
    };
    let mut read = EntityTypes { types: read_types(reader, node, tables), ..EntityTypes::default() };
    for (nth, item) in entities.map(|node| reader.list(node, &path)).unwrap_or_default().iter().enumerate() {
        read_entity(reader, item, &Path::Item(&path, nth), &mut read);
    }
    Some(read)
}

fn read_types(reader: &mut Reader, node: &Node, tables: &Tables) -> BTreeMap<Arc<str>, Vec<ContextAttribute>> {
    let path = Path::Key(&Path::Root, "types");
    let items = reader.list(node, &path);
    if let Some(extra) = items.get(MAX_TYPES) {
        reader.report(extra.at, &path, format!("must be at most {MAX_TYPES} types, are {}", items.len()));
        return BTreeMap::new();
    }
    let (mut ids, mut types) = (Ids::default(), BTreeMap::new());
    for (nth, item) in items.iter().enumerate() {
        let here = Path::Item(&path, nth);
        let Some(fields) = reader.fields(item, &here, &["id", "attributes"]) else { continue };
        let id = reader.required_call(&fields, &here, "id");
        ids.check(reader, &id, &here);
        reader.spelling(NameOf::Type, &id, &Path::Key(&here, "id"));
        if !id.value.is_empty() && !is_identifier(&id.value) {
            let message =
                "must be an identifier of Cedar: letters, digits and _, no digit first, and no word of its language";
            reader.report(id.at, &Path::Key(&here, "id"), message);
        } else if is_ours(&id.value) || id.value.eq_ignore_ascii_case(CREDENTIAL) {
            let message = format!("{:?} is what runs and their tools are called; take another name", id.value);
            reader.report(id.at, &Path::Key(&here, "id"), message);
        }
        let attributes = fields
            .get("attributes")
            .map(|node| context::read_attributes(reader, node, &Path::Key(&here, "attributes"), tables));
        types.insert(id.value, attributes.unwrap_or_default());
    }
    types
}

fn is_identifier(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.parse::<cedar_policy::EntityTypeName>().is_ok()
}

fn read_entity(reader: &mut Reader, node: &Node, path: &Path<'_>, read: &mut EntityTypes) {
    let Some(fields) = reader.fields(node, path, &["type", "id", "attributes"]) else { return };
    let kind = reader.required_call(&fields, path, "type");
    let id = reader.required(&fields, path, "id");
    let id = id.and_then(|node| Some((node.at, reader.text(node, &Path::Key(path, "id"), MAX_TEXT)?)));
    let Some((kind, declared)) = read.types.get_key_value(&*kind.value) else {
        if !kind.value.is_empty() {
            reader.report(
                kind.at,
                &Path::Key(path, "type"),
                format!("type {:?} is not listed under `types`", kind.value),
            );
        }
        return;
    };
    let path_of_them = Path::Key(path, "attributes");
    let attributes =
        fields.get("attributes").map(|node| values(reader, node, &path_of_them, declared)).unwrap_or_default();
    let Some((at, id)) = id else { return };
    let of_type = read.known.entry(kind.clone()).or_default();
    if of_type.insert(id.to_owned(), attributes).is_some() {
        reader.report(at, &Path::Key(path, "id"), format!("occurs twice among the entities of type {kind:?}"));
    }
}

/// The values of a mapping whose attributes are declared.
fn values(reader: &mut Reader, node: &Node, path: &Path<'_>, declared: &[ContextAttribute]) -> Known {
    let mut known = Known::new();
    for NamedEntry { name, key, value: node } in reader.entries(node, path).unwrap_or_default() {
        let here = Path::Key(path, name);
        match declared.iter().find(|attribute| attribute.name == name) {
            Some(attribute) => {
                let value = value(reader, node, &here, &attribute.kind);
                known.extend(value.map(|value| KnownAttribute { name: name.to_owned(), value }));
            }
            None => reader.report(key.at, &here, "is not an attribute of this type"),
        }
    }
    known
}

fn value(reader: &mut Reader, node: &Node, path: &Path<'_>, kind: &ContextType) -> Option<Value> {
    match kind {
        ContextType::One(scalar) => single(reader, node, path, *scalar),
        ContextType::Set(scalar) => {
            let Yaml::List(items) = &node.value else {
                reader.mistyped(node, path, kind.words());
                return None;
            };
            let items = items.iter().enumerate();
            let items: Vec<_> =
                items.map(|(nth, item)| single(reader, item, &Path::Item(path, nth), *scalar)).collect();
            items.into_iter().collect::<Option<_>>().map(Value::Set)
        }
        ContextType::Record(declared) => {
            let values = values(reader, node, path, declared).into_iter();
            Some(Value::Record(values.map(|KnownAttribute { name, value }| (name, value)).collect()))
        }
    }
}

fn single(reader: &mut Reader, node: &Node, path: &Path<'_>, scalar: Scalar) -> Option<Value> {
    match (scalar, &node.value) {
        (Scalar::Bool, Yaml::Bool(value)) => Some(Value::Bool(*value)),
        (Scalar::Long, Yaml::Integer(number)) => {
            let value = i64::try_from(*number).ok();
            if value.is_none() {
                reader.report(node.at, path, format!("must be a whole number of 64 bits, is {number}"));
            }
            value.map(Value::Long)
        }
        (Scalar::String, Yaml::Text(_)) => reader.text(node, path, MAX_TEXT).map(|text| Value::Text(text.to_owned())),
        _ => {
            reader.mistyped(node, path, scalar.words());
            None
        }
    }
}
