//! Checks a context against the document's declarations: required attributes, types, and listed words.

use super::{Context, Value};
use crate::{
    schema::{ContextAttribute, ContextType},
    text::{listed, spelled},
};

/// What is wrong with the context of a call on `tool`, one clause each; never a value.
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

/// Names the declared attributes that a call has and no rule can read. `path` is the path of the parent.
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
                check(attribute, &path, fields.get(&attribute.name), wrong);
            }
        }
        (None | Some(_), _) => {}
    }
}
