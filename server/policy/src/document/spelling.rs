//! Tools, actions and types whose names differ only by case. Each would be a different one, which is certainly a
//! mistake.

use std::{collections::HashMap, sync::Arc};

use crate::violation::At;

/// The kind of thing that a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NameOf {
    Tool,
    Action,
    Type,
}

impl NameOf {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Action => "action",
            Self::Type => "type",
        }
    }
}

/// A name, whatever its case.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AnyCase {
    of: NameOf,
    lower_case: String,
}

/// How a name was first written, and where.
#[derive(Debug, Clone)]
pub(crate) struct FirstSpelling {
    pub(crate) name: Arc<str>,
    pub(crate) at: At,
}

/// The first spelling of each name, by its lower-case form.
#[derive(Debug, Default)]
pub(crate) struct Spellings(HashMap<AnyCase, FirstSpelling>);

impl Spellings {
    /// The first spelling of the same letters and its place, if it was in another case.
    pub(crate) fn other(&mut self, kind: NameOf, name: &Arc<str>, at: At) -> Option<FirstSpelling> {
        let any_case = AnyCase { of: kind, lower_case: name.to_ascii_lowercase() };
        let first = self.0.entry(any_case).or_insert_with(|| FirstSpelling { name: name.clone(), at });
        (first.name != *name).then(|| first.clone())
    }
}

/// Why two spellings are refused.
pub(crate) fn differs(kind: NameOf, name: &str, other: &str, place: &str) -> String {
    let kind = kind.as_str();
    format!(
        "{kind} {name:?} differs from {other:?} {place} by case only: names are compared exactly, so spell them alike"
    )
}
