//! Where in a context something stands that no rule can read, and which rules that concerns.

use super::{Context, PURPOSE};

/// A path in the context that a rule names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// Names from the context down. Empty: the context as a whole.
    pub(crate) path: Vec<String>,
    /// Whether the rule asks only if something is there (`has`), and takes no value.
    pub(crate) presence: bool,
}

impl Named {
    /// The context as a whole, whatever it holds.
    pub(crate) const fn everything() -> Self {
        Self { path: Vec::new(), presence: false }
    }
}

impl Context {
    /// Whether rules can read all of it.
    pub(crate) const fn is_readable(&self) -> bool {
        self.unreadable.is_empty()
    }

    /// Whether what stands at `path` cannot be read: itself, or something that holds it.
    pub(crate) fn hides(&self, path: &[String]) -> bool {
        // The call's purpose is the server's own, and never among the attributes.
        let holds = |place: &Vec<String>| path.starts_with(place) && !(place.is_empty() && is_purpose(path));
        self.unreadable.iter().any(holds)
    }

    /// Whether a rule that names this might answer otherwise if it could read everything: it names a place that cannot be
    /// read, something inside of one, or takes the value of something around one. Whether that is *there* it can tell: where
    /// something inside is, it is.
    pub(crate) fn concerns(&self, named: &Named) -> bool {
        let around = || self.unreadable.iter().any(|place| place.starts_with(&named.path));
        self.hides(&named.path) || (!named.presence && around())
    }
}

fn is_purpose(path: &[String]) -> bool {
    path.first().is_some_and(|name| name == PURPOSE)
}
