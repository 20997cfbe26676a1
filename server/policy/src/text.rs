//! Words for messages.

use std::fmt::Write as _;

/// `items` as a list for people, shortened after twenty.
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

/// `text` as a quotation in a message: escaped and cut, so that a document cannot make a message as long as itself.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
}

/// `; did you mean "x"?` for what is like `name` among `known`; empty: nothing is.
pub(crate) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    /// Least likeness, as Jaro and Winkler count it.
    const LIKE: f64 = 0.8;
    /// Most names that are looked at.
    const MAX_LOOKED_AT: usize = 10_000;
    // A hostile name costs time by its square.
    if name.len() > 128 {
        return String::new();
    }
    let likeness = |known: &'k str| (strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase()), known);
    let found =
        known.into_iter().take(MAX_LOOKED_AT).filter(|known| known.len() <= 128 && *known != name).map(likeness);
    let best = found.filter(|(like, _)| *like >= LIKE).max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map(|(_, known)| format!("; did you mean {known:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_what_is_like_it() {
        assert_eq!(did_you_mean("lokced", ["locked", "owner"]), "; did you mean \"locked\"?");
        assert_eq!(did_you_mean("chrage", ["charge", "change_all", "refund"]), "; did you mean \"charge\"?");
        assert_eq!(did_you_mean("tier", ["agent", "depth"]), "");
    }

    #[test]
    fn long_lists_and_quotations_are_cut() {
        assert!(listed((0..23).map(|n| n.to_string())).ends_with("19 and 3 more"));
        assert_eq!(listed(["a", "b"]), "a, b");
        assert_eq!(quoted("a\n"), "\"a\\n\"");
        assert!(quoted(&"ä".repeat(500)).len() < 140);
    }
}
