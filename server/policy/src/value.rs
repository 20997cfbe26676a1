//! A value of a context.

/// A value that was checked.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Bool(bool),
    Long(i64),
    Text(String),
    Set(Vec<Self>),
    /// Each name is unique.
    Record(Vec<(String, Self)>),
}
