//! JSON with one reading: a field that is given twice, in whichever spelling, or that nobody knows, is refused by name.
//!
//! Parsers differ in which of two they keep; what one reads as `refund` another must not read as `charge`.

use std::{collections::HashSet, fmt};

use countersign_core::Violation;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::{Path, Track};

/// Refuses text that is no JSON, that has a field unknown to `message`, or that gives one (or a key anywhere in it) twice.
/// None: the keys are no message's.
pub(super) fn check(text: &str, message: Option<MessageDescriptor>) -> Result<(), Violation> {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let shape = message.map_or(Shape::Free, Shape::Message);
    Unique(shape).deserialize(tracked).map_err(|error| violation(&track.path(), &error))?;
    json.end().map_err(|_| Violation::new("", "there is text after the JSON object"))
}

/// What is wrong, and at which field.
pub(super) fn violation(path: &Path, error: &serde_json::Error) -> Violation {
    let field = if path.iter().next().is_some() { path.to_string() } else { String::new() };
    Violation::new(field, format!("cannot be read: {error}"))
}

/// What the contract says of a value: whose names count as one.
#[derive(Clone)]
enum Shape {
    Message(MessageDescriptor),
    /// A map from keys that callers choose.
    Map(Box<Shape>),
    /// A value whose names, if any, are callers' own.
    Free,
}

impl Shape {
    fn of(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => Self::Map(Box::new(Self::of(&entry.map_entry_value_field()))),
            // Their JSON is their own: a Timestamp is a string, a Struct any object.
            Kind::Message(message) if message.package_name() == "google.protobuf" => Self::Free,
            Kind::Message(message) => Self::Message(message),
            _ => Self::Free,
        }
    }

    /// A name's identity, and what stands below it. None: there is no such field.
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

struct Unique(Shape);

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Unique(self.0.clone()))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = entries.next_key::<String>()? {
            // Refused as the value is read, so that the error's path ends with the name.
            let Some((identity, below)) = self.0.enter(&name) else {
                return entries.next_value_seed(Refuse("there is no such field"));
            };
            if !seen.insert(identity) {
                return entries.next_value_seed(Refuse("it is given twice"));
            }
            entries.next_value_seed(Unique(below))?;
        }
        Ok(())
    }
}

/// Reads nothing.
struct Refuse(&'static str);

impl<'de> DeserializeSeed<'de> for Refuse {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(D::Error::custom(self.0))
    }
}
