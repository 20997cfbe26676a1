//! Makes texts of others safe for a terminal.

use countersign_core::text::shown;

/// A text of another party on one line, without characters that control a terminal.
pub(crate) fn printable(text: &str) -> String {
    let blank: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    shown(&blank).into_owned()
}
