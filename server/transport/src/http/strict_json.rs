//! JSON that can be read in only one way, with a limited number of values (`VALUES`). It is read by
//! [`countersign_core::json`]. Where the contract names the fields, every field must be known and may occur once, in
//! one of its two spellings. An error does not repeat the value.

use std::collections::HashSet;

use countersign_core::{
    Violation,
    json::{self, Path, Refused, Rules},
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};
use serde_path_to_error::Path as Tracked;

/// Limit of the values in the body of a single question, and of several questions.
pub(crate) const VALUES: [usize; 2] = [2_000, 20_000];

/// Reads a body with at most `values` values.
pub(crate) fn read(body: &[u8], values: usize) -> Result<Value, Violation> {
    json::read(body, Rules { values, ..Rules::STRICT }).map_err(|Refused { path, why }| Violation::new(path, why))
}

/// Reads a body with at most `values` values, which must be an object.
pub(crate) fn object(body: &[u8], values: usize) -> Result<Map<String, Value>, Violation> {
    match read(body, values)? {
        Value::Object(object) => Ok(object),
        _ => Err(Violation::new("", "the body must be a JSON object")),
    }
}

/// Refuses a value that has a field unknown to `message`, or one field in both of its spellings.
pub(crate) fn check_fields(value: &Value, message: MessageDescriptor) -> Result<(), Violation> {
    check(value, &Shape::Message(message)).map_err(|found| Violation::new(found.path.to_string(), found.why))
}

/// The error, with the field in which it is.
pub(crate) fn violation(path: &Tracked, error: &serde_json::Error) -> Violation {
    let field = if path.iter().next().is_some() { path.to_string() } else { String::new() };
    Violation::new(field, format!("cannot be read: {}", without_value(&error.to_string())))
}

/// The reader's message without the value that it quotes, which may be a secret in the wrong field.
fn without_value(words: &str) -> String {
    if let Some((_, wanted)) = words.rsplit_once(", expected ")
        && !quotes(wanted)
    {
        return format!("it must be {wanted}");
    }
    if words.starts_with("unrecognized enum value") {
        return "it is not a value of this field".to_owned();
    }
    if quotes(words) { "it has the wrong type for this field".to_owned() } else { words.to_owned() }
}

fn quotes(words: &str) -> bool {
    words.contains(['"', '\'', '`'])
}

/// What the contract says about a value: which of its names are fields.
#[derive(Clone)]
enum Shape {
    Message(MessageDescriptor),
    /// A map whose keys callers choose.
    Map(Box<Shape>),
    /// A value whose names, if it has any, callers choose.
    Free,
}

impl Shape {
    fn of(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => Self::Map(Box::new(Self::of(&entry.map_entry_value_field()))),
            // These messages have a special JSON form: a Timestamp is a string, a Struct is any object.
            Kind::Message(message) if message.package_name() == "google.protobuf" => Self::Free,
            Kind::Message(message) => Self::Message(message),
            _ => Self::Free,
        }
    }

    /// The field that a name means, and the shape of its value. `None` if there is no such field.
    fn enter(&self, name: &str) -> Option<(String, Self)> {
        match self {
            Self::Message(message) => {
                let field = message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))?;
                Some((field.name().to_owned(), Self::of(&field)))
            }
            Self::Map(value) => Some((name.to_owned(), value.as_ref().clone())),
            Self::Free => Some((name.to_owned(), Self::Free)),
        }
    }
}

/// What is wrong below a value.
struct Found {
    /// What is wrong in a value, and the path to it.
    path: Path,
    why: &'static str,
}

impl Found {
    fn here(why: &'static str) -> Self {
        Self { path: Path::default(), why }
    }
}

fn check(value: &Value, shape: &Shape) -> Result<(), Found> {
    match (value, shape) {
        // The reader has already checked that no key occurs twice.
        (_, Shape::Free) => Ok(()),
        (Value::Object(object), shape) => check_object(object, shape),
        (Value::Array(items), shape) => items.iter().enumerate().try_for_each(|(nth, item)| {
            check(item, shape).map_err(|mut found| {
                found.path.below_index(nth);
                found
            })
        }),
        _ => Ok(()),
    }
}

fn check_object(object: &Map<String, Value>, shape: &Shape) -> Result<(), Found> {
    let mut seen = HashSet::new();
    for (name, value) in object {
        let found = match shape.enter(name) {
            None => Err(Found::here("there is no such field")),
            Some((identity, below)) if !seen.contains(&identity) => {
                seen.insert(identity);
                check(value, &below)
            }
            Some(_) => Err(Found::here("it is given twice, in two spellings")),
        };
        found.map_err(|mut found| {
            found.path.below_key(name);
            found
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_cannot_be_read_is_not_repeated() {
        for (words, said) in [
            (r#"invalid type: string "csk_a", expected a boolean"#, "it must be a boolean"),
            (r#"invalid value: string "a, expected b", expected a 64-bit integer"#, "it must be a 64-bit integer"),
            ("unrecognized enum value 'csk_a'", "it is not a value of this field"),
            ("message 'csk_a' not found", "it has the wrong type for this field"),
            ("out of range integral type conversion attempted", "out of range integral type conversion attempted"),
        ] {
            assert_eq!(without_value(words), said);
        }
    }
}
