//! Why a value has no canonical form.

use std::fmt;

use countersign_core::json::Path;

/// What a value cannot be written for, and the way to it.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) path: Path,
    pub(super) why: String,
}

impl Wrong {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { path: Path::default(), why: why.into() }
    }

    pub(super) fn below_key(mut self, key: &str) -> Self {
        self.path.below_key(key);
        self
    }

    pub(super) fn below_index(mut self, index: usize) -> Self {
        self.path.below_index(index);
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Wrong {}

impl serde::ser::Error for Wrong {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::new(why.to_string())
    }
}
