//! A context that an endpoint derives from a call in another protocol, whose values may not fit: such a value is kept
//! as unreadable, and a rule that names its place fails, which denies.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::{Context, MAX_DEPTH, MAX_TEXT, MAX_VALUES, PURPOSE, Value, is_key, whole};

impl Context {
    /// Takes over the attributes that an endpoint read from a call. Nothing is dropped, cut or rounded: a value that a
    /// context cannot hold (a null, a fraction, a number beyond 2^53 - 1, text over 1 KiB or with U+0000, a value that
    /// is nested too deeply or has an invalid key) is kept as unreadable in its place, and a rule that names the place
    /// fails, which denies.
    ///
    /// A list that contains an unreadable value is unreadable itself, because rules cannot refer to its items. So is
    /// every list, every mapping and every context with more than 64 values, in which an unreadable value counts as
    /// one. The result does not depend on the order of the values, so the caller cannot choose what is hidden.
    #[must_use]
    pub fn derived(object: Map<String, Json>) -> Self {
        let mut deriving = Deriving::default();
        match deriving.fields(object, 1) {
            Some((attributes, _)) => Self { attributes, unreadable: deriving.unreadable },
            None => Self { attributes: BTreeMap::new(), unreadable: vec![Vec::new()] },
        }
    }
}

#[derive(Default)]
struct Deriving {
    /// The current position.
    path: Vec<String>,
    unreadable: Vec<Vec<String>>,
}

impl Deriving {
    /// The value, if it can be read, and how many values it counts as.
    fn value(&mut self, json: Json, depth: usize) -> (Option<Value>, usize) {
        let found = self.unreadable.len();
        let read = if depth > MAX_DEPTH { None } else { self.readable(json, depth) };
        if let Some((value, values)) = read {
            return (Some(value), values);
        }
        // It hides every unreadable value in it.
        self.unreadable.truncate(found);
        self.unreadable.push(self.path.clone());
        (None, 1)
    }

    fn readable(&mut self, json: Json, depth: usize) -> Option<(Value, usize)> {
        match json {
            Json::Null => None,
            Json::Bool(value) => Some((Value::Bool(value), 1)),
            Json::Number(number) => Some((Value::Long(whole(&number)?), 1)),
            Json::String(text) => (text.len() <= MAX_TEXT && !text.contains('\0')).then_some((Value::Text(text), 1)),
            Json::Array(items) => self.items(items, depth),
            Json::Object(object) => {
                let (fields, values) = self.fields(object, depth + 1)?;
                within(values + 1).map(|values| (Value::Record(fields), values))
            }
        }
    }

    fn items(&mut self, items: Vec<Json>, depth: usize) -> Option<(Value, usize)> {
        let found = self.unreadable.len();
        let (mut set, mut values) = (Vec::with_capacity(items.len().min(MAX_VALUES)), 1);
        for item in items {
            let (item, more) = self.value(item, depth + 1);
            set.push(item?);
            values = within(values + more)?;
        }
        // An unreadable value in a mapping makes a list that contains the mapping unreadable.
        (self.unreadable.len() == found).then_some((Value::Set(set), values))
    }

    /// The contents of a mapping whose values are at `depth`, and how many values they count as.
    fn fields(&mut self, object: Map<String, Json>, depth: usize) -> Option<(BTreeMap<String, Value>, usize)> {
        let (mut fields, mut values) = (BTreeMap::new(), 0);
        for (key, json) in object {
            // An invalid key makes its value unreadable; and no attribute may take the place of the purpose.
            let json = if is_key(&key) && !(depth == 1 && key == PURPOSE) { json } else { Json::Null };
            self.path.push(key);
            let (value, more) = self.value(json, depth);
            let key = self.path.pop().unwrap_or_default();
            fields.extend(value.map(|value| (key, value)));
            values = within(values + more)?;
        }
        Some((fields, values))
    }
}

/// The number of values, if a context may hold so many.
fn within(values: usize) -> Option<usize> {
    (values <= MAX_VALUES).then_some(values)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The unreadable places of the context that is made from this, and the readable ones.
    fn places(value: Json) -> (Vec<String>, Vec<String>) {
        let Json::Object(object) = value else { panic!("an object") };
        let context = Context::derived(object);
        let mut places: Vec<_> = context.unreadable.iter().map(|place| place.join("/")).collect();
        places.sort();
        (places, context.attributes.into_keys().collect())
    }

    #[test]
    fn what_no_context_can_hold_is_unreadable_where_it_stands() {
        let long = "x".repeat(MAX_TEXT + 1);
        let (places, _) = places(json!({
            "null": null, "deep": {"a": {"b": {"c": {"d": 1}, "e": 1}}}, "purpose": "x", "": 1, "k".repeat(65): {"a": 1},
            "in": {"fraction": 0.5, "huge": 1u64 << 53, "low": -9_007_199_254_740_992i64, "long": long, "zero": "\u{0}", "good": 1},
            "list": [1, [{"a": null}]], "lists": [[1], [null]], "good": {"list": [1, 500.0], "text": "x".repeat(MAX_TEXT)},
        }));
        let key = "k".repeat(65);
        let wanted = [
            "",
            "deep/a/b/c/d",
            "in/fraction",
            "in/huge",
            "in/long",
            "in/low",
            "in/zero",
            &key,
            "list",
            "lists",
            "null",
            "purpose",
        ];
        assert_eq!(places, wanted);
    }

    #[test]
    fn too_many_values_make_only_their_holder_unreadable() {
        let many = |count: usize| (0..count).map(|nth| (format!("a{nth}"), json!(nth))).collect::<Map<_, _>>();
        assert_eq!(places(json!({"arguments": {"amount": 1, "rows": vec![1; 64]}})).0, ["arguments/rows"]);
        assert_eq!(places(json!({"arguments": {"amount": 1, "rows": vec![1; 61]}})).0, [""; 0]);
        assert_eq!(places(json!({"arguments": many(63)})).0, [""; 0]);
        assert_eq!(places(json!({"arguments": many(64)})).0, ["arguments"]);
        assert_eq!(
            places(json!({"arguments": {"amount": null, "rows": many(64), "more": many(9)}})).0,
            ["arguments/amount", "arguments/rows"]
        );
        // Two mappings that fit separately but not together make their parent unreadable.
        assert_eq!(places(json!({"arguments": {"a": many(40), "b": many(40), "c": null}})).0, ["arguments"]);
        assert_eq!(places(json!({"one": many(40), "two": many(40)})), (vec![String::new()], Vec::new()));
        assert_eq!(places(Json::Object(many(64))).0, [""; 0]);
        assert_eq!(places(Json::Object(many(65))).0, [""]);
    }
}
