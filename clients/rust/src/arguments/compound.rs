//! Lists and objects while they are written.

use serde::{
    Serialize,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant,
    },
};
use serde_json::{Map, Value};

use super::{Wrong, key::Key, serializer::Strict};

/// The value, below the name of its variant where it has one.
fn named(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Object(Map::from_iter([(variant.to_owned(), value)])),
        None => value,
    }
}

/// A list.
pub(super) struct Items {
    strict: Strict,
    variant: Option<&'static str>,
    all: Vec<Value>,
}

impl Items {
    pub(super) const fn new(strict: Strict, variant: Option<&'static str>) -> Self {
        Self { strict, variant, all: Vec::new() }
    }

    fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
        self.all.push(value.serialize(self.strict).map_err(|wrong| wrong.below_index(self.all.len()))?);
        Ok(())
    }

    fn into_value(self) -> Value {
        named(self.variant, Value::Array(self.all))
    }
}

/// An object.
pub(super) struct Members {
    strict: Strict,
    variant: Option<&'static str>,
    /// A map's key whose value is still to come.
    key: String,
    all: Map<String, Value>,
}

impl Members {
    pub(super) fn new(strict: Strict, variant: Option<&'static str>) -> Self {
        Self { strict, variant, key: String::new(), all: Map::new() }
    }

    pub(super) fn put<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), Wrong> {
        if self.all.contains_key(&key) {
            return Err(Wrong::new("it is given twice").below_key(&key));
        }
        let value = value.serialize(self.strict).map_err(|wrong| wrong.below_key(&key))?;
        self.all.insert(key, value);
        Ok(())
    }

    pub(super) fn into_value(self) -> Value {
        named(self.variant, Value::Object(self.all))
    }
}

impl SerializeMap for Members {
    type Ok = Value;
    type Error = Wrong;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Wrong> {
        self.key = key.serialize(Key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
        let key = std::mem::take(&mut self.key);
        self.put(key, value)
    }

    fn end(self) -> Result<Value, Wrong> {
        Ok(self.into_value())
    }
}

macro_rules! list {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for Items {
            type Ok = Value;
            type Error = Wrong;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
                self.put(value)
            }

            fn end(self) -> Result<Value, Wrong> {
                Ok(self.into_value())
            }
        }
    )*};
}

macro_rules! object {
    ($($trait:ident),*) => {$(
        impl $trait for Members {
            type Ok = Value;
            type Error = Wrong;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Wrong> {
                self.put(key.to_owned(), value)
            }

            fn end(self) -> Result<Value, Wrong> {
                Ok(self.into_value())
            }
        }
    )*};
}

list!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);
object!(SerializeStruct, SerializeStructVariant);
