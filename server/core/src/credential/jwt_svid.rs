//! The claims of JWT-SVIDs: an instance's SPIFFE ID as a token, for services that verify by SPIFFE's rules and do not
//! know Countersign.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::claims::instant;
use crate::spiffe::{Lifetime, SpiffeId, SvidAudience};

/// The claims of a JWT-SVID. It has only the holder's id from the credential: it proves an id, and grants nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtSvidClaims {
    /// The installation that issued it.
    pub iss: String,
    /// The instance's SPIFFE ID.
    pub sub: SpiffeId,
    /// Its audience; 1 to [`crate::spiffe::MAX_AUDIENCES`].
    pub aud: Vec<SvidAudience>,
    /// When it expires, seconds since the epoch.
    pub exp: i64,
    /// When it was issued, minus [`crate::grant::BACKDATE`], in seconds since the epoch.
    pub iat: i64,
    /// Its id, which the custody log names.
    pub jti: Uuid,
}

impl JwtSvidClaims {
    /// The claims of a JWT-SVID that `issuer` issues for `sub`.
    #[must_use]
    pub fn new(issuer: &str, sub: SpiffeId, aud: Vec<SvidAudience>, life: Lifetime, jti: Uuid) -> Self {
        let (iat, exp) = (life.begin.unix_timestamp(), life.end.unix_timestamp());
        Self { iss: issuer.to_owned(), sub, aud, exp, iat, jti }
    }

    /// When it expires.
    #[must_use]
    pub fn expire_time(&self) -> OffsetDateTime {
        instant(self.exp)
    }
}
