//! One error in a request, in words with which the caller can fix it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A violation of a rule. A request is refused with *all* its violations at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The request field, in the proto's spelling (`tools[2]`, `ttl`).
    pub field: Cow<'static, str>,
    /// What is wrong and what would be accepted, in words for persons. Never contains a secret.
    pub description: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}
