//! What the caller says about one call: attributes for conditions to read.

use std::fmt;

use cedar_policy::RestrictedExpression;
use countersign_core::Violation;
use serde_json::{Map, Number, Value};

/// Most values in a context, those inside lists and mappings included.
pub(crate) const MAX_VALUES: usize = 64;
/// Deepest value: `context.a.b.c.d`.
pub(crate) const MAX_DEPTH: usize = 4;
/// Longest text, in bytes of UTF-8.
pub(crate) const MAX_TEXT: usize = 1 << 10;
/// Longest key, in bytes of UTF-8.
pub(crate) const MAX_KEY: usize = 64;

/// The key under which a condition finds the call's purpose.
pub(crate) const PURPOSE: &str = "purpose";

/// A call's attributes, checked. The default has none.
#[derive(Clone, Default)]
pub struct Context {
    pub(crate) pairs: Vec<(String, RestrictedExpression)>,
}

impl Context {
    /// Checks attributes and takes them over. All violations at once, each naming its field (`context.amount_cents`) and never
    /// a value. Lists become sets. `purpose` is taken: conditions find the call's own purpose there.
    pub fn from_json(object: Map<String, Value>) -> Result<Self, Vec<Violation>> {
        let mut checker = Checker::default();
        let mut pairs = Vec::with_capacity(object.len().min(MAX_VALUES));
        for (key, value) in object {
            if key == PURPOSE {
                checker
                    .report("context.purpose", "is the call's own purpose; send it as `purpose`, not as an attribute");
            } else if let Some(field) = checker.key("context", &key) {
                pairs.extend(checker.value(&field, value, 1).map(|value| (key, value)));
            }
        }
        checker.count_is_bounded();
        if checker.violations.is_empty() { Ok(Self { pairs }) } else { Err(checker.violations) }
    }
}

/// Names and values stay out of logs.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("attributes", &self.pairs.len()).finish()
    }
}

#[derive(Default)]
struct Checker {
    values: usize,
    violations: Vec<Violation>,
}

impl Checker {
    fn report(&mut self, field: &str, description: impl Into<String>) {
        self.violations.push(Violation::new(field.to_owned(), description));
    }

    /// The field's name, if the key is one.
    fn key(&mut self, parent: &str, key: &str) -> Option<String> {
        if (1..=MAX_KEY).contains(&key.len()) && !key.chars().any(char::is_control) {
            return Some(format!("{parent}.{key}"));
        }
        self.report(parent, format!("keys must be 1 to {MAX_KEY} bytes without control characters"));
        None
    }

    fn value(&mut self, field: &str, value: Value, depth: usize) -> Option<RestrictedExpression> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return None;
        }
        if depth > MAX_DEPTH {
            self.report(field, format!("is nested deeper than {MAX_DEPTH}"));
            return None;
        }
        match value {
            Value::Null => self.report(field, "must not be null; leave the attribute out"),
            Value::Bool(value) => return Some(RestrictedExpression::new_bool(value)),
            Value::Number(number) => match whole(&number) {
                Some(value) => return Some(RestrictedExpression::new_long(value)),
                None => {
                    self.report(field, "must be a whole number of 64 bits; send cents instead of fractions, or text");
                }
            },
            Value::String(text) if text.len() > MAX_TEXT => {
                self.report(field, format!("must be at most {MAX_TEXT} bytes, is {}", text.len()));
            }
            Value::String(text) => return Some(RestrictedExpression::new_string(text)),
            Value::Array(items) => {
                let items = items.into_iter().enumerate();
                let items: Vec<_> =
                    items.filter_map(|(nth, item)| self.value(&format!("{field}[{nth}]"), item, depth + 1)).collect();
                return Some(RestrictedExpression::new_set(items));
            }
            Value::Object(object) => {
                let mut fields = Vec::with_capacity(object.len().min(MAX_VALUES));
                for (key, value) in object {
                    if let Some(field) = self.key(field, &key) {
                        fields.extend(self.value(&field, value, depth + 1).map(|value| (key, value)));
                    }
                }
                // A JSON object has each key once, which is all that this could refuse.
                return RestrictedExpression::new_record(fields).ok();
            }
        }
        None
    }

    fn count_is_bounded(&mut self) {
        if self.values > MAX_VALUES {
            self.report("context", format!("must hold at most {MAX_VALUES} values in all"));
        }
    }
}

/// A number as the whole number it is. JSON has one kind of number, and many writers send 500 as `500.0`.
fn whole(number: &Number) -> Option<i64> {
    /// 2^53: up to here every whole number has its own double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let value = number.as_f64().filter(|value| number.is_f64() && value.fract() == 0.0 && value.abs() <= EXACT)?;
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, so it fits and is exact")]
        Some(value as i64)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Vec<String> {
        let Value::Object(object) = value else { panic!("an object") };
        Context::from_json(object).map_or_else(|all| all.iter().map(|v| v.field.to_string()).collect(), |_| Vec::new())
    }

    #[test]
    fn whole_numbers_text_flags_lists_and_mappings_are_accepted() {
        assert_eq!(fields(json!({})), [""; 0]);
        let good = json!({
            "n": [i64::MIN, i64::MAX, 0], "double": 500.0, "edge": 9_007_199_254_740_992.0, "b": true, "t": "ä",
            "deep": {"a": {"b": {"c": 1}}}, "any key/at all": "x",
        });
        assert_eq!(fields(good), [""; 0]);
    }

    #[test]
    fn everything_else_is_refused_by_field_and_all_at_once() {
        let bad = json!({
            "fraction": 0.5, "huge": u64::MAX, "inexact": 1e300, "null": null, "long": "x".repeat(MAX_TEXT + 1), "": 1,
            "list": [1, null], "deep": {"a": {"b": {"c": {"d": 1}}}}, "purpose": "x",
        });
        let mut named = fields(bad);
        named.sort();
        let wanted = [
            "context",
            "context.deep.a.b.c.d",
            "context.fraction",
            "context.huge",
            "context.inexact",
            "context.list[1]",
            "context.long",
            "context.null",
            "context.purpose",
        ];
        assert_eq!(named, wanted);
        assert_eq!(fields(json!({ "x".repeat(MAX_KEY + 1): 1 })), ["context"]);
    }

    #[test]
    fn values_are_counted_wherever_they_stand() {
        assert_eq!(fields(json!({ "list": vec![1; MAX_VALUES - 1] })), [""; 0]);
        assert_eq!(fields(json!({ "list": vec![1; MAX_VALUES] })), ["context"]);
    }

    #[test]
    fn neither_violations_nor_debug_output_hold_values() {
        let Value::Object(object) = json!({"card": 4_111.5}) else { panic!("an object") };
        assert!(!format!("{:?}", Context::from_json(object)).contains("4111"));
        let Value::Object(object) = json!({"card": "4111"}) else { panic!("an object") };
        assert!(!format!("{:?}", Context::from_json(object)).contains("4111"));
    }
}
