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

/// The first spelling of each name, by its lower-case form.
#[derive(Debug, Default)]
pub(crate) struct Spellings(HashMap<(NameOf, String), (Arc<str>, At)>);

impl Spellings {
    /// The first spelling of the same letters and its place, if it was in another case.
    pub(crate) fn other(&mut self, kind: NameOf, name: &Arc<str>, at: At) -> Option<(Arc<str>, At)> {
        let first = self.0.entry((kind, name.to_ascii_lowercase())).or_insert_with(|| (name.clone(), at));
        (first.0 != *name).then(|| first.clone())
    }
}

/// Why two spellings are refused.
pub(crate) fn differs(kind: NameOf, name: &str, other: &str, place: &str) -> String {
    let kind = kind.as_str();
    format!(
        "{kind} {name:?} differs from {other:?} {place} by case only: names are compared exactly, so spell them alike"
    )
}
