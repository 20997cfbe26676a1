//! Arguments that several commands take.

use countersign_core::text::{self, MAX_TEXT};

/// Reads a reason for the custody log.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    text::check("reason", text, MAX_TEXT).map(|()| text.to_owned()).map_err(|violation| violation.description)
}
