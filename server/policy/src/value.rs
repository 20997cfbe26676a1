//! A checked value of a context: true or false, a whole number, text, a set or a record.

use std::collections::BTreeMap;

/// A value that was checked.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Bool(bool),
    Long(i64),
    Text(String),
    Set(Vec<Self>),
    Record(BTreeMap<String, Self>),
}
