//! When two contexts are the same: when their canonical texts (RFC 8785) are equal. A person who approves a call is
//! shown that text, and a later call is compared with it.

use std::{cmp::Ordering, collections::BTreeMap};

use serde_json::Value as Json;

use super::{Context, Value};

impl Context {
    /// The attributes as RFC 8785 JSON. Two contexts have the same text if rules read the same in them: lists are sets,
    /// so their items are sorted and unique. A value that no rule can read is written as `null`.
    #[must_use]
    pub fn canonical(&self) -> String {
        let hidden: Vec<&[String]> = self.unreadable.iter().map(Vec::as_slice).collect();
        if hidden.iter().any(|place| place.is_empty()) {
            return "null".to_owned();
        }
        let mut text = String::new();
        record(&self.attributes, &hidden, &mut text);
        text
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.is_readable()
    }
}

/// `hidden`: the places of unreadable values in it.
fn record(fields: &BTreeMap<String, Value>, hidden: &[&[String]], text: &mut String) {
    let mut fields: Vec<(&str, Option<&Value>)> =
        fields.iter().map(|(name, value)| (name.as_str(), Some(value))).collect();
    fields
        .extend(hidden.iter().filter_map(|place| if let [name] = place { Some((name.as_str(), None)) } else { None }));
    fields.sort_by(|(one, _), (other, _)| by_utf16(one, other));
    text.push('{');
    for (nth, (name, value)) in fields.into_iter().enumerate() {
        if nth > 0 {
            text.push(',');
        }
        string(name, text);
        text.push(':');
        match value {
            None => text.push_str("null"),
            Some(Value::Record(fields)) => {
                let inside = |place: &&[String]| place.split_first().is_some_and(|(first, _)| first == name);
                let inside: Vec<_> = hidden.iter().filter(|place| inside(place)).map(|place| &place[1..]).collect();
                record(fields, &inside, text);
            }
            Some(value) => write(value, text),
        }
    }
    text.push('}');
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Long(value) => text.push_str(&value.to_string()),
        Value::Text(value) => string(value, text),
        Value::Set(items) => {
            let item = |item| {
                let mut text = String::new();
                write(item, &mut text);
                text
            };
            let mut items: Vec<_> = items.iter().map(item).collect();
            items.sort_unstable();
            items.dedup();
            text.push('[');
            text.push_str(&items.join(","));
            text.push(']');
        }
        Value::Record(fields) => record(fields, &[], text),
    }
}

/// A JSON string; serde_json escapes exactly as RFC 8785 requires.
fn string(value: &str, text: &mut String) {
    text.push_str(&Json::from(value).to_string());
}

/// The order of RFC 8785: by UTF-16 code units.
fn by_utf16(one: &str, other: &str) -> Ordering {
    one.encode_utf16().cmp(other.encode_utf16())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn canonical(value: Json) -> String {
        let Json::Object(object) = value else { panic!("an object") };
        Context::from_json(object).unwrap().canonical()
    }

    #[test]
    fn what_rules_read_the_same_has_one_text() {
        assert_eq!(canonical(json!({})), "{}");
        let one = json!({"b": [2, 1, 2, "x"], "a": {"z": true, "y": [["q"], []]}, "n": 500.0});
        let other = json!({"a": {"y": [[], ["q"]], "z": true}, "n": 500, "b": ["x", 1, 2]});
        let text = r#"{"a":{"y":[["q"],[]],"z":true},"b":["x",1,2],"n":500}"#;
        assert_eq!((canonical(one), canonical(other)), (text.to_owned(), text.to_owned()));
    }

    #[test]
    fn what_no_rule_can_read_is_null_where_it_stands() {
        let Json::Object(object) = json!({"a": {"note": "x".repeat(2000), "n": 1, "in": {"f": 0.5}}, "z": null}) else {
            panic!("an object")
        };
        let context = Context::derived(object);
        assert_eq!(context.canonical(), r#"{"a":{"in":{"f":null},"n":1,"note":null},"z":null}"#);
        let Json::Object(object) = json!({"z": null}) else { panic!("an object") };
        assert!(!Context::derived(object).is_empty());
    }

    #[test]
    fn what_differs_differs_wherever_it_stands() {
        let texts = [
            json!({"a": 1}),
            json!({"a": "1"}),
            json!({"a": [1]}),
            json!({"a": [[1]]}),
            json!({"a": {"a": 1}}),
            json!({"a": true}),
            json!({"b": 1}),
            json!({"a": 1, "b": 1}),
            json!({"a": []}),
            json!({"a": {}}),
            json!({"a": "x\",\"b\":1"}),
            json!({"\u{1f600}": 1, "\u{ffff}": 2}),
        ]
        .map(canonical);
        let distinct: std::collections::BTreeSet<_> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
        assert!(texts[11].starts_with("{\"\u{1f600}\""), "by UTF-16: {}", texts[11]);
    }
}
