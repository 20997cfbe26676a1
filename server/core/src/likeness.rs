//! Suggestions (not for configuration keys) for a name that is not known ("did you mean"): how similar a name must be, and how many names are
//! compared.

/// `; did you mean "x"?` for a name among `known` that is similar to `name`; empty if there is none.
#[must_use]
pub fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    /// The least similarity, by Jaro and Winkler.
    const LIKE: f64 = 0.8;
    /// How many names are compared at most.
    const MAX_LOOKED_AT: usize = 10_000;
    // The cost grows with the square of the length, which a hostile name would exploit.
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
}
