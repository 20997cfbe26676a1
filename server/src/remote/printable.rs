//! Texts of others, harmless on a terminal.

use countersign_core::text::shown;

/// Another's text on one line, unable to steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    let blank: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    shown(&blank).into_owned()
}
