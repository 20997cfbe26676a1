//! Lists and quotations in messages, and how much of them is shown.

use std::fmt::Write as _;

/// `items` as a list for persons, shortened after twenty.
pub(crate) fn listed<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 20;
    let mut text = String::new();
    let mut count = 0;
    for item in items {
        count += 1;
        if count <= SHOWN {
            text.push_str(if count > 1 { ", " } else { "" });
            text.push_str(item.as_ref());
        }
    }
    if count > SHOWN {
        // Writing to a String cannot fail.
        let _ = write!(text, " and {} more", count - SHOWN);
    }
    text
}

/// `text` as a quotation in a message: escaped and cut, so that a message is never as long as the document.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
}

/// `context.a.b`.
pub(crate) fn spelled(path: &[String]) -> String {
    path.iter().fold("context".to_owned(), |text, name| text + "." + name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_and_quotations_are_cut() {
        assert!(listed((0..23).map(|n| n.to_string())).ends_with("19 and 3 more"));
        assert_eq!(listed(["a", "b"]), "a, b");
        assert_eq!(quoted("a\n"), "\"a\\n\"");
        assert!(quoted(&"ä".repeat(500)).len() < 140);
    }
}
