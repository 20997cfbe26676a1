//! Why a token is refused (malformed, another kind, invalid, unknown key, wrong audience, compromised key, expired,
//! early), and the reason that is recorded for each.

use super::{Verified, VerifiedReceipt};
use crate::decision::Reason;

/// Why a token is refused. The texts are constants, so no part of a token gets into an error or a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal<T = Verified> {
    /// Not a token in the form that this server issues.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// A token of another kind.
    #[error("the token is of another kind: its typ is not {0}")]
    WrongKind(&'static str),
    /// Signature, issuer or claims are not valid.
    #[error("the token is invalid: {0}")]
    Invalid(&'static str),
    /// It claims the expected issuer, but the verifier does not have its key. It may be a new key: read the keys again,
    /// at most once a second, then verify once more.
    #[error("the token is invalid: its kid is not the id of a known key of this issuer")]
    UnknownKey,
    /// A token for another audience.
    #[error("the token is for another audience")]
    WrongAudience,
    /// The key that signed it is compromised. Any party may have made this token, so none of its content is passed on.
    #[error("the key that signed the token is compromised")]
    KeyCompromised,
    /// Everything is valid, but it has expired. Its content is true, so the refusal can be recorded under the right
    /// name.
    #[error("the token has expired")]
    Expired(Box<T>),
    /// Everything is valid, but by this clock it is not valid yet: the issuer's clock is ahead, or this one is behind.
    /// Its content is true, as with [`Self::Expired`].
    #[error("the token's iat is in the future: the issuer's clock and this one differ")]
    Early(Box<T>),
}

/// Why a receipt is refused.
pub type ReceiptRefusal = Refusal<VerifiedReceipt>;

impl<T> Refusal<T> {
    /// The reason that is recorded.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::CredentialMalformed,
            Self::WrongKind(_) => Reason::CredentialWrongKind,
            Self::Invalid(_) | Self::UnknownKey | Self::Early(_) => Reason::CredentialInvalid,
            Self::WrongAudience => Reason::CredentialWrongAudience,
            Self::KeyCompromised => Reason::CredentialRevoked,
            Self::Expired(_) => Reason::CredentialExpired,
        }
    }
}
