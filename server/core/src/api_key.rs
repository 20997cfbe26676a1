//! API keys: their form `csk_<id>_<secret>`, their default and longest lifetime, and whether one is alive (not expired,
//! not revoked). A key may also wait until a second person confirms it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    key_scope::KeyScope,
    names::OperatorId,
    operator::{OperatorRole, Roles},
};

/// The prefix of every API key.
const PREFIX: &str = "csk_";
/// Length of a secret: 32 random bytes in base64url.
const SECRET_CHARS: usize = 43;

/// Lifetime of a key if the request does not say.
pub const DEFAULT_LIFE: Duration = Duration::days(90);
/// Longest lifetime that can be requested.
pub const MAX_LIFE: Duration = Duration::days(400);

/// The part of a key before its secret: a UUIDv7 as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiKeyId(pub Uuid);

/// The text is not a key id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be the 32 lower-case hexadecimal digits of a key_id")]
pub struct InvalidApiKeyId;

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.simple().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl FromStr for ApiKeyId {
    type Err = InvalidApiKeyId;
    fn from_str(text: &str) -> Result<Self, InvalidApiKeyId> {
        let read = (text.len() == 32).then(|| Uuid::try_parse(text).ok()).flatten().map(Self);
        // One spelling per id.
        read.filter(|id| id.to_string() == text).ok_or(InvalidApiKeyId)
    }
}

impl TryFrom<String> for ApiKeyId {
    type Error = InvalidApiKeyId;
    fn try_from(text: String) -> Result<Self, InvalidApiKeyId> {
        text.parse()
    }
}

impl From<ApiKeyId> for String {
    fn from(id: ApiKeyId) -> Self {
        id.to_string()
    }
}

/// Whether a bearer has the form of an API key.
#[must_use]
pub fn is_key(bearer: &str) -> bool {
    bearer.starts_with(PREFIX)
}

/// A key's id and secret.
#[must_use]
pub fn parse(key: &str) -> Option<(ApiKeyId, &str)> {
    let (id, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    (secret.len() == SECRET_CHARS).then_some((id.parse().ok()?, secret))
}

/// The key as it is shown to its owner, once.
#[must_use]
pub fn write(key_id: ApiKeyId, secret: &str) -> String {
    format!("{PREFIX}{key_id}_{secret}")
}

/// An operator's key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub key_id: ApiKeyId,
    /// The operator who owns it.
    pub operator_id: OperatorId,
    /// The roles that it grants, if the operator still has them.
    pub roles: Roles,
    /// When it was created.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub create_time: OffsetDateTime,
    /// When it expires.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub expire_time: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub revoke_time: Option<OffsetDateTime>,
    /// The operator who created it, and so knows it. `None` if the machine itself created it, or it was not recorded.
    #[serde(default)]
    pub made_by: Option<OperatorId>,
    /// Whether its owner can use it. If not, a second person has still to confirm it.
    #[serde(default = "yes")]
    pub confirmed: bool,
    /// The tools and sponsors that it is limited to.
    #[serde(default)]
    pub scope: KeyScope,
}

/// The default for keys stored by a version that knew only confirmed ones.
const fn yes() -> bool {
    true
}

impl ApiKey {
    /// The etag of this row: a key changes when it is confirmed and when it is revoked.
    #[must_use]
    pub fn etag(&self) -> String {
        match (self.revoke_time, self.confirmed) {
            (Some(_), _) => "2",
            (None, true) => "1",
            (None, false) => "0",
        }
        .to_owned()
    }

    /// Whether it authenticates its owner at `now`.
    #[must_use]
    pub fn is_alive(&self, now: OffsetDateTime) -> bool {
        self.revoke_time.is_none() && self.expire_time.is_none_or(|end| now < end)
    }

    /// Whether an administrator can log in with it at `now`.
    #[must_use]
    pub fn admits_an_admin(&self, now: OffsetDateTime) -> bool {
        self.confirmed && self.is_alive(now) && self.roles.has(OperatorRole::Admin)
    }
}

/// When a new key expires. An error says what would be accepted.
pub fn expiry(asked: Option<OffsetDateTime>, now: OffsetDateTime) -> Result<OffsetDateTime, String> {
    let Some(asked) = asked else { return Ok(now + DEFAULT_LIFE) };
    // Whole microseconds, because that is what is stored.
    let asked = asked - Duration::nanoseconds(i64::from(asked.nanosecond() % 1_000));
    if asked <= now {
        return Err("must be in the future".to_owned());
    }
    if asked > now + MAX_LIFE {
        return Err(format!("must be at most {} days from now", MAX_LIFE.whole_days()));
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

    #[test]
    fn a_key_is_read_back_as_written() {
        let (id, secret) = (ApiKeyId(Uuid::from_bytes([0xab; 16])), "a_b-".to_owned() + &"x".repeat(39));
        assert_eq!(parse(&write(id, &secret)), Some((id, secret.as_str())));
        let hyphenated = format!("csk_{}_{secret}", id.0);
        let upper = format!("csk_{}_{secret}", "AB".repeat(16));
        for bad in ["", "csk_", "csk_x_y", "csk__", &format!("csk_{id}_"), &hyphenated, &upper] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_lives_90_days_unless_asked_and_400_at_most() {
        assert_eq!(expiry(None, NOW), Ok(NOW + Duration::days(90)));
        for (life, fits) in [
            (Duration::seconds(-1), false),
            (Duration::ZERO, false),
            (Duration::nanoseconds(999), false),
            (Duration::microseconds(1), true),
            (Duration::days(400), true),
            (Duration::days(400) + Duration::microseconds(1), false),
        ] {
            assert_eq!(expiry(Some(NOW + life), NOW).is_ok(), fits, "{life}");
        }
    }

    #[test]
    fn a_key_that_ended_or_was_revoked_admits_nobody() {
        let key = ApiKey {
            key_id: ApiKeyId(Uuid::nil()),
            operator_id: "alice".parse().unwrap(),
            roles: Roles::of(&[OperatorRole::Admin]),
            create_time: NOW,
            expire_time: Some(NOW + Duration::SECOND),
            revoke_time: None,
            made_by: None,
            confirmed: true,
            scope: KeyScope::default(),
        };
        let waits = ApiKey { confirmed: false, ..key.clone() };
        assert!(!waits.admits_an_admin(NOW) && waits.etag() != key.etag());
        assert!(key.admits_an_admin(NOW) && !key.is_alive(NOW + Duration::SECOND));
        let revoked = ApiKey { revoke_time: Some(NOW), ..key.clone() };
        assert!(!revoked.is_alive(NOW) && revoked.etag() != key.etag());
        assert!(!ApiKey { roles: Roles::of(&[OperatorRole::Issuer]), ..key }.admits_an_admin(NOW));
    }
}
