//! X.509 authorities: how long one signs, how long it stays in the bundle after that, and which are missing, so that
//! another one follows. This depends only on time, so servers need not inform each other.

use time::{Duration, OffsetDateTime};

/// How long an authority signs. The next one is created and published when it begins, that is, this long before it
/// signs.
const SIGNS: Duration = Duration::DAY;
/// How long it stays in the bundle after that: longer than its last SVID is valid, for clocks that differ.
const STAYS: Duration = Duration::HOUR;

/// From when to when an authority signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningWindow {
    /// Its first instant.
    pub from: OffsetDateTime,
    /// The instant after its last.
    pub until: OffsetDateTime,
}

impl SigningWindow {
    const fn from(from: OffsetDateTime) -> Self {
        Self { from, until: from.saturating_add(SIGNS) }
    }

    /// Whether the authority signs at `now`.
    #[must_use]
    pub fn covers(&self, now: OffsetDateTime) -> bool {
        self.from <= now && now < self.until
    }

    /// When the authority leaves the bundle and its certificate expires.
    #[must_use]
    pub fn leaves(&self) -> OffsetDateTime {
        self.until + STAYS
    }
}

/// The missing windows, so that one authority signs now and another one follows.
#[must_use]
pub fn missing_windows(known: &[SigningWindow], now: OffsetDateTime) -> Vec<SigningWindow> {
    let mut missing = Vec::new();
    let current = known.iter().find(|window| window.covers(now)).copied().unwrap_or_else(|| {
        // It is the first of all, or no server was running to create one in time.
        let first = SigningWindow::from(now);
        missing.push(first);
        first
    });
    if !known.iter().any(|window| window.from > now) {
        missing.push(SigningWindow::from(current.until));
    }
    missing
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

    #[test]
    fn the_first_one_signs_at_once_and_the_next_one_a_day_later() {
        let [first, next] = missing_windows(&[], NOW)[..] else { panic!("two are missing") };
        assert_eq!((first.from, first.until), (NOW, NOW + Duration::DAY));
        assert_eq!((next.from, next.until), (NOW + Duration::DAY, NOW + Duration::days(2)));
        assert_eq!(missing_windows(&[first, next], NOW), []);
        assert_eq!(missing_windows(&[first, next], NOW + Duration::DAY - Duration::SECOND), []);
        assert_eq!(missing_windows(&[first, next], NOW + Duration::DAY).len(), 1, "one to follow the second");
    }

    /// Checks after each pause, and returns what signs then and since when it was published.
    fn signing_after(pauses: Vec<i64>) -> Vec<(SigningWindow, OffsetDateTime)> {
        let (mut now, mut known) = (NOW, Vec::<(SigningWindow, OffsetDateTime)>::new());
        let mut signed = Vec::new();
        for pause in std::iter::once(0).chain(pauses) {
            now += Duration::seconds(pause);
            known.retain(|(window, _)| window.leaves() > now);
            let windows: Vec<_> = known.iter().map(|(window, _)| *window).collect();
            known.extend(missing_windows(&windows, now).into_iter().map(|window| (window, now)));
            assert!(known.len() <= 4, "the bundle stays small: {known:?}");
            let mut signing = known.iter().filter(|(window, _)| window.covers(now));
            signed.push(*signing.next().expect("somebody signs"));
            assert_eq!(signing.next(), None, "and nobody else");
        }
        signed
    }

    proptest! {
        #[test]
        fn one_signs_whatever_the_pauses(pauses in proptest::collection::vec(1i64..60 * 3600, 1..40)) {
            signing_after(pauses);
        }

        #[test]
        fn who_signs_was_published_half_a_day_before_if_none_paused(
            pauses in proptest::collection::vec(1i64..12 * 3600, 1..40),
        ) {
            for (window, published) in signing_after(pauses) {
                prop_assert!(window.from == NOW || window.from - published >= Duration::hours(12));
            }
        }
    }
}
