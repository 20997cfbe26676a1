//! JSON with one reading: a field that is given twice, in whichever spelling, is refused.
//!
//! Parsers differ in which of two they keep; what one reads as `refund` another must not read as `charge`.

use std::{borrow::Cow, collections::HashSet, fmt};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::{Path, Track};

use crate::status::Refusal;

/// Refuses text that is no JSON, or gives a field of `message` (or a key anywhere in it) twice. None: the keys are no
/// message's.
pub(super) fn check(text: &str, message: Option<MessageDescriptor>) -> Result<(), Refusal> {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let shape = message.map_or(Shape::Free, Shape::Message);
    Unique(shape).deserialize(tracked).map_err(|error| refusal(&track.path(), &error))?;
    json.end().map_err(|_| Refusal::invalid("", "there is text after the JSON object"))
}

/// What is wrong, and at which field.
pub(super) fn refusal(path: &Path, error: &serde_json::Error) -> Refusal {
    let field = if path.iter().next().is_some() { path.to_string() } else { String::new() };
    Refusal::invalid(&field, format!("cannot be read: {error}"))
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
            Kind::Message(entry) if field.is_map() => {
                Self::Map(Box::new(Self::of(&entry.map_entry_value_field())))
            }
            // Their JSON is their own: a Timestamp is a string, a Struct any object.
            Kind::Message(message) if message.package_name() == "google.protobuf" => Self::Free,
            Kind::Message(message) => Self::Message(message),
            _ => Self::Free,
        }
    }

    /// A name's identity, and what stands below it.
    fn enter<'a>(&self, name: &'a str) -> (Cow<'a, str>, Self) {
        match self {
            Self::Message(message) => {
                let field = message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name));
                match field {
                    Some(field) => (Cow::Owned(field.name().to_owned()), Self::of(&field)),
                    None => (Cow::Borrowed(name), Self::Free),
                }
            }
            Self::Map(value) => (Cow::Borrowed(name), value.as_ref().clone()),
            Self::Free => (Cow::Borrowed(name), Self::Free),
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
            let (identity, below) = self.0.enter(&name);
            if !seen.insert(identity.into_owned()) {
                return Err(A::Error::custom(format!("'{name}' is given twice")));
            }
            entries.next_value_seed(Unique(below))?;
        }
        Ok(())
    }
}
