//! The public keys that a verifier knows (JWKS): how many keys and bytes a set may have, the states of a key (next,
//! active, retired, compromised), and which keys are published.

use std::{collections::HashMap, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{KeyError, VerifyingKey};
use crate::json::{self, Rules};

/// Limit of the keys in a set that comes from outside.
const MAX_KEYS: usize = 64;
/// Size limit of a key set that comes from outside, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStanding {
    /// Published, and will sign soon. Its signatures are valid, because another replica may already use it.
    Next,
    /// Signs now.
    Active,
    /// No longer signs; verifies until its last token has expired.
    Retired,
    /// Known to others: none of its signatures is valid, and no event may be attributed to the instance that such a
    /// token names.
    Compromised,
}

impl KeyStanding {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Next, Self::Active, Self::Retired, Self::Compromised];

    /// Its name as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Compromised => "compromised",
        }
    }
}

impl FromStr for KeyStanding {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == text).ok_or(())
    }
}

/// A key of a set.
#[derive(Debug, Clone)]
struct KnownKey {
    key: VerifyingKey,
    standing: KeyStanding,
}

/// Keys by `kid`. An empty set verifies nothing.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: HashMap<String, KnownKey>,
}

impl KeySet {
    /// Reads a published JWK set. Keys of other kinds and uses are ignored (RFC 7517, section 5). A key for ES256
    /// signatures that is invalid makes the whole set invalid, and so does a duplicate `kid`.
    ///
    /// A set does not say which key is active: all of them verify, and compromised ones are not published.
    pub fn from_jwks(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_BYTES {
            return Err(KeyError::KeySet("it is longer than 64 KiB"));
        }
        let set = json::read(text.as_bytes(), Rules::DOCUMENT)
            .map_err(|_| KeyError::KeySet("it is not JSON, or a key occurs twice"))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(KeyError::KeySet("keys must be an array"))?;
        if keys.len() > MAX_KEYS {
            return Err(KeyError::KeySet("it holds more than 64 keys"));
        }
        let mut known = Self::default();
        for jwk in keys.iter().filter(|jwk| jwk["alg"] == super::key::ALG && jwk["use"] == "sig") {
            let key = VerifyingKey::from_jwk(jwk)?;
            if known.insert(key, KeyStanding::Active).is_some() {
                return Err(KeyError::KeySet("a kid occurs twice"));
            }
        }
        Ok(known)
    }

    /// Adds a key, or changes its state. Returns the earlier state.
    pub fn insert(&mut self, key: VerifyingKey, standing: KeyStanding) -> Option<KeyStanding> {
        self.keys.insert(key.kid().to_owned(), KnownKey { key, standing }).map(|before| before.standing)
    }

    /// The key with this id, and its state.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<(&VerifyingKey, KeyStanding)> {
        self.keys.get(kid).map(|known| (&known.key, known.standing))
    }

    /// The JWK set to publish: every key that is not compromised, by `kid`.
    #[must_use]
    pub fn to_jwks(&self) -> Value {
        let mut keys: Vec<_> = self.keys.values().filter(|known| known.standing != KeyStanding::Compromised).collect();
        keys.sort_by_key(|known| known.key.kid());
        json!({ "keys": keys.iter().map(|known| known.key.to_jwk()).collect::<Vec<_>>() })
    }
}
