//! The context of one call: attributes from the caller that conditions can read. This file limits the number of values,
//! the depth, and the length of texts and keys, and refuses null, fractions and the key `purpose`.

mod derived;
pub(crate) mod fit;
mod places;
mod same_context;

use std::{collections::BTreeMap, fmt};

use cedar_policy::RestrictedExpression;
use countersign_core::Violation;
use serde_json::{Map, Number, Value as Json};

use crate::schema::{ContextAttribute, ContextType};

pub(crate) use crate::value::Value;
pub(crate) use places::Named;

/// Limit of the values in a context, including those in lists and mappings.
pub(crate) const MAX_VALUES: usize = 64;
/// Deepest value: `context.a.b.c.d`.
pub(crate) const MAX_DEPTH: usize = 4;
/// Longest text, in bytes of UTF-8.
pub(crate) const MAX_TEXT: usize = 1 << 10;
/// Longest key, in bytes of UTF-8.
pub(crate) const MAX_KEY: usize = 64;

/// The key under which a condition finds the call's purpose.
pub(crate) const PURPOSE: &str = "purpose";

/// Largest whole number: up to here all JSON readers and writers have the same numbers.
const MAX_WHOLE: i64 = (1 << 53) - 1;

/// A call's attributes, checked. The default has none.
#[derive(Clone, Default)]
pub struct Context {
    attributes: BTreeMap<String, Value>,
    /// The places that no rule can read, as names from the context down. No names mean the whole context.
    unreadable: Vec<Vec<String>>,
}

impl Context {
    /// Checks and takes over attributes. Returns all violations at once, each with its field (`context.amount_cents`)
    /// and never a value. Lists become sets. `purpose` is reserved: conditions find the call's purpose there.
    pub fn from_json(object: Map<String, Json>) -> Result<Self, Vec<Violation>> {
        let mut checker = Checker::default();
        let mut attributes = BTreeMap::new();
        for (key, value) in object {
            if key == PURPOSE {
                checker
                    .report("context.purpose", "is the call's own purpose; send it as `purpose`, not as an attribute");
            } else if let Some(field) = checker.key("context", &key) {
                attributes.extend(checker.value(&field, value, 1).map(|value| (key, value)));
            }
        }
        checker.count_is_bounded();
        if !checker.violations.is_empty() {
            return Err(checker.violations);
        }
        Ok(Self { attributes, unreadable: Vec::new() })
    }

    /// The value at a path.
    pub(crate) fn at(&self, path: &[String]) -> Option<&Value> {
        let (name, rest) = path.split_first()?;
        rest.iter().try_fold(self.get(name)?, |value, name| match value {
            Value::Record(fields) => fields.get(name),
            _ => None,
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    /// The attributes in Cedar's form: those that are declared for calls on `tool`, or all if nothing is declared.
    pub(crate) fn to_cedar(
        &self,
        declared: Option<&[ContextAttribute]>,
        tool: &str,
    ) -> Vec<(String, RestrictedExpression)> {
        match declared {
            None => self.attributes.iter().map(|(name, value)| (name.clone(), value.to_cedar(None))).collect(),
            Some(declared) => {
                let known = declared.iter().filter(|attribute| attribute.is_for(tool));
                known.filter_map(|attribute| Some(declared_pair(attribute, self.get(&attribute.name)?))).collect()
            }
        }
    }
}

fn declared_pair(attribute: &ContextAttribute, value: &Value) -> (String, RestrictedExpression) {
    (attribute.name.clone(), value.to_cedar(Some(&attribute.kind)))
}

impl Value {
    /// A value that a caller sent, within the limits of a context. `None` if it is not a valid value.
    pub(crate) fn from_json(value: Json) -> Option<Self> {
        let mut checker = Checker::default();
        let value = checker.value("", value, 1)?;
        checker.count_is_bounded();
        checker.violations.is_empty().then_some(value)
    }

    /// The value in Cedar's form; of a mapping, the declared attributes.
    ///
    /// # Panics
    /// Never: the names of a record are unique.
    pub(crate) fn to_cedar(&self, declared: Option<&ContextType>) -> RestrictedExpression {
        match self {
            Self::Bool(value) => RestrictedExpression::new_bool(*value),
            Self::Long(value) => RestrictedExpression::new_long(*value),
            Self::Text(text) => RestrictedExpression::new_string(text.clone()),
            Self::Set(items) => RestrictedExpression::new_set(items.iter().map(|item| item.to_cedar(None))),
            Self::Record(fields) => {
                let fields: Vec<_> = match declared {
                    Some(ContextType::Record(attributes)) => attributes
                        .iter()
                        .filter_map(|attribute| Some(declared_pair(attribute, fields.get(&attribute.name)?)))
                        .collect(),
                    _ => fields.iter().map(|(name, value)| (name.clone(), value.to_cedar(None))).collect(),
                };
                RestrictedExpression::new_record(fields).expect("see Panics")
            }
        }
    }
}

/// Names and values must not get into logs.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Context");
        shown.field("attributes", &self.attributes.len());
        if !self.is_readable() {
            shown.field("unreadable", &self.unreadable.len());
        }
        shown.finish()
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

    /// The path of the field, if the key is valid.
    fn key(&mut self, parent: &str, key: &str) -> Option<String> {
        if is_key(key) {
            return Some(format!("{parent}.{key}"));
        }
        self.report(parent, format!("keys must be 1 to {MAX_KEY} bytes without control characters"));
        None
    }

    fn value(&mut self, field: &str, value: Json, depth: usize) -> Option<Value> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return None;
        }
        if depth > MAX_DEPTH {
            self.report(field, format!("is nested deeper than {MAX_DEPTH}"));
            return None;
        }
        match value {
            Json::Null => self.report(field, "must not be null; leave the attribute out"),
            Json::Bool(value) => return Some(Value::Bool(value)),
            Json::Number(number) => match whole(&number) {
                Some(value) => return Some(Value::Long(value)),
                None => {
                    self.report(
                        field,
                        "must be a whole number within 2^53 - 1; send cents instead of fractions, or text",
                    );
                }
            },
            Json::String(text) if text.len() > MAX_TEXT => {
                self.report(field, format!("must be at most {MAX_TEXT} bytes, is {}", text.len()));
            }
            Json::String(text) if text.contains('\0') => self.report(field, "must not hold U+0000"),
            Json::String(text) => return Some(Value::Text(text)),
            Json::Array(items) => {
                let items = items.into_iter().enumerate();
                let item = |(nth, item)| self.value(&format!("{field}[{nth}]"), item, depth + 1);
                return Some(Value::Set(items.filter_map(item).collect()));
            }
            Json::Object(object) => {
                let mut fields = BTreeMap::new();
                for (key, value) in object {
                    if let Some(field) = self.key(field, &key) {
                        fields.extend(self.value(&field, value, depth + 1).map(|value| (key, value)));
                    }
                }
                return Some(Value::Record(fields));
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

fn is_key(key: &str) -> bool {
    (1..=MAX_KEY).contains(&key.len()) && !key.chars().any(char::is_control)
}

/// A number as a whole number. JSON has only one kind of number, and many writers send 500 as `500.0`.
fn whole(number: &Number) -> Option<i64> {
    let integer = number.as_i64().or_else(|| {
        let value = number.as_f64().filter(|value| number.is_f64() && value.fract() == 0.0)?;
        #[expect(clippy::cast_possible_truncation, reason = "whole, and past 64 bits it becomes what is refused below")]
        Some(value as i64)
    });
    integer.filter(|value| (-MAX_WHOLE..=MAX_WHOLE).contains(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Json) -> Vec<String> {
        let Json::Object(object) = value else { panic!("an object") };
        Context::from_json(object).map_or_else(|all| all.iter().map(|v| v.field.to_string()).collect(), |_| Vec::new())
    }

    #[test]
    fn whole_numbers_text_flags_lists_and_mappings_are_accepted() {
        assert_eq!(fields(json!({})), [""; 0]);
        let good = json!({
            "n": [-MAX_WHOLE, MAX_WHOLE, 0], "double": 500.0, "edge": 9_007_199_254_740_991.0, "b": true, "t": "ä",
            "deep": {"a": {"b": {"c": 1}}}, "any key/at all": "x",
        });
        assert_eq!(fields(good), [""; 0]);
    }

    #[test]
    fn everything_else_is_refused_by_field_and_all_at_once() {
        let bad = json!({
            "fraction": 0.5, "huge": u64::MAX, "inexact": 1e300, "odd": MAX_WHOLE + 1, "low": -9_007_199_254_740_992.0,
            "zero": "a\u{0}b", "null": null, "long": "x".repeat(MAX_TEXT + 1), "": 1,
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
            "context.low",
            "context.null",
            "context.odd",
            "context.purpose",
            "context.zero",
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
        let Json::Object(object) = json!({"card": 4_111.5}) else { panic!("an object") };
        assert!(!format!("{:?}", Context::from_json(object)).contains("4111"));
        let Json::Object(object) = json!({"card": "4111"}) else { panic!("an object") };
        assert!(!format!("{:?}", Context::from_json(object)).contains("4111"));
    }
}
