//! How long an SVID lives: no longer than the credential that it is based on, nor than the longest credential. A
//! request that is too long is refused, never clamped. Without a request it is the default lifetime (`recorder/record_svid.rs`).

use time::{Duration, OffsetDateTime};

use crate::{grant::HARD_MAX_TTL, violation::Violation};

/// From when to when a document is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Set back, for verifiers whose clocks are behind.
    pub begin: OffsetDateTime,
    /// Never after the credential's end.
    pub end: OffsetDateTime,
}

/// The lifetime of a document that is based on a credential which ends at `credential_end`, in whole seconds: `asked`
/// seconds from `now`, or if it is not given `default`, or the rest of the credential if that is less. With `backdate`
/// it is at most [`HARD_MAX_TTL`]. A request that is too long is refused, never clamped.
pub fn lifetime(
    asked: Option<i64>,
    default: u32,
    credential_end: OffsetDateTime,
    backdate: u32,
    now: OffsetDateTime,
) -> Result<Lifetime, Violation> {
    let now = OffsetDateTime::from_unix_timestamp(now.unix_timestamp()).unwrap_or(now);
    let longest = i64::from(HARD_MAX_TTL - backdate).min((credential_end - now).whole_seconds());
    let ttl = match asked {
        Some(asked) if (1..=longest).contains(&asked) => asked,
        Some(asked) => {
            let why = format!(
                "must be 1 s to {longest} s, is {asked} s: an SVID ends with its credential, and after \
                 {HARD_MAX_TTL} s at the latest"
            );
            return Err(Violation::new("ttl", why));
        }
        None => longest.min(default.into()),
    };
    Ok(Lifetime { begin: now - Duration::seconds(backdate.into()), end: now + Duration::seconds(ttl) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

    #[test]
    fn a_life_that_does_not_fit_is_refused_and_never_clamped() {
        let end = NOW + Duration::seconds(250);
        let ends = |asked, default| lifetime(asked, default, end, 2, NOW).map(|life| (life.end - NOW).whole_seconds());
        assert_eq!((ends(None, 300), ends(None, 100)), (Ok(250), Ok(100)));
        assert_eq!((ends(Some(1), 300), ends(Some(250), 300)), (Ok(1), Ok(250)));
        for wrong in [0, -1, 251, 900, i64::MAX, i64::MIN] {
            assert_eq!(ends(Some(wrong), 300).unwrap_err().field, "ttl", "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_document_outlives_its_credential_or_900_seconds(
            asked in proptest::option::of(-5i64..2_000), left in 1i64..2_000, backdate in 0u32..60, millis in 0i64..1_000,
        ) {
            // A credential ends at a whole second, and `now` is any time before it.
            let (end, now) = (NOW + Duration::seconds(left), NOW + Duration::milliseconds(millis.min(left * 1_000 - 1)));
            if let Ok(life) = lifetime(asked, 300, end, backdate, now) {
                prop_assert!(life.end <= end && life.end > now);
                prop_assert!(life.end - life.begin <= Duration::seconds(900));
                prop_assert!(life.begin <= now);
            } else {
                prop_assert!(asked.is_some());
            }
        }
    }
}
