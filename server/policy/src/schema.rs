//! What a document declares of a call's context, and whether a context is that.

use countersign_core::names::ToolId;

use crate::{
    cedar::types::spelled,
    context::{Context, Value},
    text::listed,
};

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

    /// A set of such values in words for messages.
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
    /// Whether a call must have it. Where not, a rule must ask `has` before it reads it.
    pub required: bool,
    /// The tools whose calls have it; empty: every tool. Inside a mapping always empty.
    pub tools: Vec<ToolId>,
    /// Of text: the words that it may be, in the document's order. Empty: any text.
    pub values: Vec<String>,
    /// Whether the custody log states its value with every decision.
    pub record: bool,
}

impl ContextAttribute {
    /// Whether it is one of the words that the document lists, where it lists any.
    pub(crate) fn lists(&self, value: &Value) -> bool {
        self.values.is_empty() || matches!(value, Value::Text(text) if self.values.contains(text))
    }

    /// Whether calls on `tool` have it.
    pub(crate) fn is_for(&self, tool: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|listed| listed.as_str() == tool)
    }
}

/// What is wrong with the context of a call on `tool`, a clause each; never a value.
pub(crate) fn unfit(declared: &[ContextAttribute], tool: &str, context: &Context) -> Vec<String> {
    let mut wrong = Vec::new();
    for attribute in declared.iter().filter(|attribute| attribute.is_for(tool)) {
        if !context.is_readable() {
            hidden(attribute, &mut Vec::new(), context, &mut wrong);
        }
        check(attribute, "context", context.get(&attribute.name), &mut wrong);
    }
    wrong
}

/// Says of what is declared which a call has and no rule can read. `path`: what holds it.
fn hidden(attribute: &ContextAttribute, path: &mut Vec<String>, context: &Context, wrong: &mut Vec<String>) {
    path.push(attribute.name.clone());
    if context.hides(path) {
        wrong.push(format!("{} holds what no rule can read", spelled(path)));
    } else if let ContextType::Record(attributes) = &attribute.kind {
        for attribute in attributes {
            hidden(attribute, path, context, wrong);
        }
    }
    path.pop();
}

pub(crate) fn check(attribute: &ContextAttribute, parent: &str, value: Option<&Value>, wrong: &mut Vec<String>) {
    let path = format!("{parent}.{}", attribute.name);
    match (value, &attribute.kind) {
        (None, _) if attribute.required => wrong.push(format!("{path} is missing")),
        (Some(value), kind) if !kind.holds(value) => wrong.push(format!("{path} must be {}", kind.words())),
        (Some(value), _) if !attribute.lists(value) => {
            wrong.push(format!(
                "{path} must be one of {}",
                listed(attribute.values.iter().map(|word| format!("{word:?}")))
            ));
        }
        (Some(Value::Record(fields)), ContextType::Record(attributes)) => {
            for attribute in attributes {
                let value = fields.iter().find(|(name, _)| *name == attribute.name).map(|(_, value)| value);
                check(attribute, &path, value, wrong);
            }
        }
        (None | Some(_), _) => {}
    }
}
