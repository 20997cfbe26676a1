//! The types of what a document declares about a call's context: the type of an attribute, whether it is required, its
//! tools, its words, and whether it is recorded.

use countersign_core::names::ToolId;

use crate::value::Value;

/// The type of a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Long,
    /// Text.
    String,
}

impl Scalar {
    /// The type in words for messages.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Long => "a whole number",
            Self::String => "text",
        }
    }

    /// The type in Cedar's schema language.
    pub(crate) const fn schema(self) -> &'static str {
        match self {
            Self::Bool => "Bool",
            Self::Long => "Long",
            Self::String => "String",
        }
    }

    /// A set of such values, in words for messages.
    pub(crate) const fn set_words(self) -> &'static str {
        match self {
            Self::Bool => "a set of true and false",
            Self::Long => "a set of whole numbers",
            Self::String => "a set of text",
        }
    }
}

/// The type of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextType {
    /// A single value.
    One(Scalar),
    /// A set of values of one type.
    Set(Scalar),
    /// A mapping of attributes.
    Record(Vec<ContextAttribute>),
}

impl ContextType {
    /// The type in words for messages.
    pub(crate) const fn words(&self) -> &'static str {
        match self {
            Self::One(scalar) => scalar.words(),
            Self::Set(scalar) => scalar.set_words(),
            Self::Record(_) => "a mapping",
        }
    }

    pub(crate) fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::One(scalar), value) => is(value, *scalar),
            (Self::Set(scalar), Value::Set(items)) => items.iter().all(|item| is(item, *scalar)),
            (Self::Record(_), Value::Record(_)) => true,
            _ => false,
        }
    }
}

const fn is(value: &Value, scalar: Scalar) -> bool {
    matches!(
        (value, scalar),
        (Value::Bool(_), Scalar::Bool) | (Value::Long(_), Scalar::Long) | (Value::Text(_), Scalar::String)
    )
}

/// One declared attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextAttribute {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ContextType,
    /// Whether a call must have it. If not, a rule must test it with `has` before it reads it.
    pub required: bool,
    /// The tools whose calls have it; empty for every tool. Always empty inside a mapping.
    pub tools: Vec<ToolId>,
    /// For text: the words that it may be, in the document's order. Empty for any text.
    pub values: Vec<String>,
    /// Whether the custody log contains its value with every decision.
    pub record: bool,
}

impl ContextAttribute {
    /// Whether the value is one of the listed words, if the document lists any.
    pub(crate) fn lists(&self, value: &Value) -> bool {
        self.values.is_empty() || matches!(value, Value::Text(text) if self.values.contains(text))
    }

    /// Whether calls on `tool` have it.
    pub(crate) fn is_for(&self, tool: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|listed| listed.as_str() == tool)
    }
}
