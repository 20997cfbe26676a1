//! Why a token is refused.

use super::{Verified, VerifiedReceipt};
use crate::decision::Reason;

/// Why a token is refused. The texts are constants: nothing of a token enters an error or a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal<T = Verified> {
    /// No token of the form that this server issues.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// A token of another kind.
    #[error("the token is of another kind: its typ is not {0}")]
    WrongKind(&'static str),
    /// Signature, issuer or claims do not hold.
    #[error("the token is invalid: {0}")]
    Invalid(&'static str),
    /// It says that it is of the expected issuer, and its key is not among the verifier's. Where keys are rotated this may
    /// be a fresh one: read the keys again, at most once a second, then verify once more.
    #[error("the token is invalid: its kid is not the id of a known key of this issuer")]
    UnknownKey,
    /// A token for someone else.
    #[error("the token is for another audience")]
    WrongAudience,
    /// The key that signed it is compromised. Anybody may have made this token, so nothing that it says is passed on.
    #[error("the key that signed the token is compromised")]
    KeyCompromised,
    /// All of it holds, but its time is over. What it says is true, so that the refusal can be put on record under the
    /// right name.
    #[error("the token has expired")]
    Expired(Box<T>),
    /// All of it holds, but its time is still to come by this clock: its issuer's is ahead, or this one is behind. As with
    /// [`Self::Expired`], what it says is true.
    #[error("the token's iat is in the future: the issuer's clock and this one differ")]
    Early(Box<T>),
}

/// Why a receipt is refused.
pub type ReceiptRefusal = Refusal<VerifiedReceipt>;

impl<T> Refusal<T> {
    /// The reason that goes on record.
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
