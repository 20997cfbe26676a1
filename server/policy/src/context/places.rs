//! The places in a context that no rule can read, and the rules that they affect.

use super::{Context, PURPOSE};

/// A path in the context that a rule names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// Names from the context down. Empty for the context as a whole.
    pub(crate) path: Vec<String>,
    /// Whether the rule only tests the presence (`has`), and reads no value.
    pub(crate) presence: bool,
}

impl Named {
    /// The context as a whole.
    pub(crate) const fn everything() -> Self {
        Self { path: Vec::new(), presence: false }
    }
}

impl Context {
    /// Whether rules can read all of it.
    pub(crate) const fn is_readable(&self) -> bool {
        self.unreadable.is_empty()
    }

    /// Whether the value at `path`, or one that contains it, cannot be read.
    pub(crate) fn hides(&self, path: &[String]) -> bool {
        // The call's purpose is set by the server and is never among the attributes.
        let holds = |place: &Vec<String>| path.starts_with(place) && !(place.is_empty() && is_purpose(path));
        self.unreadable.iter().any(holds)
    }

    /// Whether a rule that names this might answer differently if it could read everything: it names an unreadable
    /// place or a place inside one, or it reads a value that contains one. It can still test the presence of such a
    /// value: if a place inside it exists, it exists.
    pub(crate) fn concerns(&self, named: &Named) -> bool {
        let around = || self.unreadable.iter().any(|place| place.starts_with(&named.path));
        self.hides(&named.path) || (!named.presence && around())
    }
}

fn is_purpose(path: &[String]) -> bool {
    path.first().is_some_and(|name| name == PURPOSE)
}
