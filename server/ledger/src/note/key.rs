//! The keys that verify notes (Ed25519): their text form `name+id+key` (vkey), and their names and ids in signature
//! lines.

use std::fmt;

use aws_lc_rs::{
    digest::{Context, SHA256},
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::merkle::finish;

/// The signature type of Ed25519 in C2SP signed-note.
const ED25519_TYPE: u8 = 1;
/// Longest verifier key, bytes.
const MAX_KEY_BYTES: usize = 1024;

/// Why something is not a verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, or has a space, a control character or a plus sign.
    #[error("the name of a note's key is not empty and has no space, control character or plus sign")]
    Name,
    /// Not the three parts of a verifier key.
    #[error("a verifier key is a name, 8 lower-case hexadecimal digits and base64, with plus signs between them")]
    Form,
    /// The key is of another algorithm.
    #[error("a verifier key must be of type 1 (Ed25519) and have 32 bytes")]
    Type,
    /// The id is not that of the name and the key.
    #[error("the id of the verifier key is not the hash of its name and its public key")]
    Id,
}

/// The public key of a signer of notes, with its name: a "vkey", `name+id+key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    public: [u8; 32],
}

impl VerifierKey {
    /// The key of `public`, an Ed25519 public key, as `name`.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        let mut hash = Context::new(&SHA256);
        for part in [name.as_bytes(), &[b'\n', ED25519_TYPE], &public] {
            hash.update(part);
        }
        let [a, b, c, d, ..] = finish(hash);
        Ok(Self { name: name.to_owned(), id: u32::from_be_bytes([a, b, c, d]), public })
    }

    /// The key that verifies what `pair` signs as `name`.
    pub fn of(name: &str, pair: &Ed25519KeyPair) -> Result<Self, KeyError> {
        Self::new(name, pair.public_key().as_ref().try_into().map_err(|_| KeyError::Type)?)
    }

    /// Reads `name+id+key`, in the only spelling.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyError::Form);
        }
        let blob = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
        let Some((&ED25519_TYPE, public)) = blob.split_first() else { return Err(KeyError::Type) };
        let key = Self::new(name, public.try_into().map_err(|_| KeyError::Type)?)?;
        if format!("{:08x}", key.id) == id { Ok(key) } else { Err(KeyError::Id) }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id: the first four bytes of a hash of name, type and key.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(text, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = STANDARD.encode([&[ED25519_TYPE][..], &self.public].concat());
        write!(f, "{}+{:08x}+{blob}", self.name, self.id)
    }
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c < ' ' || c == '+')
}
