//! Conversion of `google.protobuf.Struct` to the attributes that conditions read.

use countersign_policy::Context;
use prost_types::{Struct, value::Kind};
use serde_json::{Map, Number, Value};

use super::violations::{Refused, Violations};

impl Violations {
    /// The attributes of a call.
    pub(super) fn context(&mut self, context: Option<Struct>) -> Result<Context, Refused> {
        let object = context.map(object).unwrap_or_default();
        Context::from_json(object).map_err(|found| self.absorb(found))
    }
}

fn object(structure: Struct) -> Map<String, Value> {
    structure.fields.into_iter().map(|(key, value)| (key, json(value))).collect()
}

/// A value as JSON. A value without a JSON form (no kind, not a number, infinity) becomes null, which is not a valid
/// attribute. The recursion is as deep as the message, which decoding limits.
fn json(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StructValue(structure)) => Value::Object(object(structure)),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(json).collect()),
    }
}
