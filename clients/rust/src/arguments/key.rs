//! Keys: strings, and nothing that would have to become one.

use serde::{Serialize, Serializer, ser::Impossible};

use super::wrong::Wrong;

pub(super) struct Key;

fn refused<T>() -> Result<T, Wrong> {
    Err(Wrong::new("a key is not a string; JSON has no other keys"))
}

macro_rules! refuse {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, _: $type) -> Result<String, Wrong> {
            refused()
        }
    )*};
}

impl Serializer for Key {
    type Ok = String;
    type Error = Wrong;
    type SerializeSeq = Impossible<String, Wrong>;
    type SerializeTuple = Impossible<String, Wrong>;
    type SerializeTupleStruct = Impossible<String, Wrong>;
    type SerializeTupleVariant = Impossible<String, Wrong>;
    type SerializeMap = Impossible<String, Wrong>;
    type SerializeStruct = Impossible<String, Wrong>;
    type SerializeStructVariant = Impossible<String, Wrong>;

    refuse!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_i128 i128, serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
        serialize_u128 u128, serialize_f32 f32, serialize_f64 f64, serialize_bytes &[u8],
        serialize_unit_struct &'static str
    );

    fn serialize_str(self, value: &str) -> Result<String, Wrong> {
        Ok(value.to_owned())
    }

    fn serialize_char(self, value: char) -> Result<String, Wrong> {
        Ok(value.to_string())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<String, Wrong> {
        Ok(variant.to_owned())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<String, Wrong> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<String, Wrong> {
        refused()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<String, Wrong> {
        refused()
    }

    fn serialize_unit(self) -> Result<String, Wrong> {
        refused()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<String, Wrong> {
        refused()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Wrong> {
        refused()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Wrong> {
        refused()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Wrong> {
        refused()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Wrong> {
        refused()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Wrong> {
        refused()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Wrong> {
        refused()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Wrong> {
        refused()
    }
}
