//! Reads JSON with `serde_json`, and watches for duplicate keys, the depth, the number of values, and for each number
//! the text that it was read from.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{
    Numbers, Refused, Rules,
    number::{self, Tokens},
    path::Path,
};

pub(super) fn read(text: &str, rules: Rules) -> Result<Value, Refused> {
    let mut watch = Watch { tokens: Tokens::of(text), rules, depth: 0, values: 0, broke_off: Path::default() };
    let mut json = serde_json::Deserializer::from_str(text);
    match Node(&mut watch).deserialize(&mut json) {
        Ok(value) => json.end().map(|()| value).map_err(|_| Refused::new("", "there is text after the JSON object")),
        Err(error) => Err(Refused::new(watch.broke_off.to_string(), format!("cannot be read: {error}"))),
    }
}

/// What is known while a text is read.
struct Watch<'t> {
    tokens: Tokens<'t>,
    rules: Rules,
    /// How many objects and arrays are open.
    depth: usize,
    /// How many values there were so far.
    values: usize,
    /// The path of the value that could not be read.
    broke_off: Path,
}

impl Watch<'_> {
    /// Called for each number, in the order of the text.
    fn number<E: Error>(&mut self, value: f64) -> Result<(), E> {
        if self.rules.numbers == Numbers::AsRead {
            return Ok(());
        }
        let token = self.tokens.next().ok_or_else(|| E::custom("it is a number without a text"))?;
        number::survives(token, value).map_err(E::custom)
    }

    /// Called for each object and array.
    fn enter<E: Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth <= self.rules.depth {
            return Ok(());
        }
        Err(E::custom(format!("it is nested deeper than {}", self.rules.depth)))
    }
}

/// One value of the text.
struct Node<'w, 't>(&'w mut Watch<'t>);

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.values += 1;
        if self.0.values > self.0.rules.values {
            return Err(D::Error::custom(format!("there are more than {} values", self.0.rules.values)));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "what is lost is beyond the bound that is checked")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.0.number(value as f64)?;
        Ok(value.into())
    }

    #[expect(clippy::cast_precision_loss, reason = "what is lost is beyond the bound that is checked")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.0.number(value as f64)?;
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.0.number(value)?;
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("is not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let watch = self.0;
        watch.enter()?;
        let mut all = Vec::new();
        loop {
            match items.next_element_seed(Node(watch)) {
                Ok(Some(item)) => all.push(item),
                Ok(None) => break,
                Err(error) => {
                    watch.broke_off.below_index(all.len());
                    return Err(error);
                }
            }
        }
        watch.depth -= 1;
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let watch = self.0;
        watch.enter()?;
        let mut all = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = if all.contains_key(&key) {
                Err(A::Error::custom("it is given twice"))
            } else {
                entries.next_value_seed(Node(watch))
            };
            match value {
                Ok(value) => all.insert(key, value),
                Err(error) => {
                    watch.broke_off.below_key(key);
                    return Err(error);
                }
            };
        }
        watch.depth -= 1;
        Ok(Value::Object(all))
    }
}
