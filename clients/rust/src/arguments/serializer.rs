//! Any value as JSON, without `serde_json`'s coercions: no numeric keys, no bytes as numbers, no NaN as null.

use countersign_core::json::MAX_DEPTH;
use serde::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant,
    },
};
use serde_json::{Map, Number, Value};

use super::{key::Key, wrong::Wrong};

/// What `serde_json` calls values that are text in disguise; as JSON they would be objects with these names.
const PRIVATE: &str = "$serde_json::private::";

/// Writes one value.
#[derive(Clone, Copy)]
pub(super) struct Strict {
    /// How many objects and arrays are around it.
    depth: usize,
}

impl Strict {
    pub(super) const fn top() -> Self {
        Self { depth: 0 }
    }

    /// Inside one more object or array.
    fn inside(self) -> Result<Self, Wrong> {
        if self.depth < MAX_DEPTH {
            return Ok(Self { depth: self.depth + 1 });
        }
        Err(Wrong::new(format!("it is nested deeper than {MAX_DEPTH}, or within itself")))
    }

    fn integer(value: impl TryInto<i64>) -> Result<Value, Wrong> {
        let large = "it is a number beyond 2^53-1, which other parsers round; send it as a string";
        value.try_into().map(Value::from).map_err(|_| Wrong::new(large))
    }
}

impl Serializer for Strict {
    type Ok = Value;
    type Error = Wrong;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Members;

    fn serialize_bool(self, value: bool) -> Result<Value, Wrong> {
        Ok(value.into())
    }

    fn serialize_i8(self, value: i8) -> Result<Value, Wrong> {
        Ok(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<Value, Wrong> {
        Ok(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<Value, Wrong> {
        Ok(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<Value, Wrong> {
        Ok(value.into())
    }

    fn serialize_i128(self, value: i128) -> Result<Value, Wrong> {
        Self::integer(value)
    }

    fn serialize_u8(self, value: u8) -> Result<Value, Wrong> {
        Ok(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<Value, Wrong> {
        Ok(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<Value, Wrong> {
        Ok(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<Value, Wrong> {
        Self::integer(value)
    }

    fn serialize_u128(self, value: u128) -> Result<Value, Wrong> {
        Self::integer(value)
    }

    fn serialize_f32(self, value: f32) -> Result<Value, Wrong> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Wrong> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| Wrong::new("it is not a finite number"))
    }

    fn serialize_char(self, value: char) -> Result<Value, Wrong> {
        Ok(value.to_string().into())
    }

    fn serialize_str(self, value: &str) -> Result<Value, Wrong> {
        Ok(value.into())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Value, Wrong> {
        Err(Wrong::new("bytes are not a JSON value; write them as text"))
    }

    fn serialize_none(self) -> Result<Value, Wrong> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Wrong> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Wrong> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Wrong> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Wrong> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Value, Wrong> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Wrong> {
        let mut members = Members::new(self.inside()?, None);
        members.put(variant.to_owned(), value)?;
        Ok(members.into_value())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Wrong> {
        Ok(Items::new(self.inside()?, None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items, Wrong> {
        Ok(Items::new(self.inside()?, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, Wrong> {
        Ok(Items::new(self.inside()?, None))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Items, Wrong> {
        Ok(Items::new(self.inside()?.inside()?, Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members, Wrong> {
        Ok(Members::new(self.inside()?, None))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Members, Wrong> {
        if name.starts_with(PRIVATE) {
            return Err(Wrong::new("it is raw JSON text; parse it first"));
        }
        Ok(Members::new(self.inside()?, None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members, Wrong> {
        Ok(Members::new(self.inside()?.inside()?, Some(variant)))
    }
}

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
    const fn new(strict: Strict, variant: Option<&'static str>) -> Self {
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
    fn new(strict: Strict, variant: Option<&'static str>) -> Self {
        Self { strict, variant, key: String::new(), all: Map::new() }
    }

    fn put<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), Wrong> {
        if self.all.contains_key(&key) {
            return Err(Wrong::new("it is given twice").below_key(&key));
        }
        let value = value.serialize(self.strict).map_err(|wrong| wrong.below_key(&key))?;
        self.all.insert(key, value);
        Ok(())
    }

    fn into_value(self) -> Value {
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
