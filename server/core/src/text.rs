//! Free text of limited length: purposes, reasons, display names, e-mail addresses, end users, labels. This file has
//! the limits, the characters that are refused (controls, direction marks), and how a text is shown to a person.

use std::{borrow::Cow, collections::BTreeMap};

use crate::violation::Violation;

/// Longest purpose or reason, in bytes of UTF-8.
pub const MAX_TEXT: usize = 512;
/// Longest display name or e-mail address, in bytes of UTF-8.
pub const MAX_DISPLAY: usize = 254;
/// Longest name of an end user for whom a run acts, in bytes of UTF-8.
pub const MAX_ON_BEHALF_OF: usize = 256;
/// Most labels on one resource.
pub const MAX_LABELS: usize = 16;

/// The characters that a text must not contain, for messages.
const STEERING: &str =
    "must not contain control characters, line separators, or marks that change the direction of text";

/// Checks one free text: it must show something, have at most `max` bytes, and not control how other text is shown.
pub fn check(field: &'static str, text: &str, max: usize) -> Result<(), Violation> {
    if text.chars().all(|character| character.is_whitespace() || (hides(character) && !steers(character))) {
        return Err(Violation::new(field, "must not be empty"));
    }
    if text.len() > max {
        return Err(Violation::new(field, format!("must be at most {max} bytes, is {}", text.len())));
    }
    if text.chars().any(steers) {
        return Err(Violation::new(field, STEERING));
    }
    Ok(())
}

/// Checks an e-mail address, to the extent that this is possible without sending mail: one `@`, with text on both
/// sides.
pub fn check_email(field: &'static str, text: &str) -> Result<(), Violation> {
    check(field, text, MAX_DISPLAY)?;
    match text.split_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !text.contains(char::is_whitespace) =>
        {
            Ok(())
        }
        _ => Err(Violation::new(field, "must be an e-mail address, such as alice@example.com")),
    }
}

/// Checks labels: at most [`MAX_LABELS`], keys like names of 1 to 64 characters, values up to 128 bytes.
#[must_use]
pub fn check_labels(labels: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if labels.len() > MAX_LABELS {
        violations.push(Violation::new("labels", format!("must be at most {MAX_LABELS}, are {}", labels.len())));
    }
    for (key, value) in labels {
        if !crate::names::is_name(key) {
            violations.push(Violation::new("labels", format!("key must be {}", crate::names::SHAPE)));
        }
        if value.len() > 128 || value.chars().any(steers) {
            violations.push(Violation::new("labels", format!("values must be at most 128 bytes, and {STEERING}")));
        }
    }
    violations
}

/// A text as it is shown to a person who decides by it: characters that would control how the rest is shown are written
/// out. Texts that were stored before such checks existed may contain them.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return text.into();
    }
    let written = |character: char| -> String {
        if steers(character) { character.escape_unicode().collect() } else { character.into() }
    };
    text.chars().map(written).collect::<String>().into()
}

/// Whether a character controls how the characters around it are shown: controls, line separators, and direction marks.
const fn steers(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}'
    )
}

/// Whether a character is invisible or moves the text around it: controls, separators, direction marks, fillers,
/// variation selectors and tags.
pub(crate) const fn hides(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_can_be_seen_and_steers_nothing() {
        let zero_width = "\u{200b}\u{200d}\u{feff}\u{2060} \u{3164}\u{e0041}";
        for blank in ["", " ", "\u{a0}", zero_width, "\u{200c}", "\u{ad}"] {
            assert_eq!(check("purpose", blank, MAX_TEXT).unwrap_err().description, "must not be empty", "{blank:?}");
        }
        for steering in ["\0", "\n", "\u{7f}", "\u{85}", "\u{61c}", "\u{200e}", "\u{200f}", "\u{2028}", "\u{2029}"] {
            let text = format!("pay{steering}alice");
            assert_eq!(check("purpose", &text, MAX_TEXT).unwrap_err().description, STEERING, "{text:?}");
        }
        for steering in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            for text in [format!("pay {steering}ecila"), steering.to_string()] {
                assert!(check("purpose", &text, MAX_TEXT).is_err(), "{text:?}");
                assert!(check_email("email", &format!("a{steering}@b.c")).is_err());
                let labels = [("a".to_owned(), text)].into();
                assert_eq!(check_labels(&labels).len(), 1);
            }
        }
        // Scripts that need joiners, emoji, and right-to-left letters, which need no mark.
        for good in ["Refund", "naïve", "می\u{200c}خواهم", "👩\u{200d}💻", "שלום", "a\u{fe0f}"] {
            assert_eq!(check("purpose", good, MAX_TEXT), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_was_stored_before_is_written_out() {
        assert_eq!(shown("pay \u{202e}ecila"), "pay \\u{202e}ecila");
        assert!(matches!(shown("שלום 👩\u{200d}💻"), Cow::Borrowed(_)));
    }
}
