//! The one shape of every id in a policy document.

/// What an id looks like, in words for messages. Roles, tools, actions and rules all have this shape.
pub const NAME_SHAPE: &str = "1 to 64 characters of a-z 0-9 . _ @ -";

/// Whether `text` is 1 to 64 of `[a-z0-9._@-]`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-'))
}

/// `items` as a list for people, shortened after twenty.
pub(crate) fn listed<T: AsRef<str>>(items: &[T]) -> String {
    const SHOWN: usize = 20;
    let mut text = items.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = items.len().checked_sub(SHOWN) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// `text` as a quotation in a message: escaped and cut, so that a document cannot make a message as long as itself.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_lower_case_ascii() {
        for good in ["a", "allow-support-billing", "file_store", "alice@example.com", "v1.2", &"a".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Billing", "a b", "ä", "a/b", "a\n", "a\"", "*", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn long_lists_and_quotations_are_cut() {
        let many: Vec<String> = (0..23).map(|n| n.to_string()).collect();
        assert!(listed(&many).ends_with("19 and 3 more"));
        assert_eq!(listed(&["a", "b"]), "a, b");
        assert_eq!(quoted("a\n"), "\"a\\n\"");
        assert!(quoted(&"ä".repeat(500)).len() < 140);
    }
}
