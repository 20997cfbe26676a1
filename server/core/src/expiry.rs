//! What expires (API keys, sponsor reviews, TLS certificates, CAs, X.509 authorities), how many days in advance that is
//! announced (warning thresholds), and what to do before it expires.

use std::fmt;

use time::{Duration, OffsetDateTime};

/// The kinds of things that expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExpiryKind {
    /// An operator's API key.
    ApiKey,
    /// The review of an ACTIVE sponsor, who is suspended when it lapses.
    SponsorReview,
    /// The server's certificate.
    TlsCertificate,
    /// A certificate authority of clients.
    ClientCa,
    /// A certificate authority that is trusted for an identity provider or a webhook.
    TrustedCa,
    /// The last of the authorities that sign X.509-SVIDs. Servers create the next one by themselves.
    X509Authority,
}

impl ExpiryKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::ApiKey, Self::SponsorReview, Self::TlsCertificate, Self::ClientCa, Self::TrustedCa, Self::X509Authority];

    /// Its name in metrics, messages and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::SponsorReview => "sponsor_review",
            Self::TlsCertificate => "tls_certificate",
            Self::ClientCa => "client_ca",
            Self::TrustedCa => "trusted_ca",
            Self::X509Authority => "x509_authority",
        }
    }

    /// What to do before it expires.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::ApiKey => "make another one (CreateApiKey), change over, then revoke this one",
            Self::SponsorReview => {
                "an approver renews the review (RecertifySponsor); otherwise the sponsor is suspended"
            }
            Self::TlsCertificate => {
                "put a new certificate and its key in place of the files; they are read within seconds"
            }
            Self::ClientCa => "add the new authority to the file, and give clients certificates of it",
            Self::TrustedCa => "put the new authority into the file and restart the servers",
            Self::X509Authority => {
                "the servers should have made the next one: the log says why they could not (database, clocks)"
            }
        }
    }

    /// How long in advance its expiry is first reported.
    #[must_use]
    pub const fn notice(self) -> Duration {
        match self {
            // Servers renew it a day before; if it is not renewed by then, that has failed.
            Self::X509Authority => Duration::hours(12),
            _ => Duration::days(14),
        }
    }
}

impl fmt::Display for ExpiryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many days in advance an expiry is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Threshold {
    /// A day ahead.
    Day,
    /// A week ahead.
    Week,
    /// Two weeks ahead.
    TwoWeeks,
}

impl Threshold {
    /// Every threshold, the nearest to the end first.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::TwoWeeks];

    /// In days.
    #[must_use]
    pub const fn days(self) -> u8 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::TwoWeeks => 14,
        }
    }

    /// The threshold to announce for what expires at `end`: the nearest one that is reached by `now`. `None` if it is
    /// too early, or if it has expired.
    #[must_use]
    pub fn reached(kind: ExpiryKind, end: OffsetDateTime, now: OffsetDateTime) -> Option<Self> {
        let left = end - now;
        if left <= Duration::ZERO || left > kind.notice() {
            return None;
        }
        Self::ALL.into_iter().find(|threshold| left <= Duration::days(threshold.days().into()))
    }

    /// The expiries for which this is the nearest threshold at `now`: after the first, up to the second.
    #[must_use]
    pub fn ends(self, now: OffsetDateTime) -> [OffsetDateTime; 2] {
        let nearer = Self::ALL.into_iter().rev().find(|nearer| *nearer < self).map_or(0, Self::days);
        [nearer, self.days()].map(|days| now.saturating_add(Duration::days(days.into())))
    }
}

/// The time from `now` to `end` in words.
#[must_use]
pub fn left(end: OffsetDateTime, now: OffsetDateTime) -> String {
    let left = end - now;
    if left <= Duration::ZERO {
        return "has ended".to_owned();
    }
    let (many, unit) = match left {
        left if left >= Duration::days(2) => (left.whole_days(), "days"),
        left if left >= Duration::hours(2) => (left.whole_hours(), "hours"),
        left => (left.whole_minutes().max(1), if left.whole_minutes() > 1 { "minutes" } else { "minute" }),
    };
    format!("ends in {many} {unit}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

    #[test]
    fn the_nearest_threshold_that_is_reached_is_announced() {
        use Threshold::{Day, TwoWeeks, Week};
        let second = Duration::SECOND;
        for (left, key, authority) in [
            (-second, None, None),
            (Duration::ZERO, None, None),
            (second, Some(Day), Some(Day)),
            (Duration::hours(12), Some(Day), Some(Day)),
            (Duration::hours(12) + second, Some(Day), None),
            (Duration::DAY, Some(Day), None),
            (Duration::DAY + second, Some(Week), None),
            (Duration::days(6), Some(Week), None),
            (Duration::WEEK, Some(Week), None),
            (Duration::WEEK + second, Some(TwoWeeks), None),
            (Duration::days(14), Some(TwoWeeks), None),
            (Duration::days(14) + second, None, None),
            (Duration::days(90), None, None),
        ] {
            let reached = |kind| Threshold::reached(kind, NOW + left, NOW);
            assert_eq!((reached(ExpiryKind::ApiKey), reached(ExpiryKind::X509Authority)), (key, authority), "{left}");
        }
    }

    #[test]
    fn what_is_left_is_said_in_one_unit() {
        for (left_over, expected) in [
            (Duration::days(-3), "has ended"),
            (Duration::seconds(20), "ends in 1 minute"),
            (Duration::minutes(90), "ends in 90 minutes"),
            (Duration::hours(47), "ends in 47 hours"),
            (Duration::days(6), "ends in 6 days"),
        ] {
            assert_eq!(left(NOW + left_over, NOW), expected);
        }
    }

    proptest! {
        #[test]
        fn windows_and_thresholds_agree(seconds in -100_000i64..2_000_000) {
            let end = NOW + Duration::seconds(seconds);
            let reached = Threshold::reached(ExpiryKind::SponsorReview, end, NOW);
            let within = Threshold::ALL.into_iter().find(|threshold| {
                let [after, until] = threshold.ends(NOW);
                after < end && end <= until
            });
            prop_assert_eq!(reached, within);
        }
    }
}
