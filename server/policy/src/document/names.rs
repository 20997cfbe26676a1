//! Reports names that a document spells in two cases (upper, lower).

use std::sync::Arc;

use super::{
    reader::{Path, Reader, Spot},
    spelling::{NameOf, differs},
};

impl Reader {
    /// Reports a name that the document spells in another case elsewhere. Returns whether the name is correct.
    pub(crate) fn spelling(&mut self, kind: NameOf, name: &Spot<Arc<str>>, path: &Path<'_>) -> bool {
        let other = if name.value.is_empty() { None } else { self.spellings.other(kind, &name.value, name.at) };
        if let Some(first) = &other {
            self.report(name.at, path, differs(kind, &name.value, &first.name, &format!("on line {}", first.at.line)));
        }
        other.is_none()
    }
}
