//! The keys of an identity provider: those of its JWK set that are public, for signatures, and of an accepted
//! algorithm; how many are read, and which one verifies a token (`kid`).

use countersign_core::json::{self, Rules};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

/// Limit of the keys that are read from a set.
const MAX_KEYS: usize = 64;
/// The algorithms of an RSA key that does not name one.
const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// One key, and its permitted algorithms.
pub(super) struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// The keys of a provider.
pub(super) struct Keys(Vec<Key>);

/// Why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// No key with this id is known; there may be newer ones.
    Unknown,
    /// The key exists, but not for this algorithm.
    Algorithm,
    /// The token names no key, and there are several.
    Unnamed,
}

impl Keys {
    /// Reads a JWK set. Keys that cannot be used are ignored; at least one must be usable.
    pub(super) fn parse(set: &[u8]) -> Result<Self, String> {
        let set = json::read(set, Rules::DOCUMENT).map_err(|error| format!("the JWK set cannot be used: {error}"))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("the JWK set has no list of keys")?;
        let keys: Vec<Key> = keys.iter().filter_map(read).take(MAX_KEYS).collect();
        if keys.is_empty() {
            return Err("the JWK set holds no public key that verifies signatures".to_owned());
        }
        Ok(Self(keys))
    }

    /// The key with which a token with this header must be verified.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, NoKey> {
        let named: Vec<&Key> = match (kid, self.0.as_slice()) {
            // If there is only one key, the token need not name it.
            (None, [only]) => vec![only],
            (Some(_), [only]) if only.kid.is_none() => vec![only],
            (None, _) => return Err(NoKey::Unnamed),
            (Some(_), keys) => keys.iter().filter(|key| key.kid.as_deref() == kid).collect(),
        };
        if named.is_empty() {
            return Err(NoKey::Unknown);
        }
        named.into_iter().find(|key| key.algorithms.contains(&algorithm)).ok_or(NoKey::Algorithm)
    }
}

/// A key of the set. `None` if it is not for verifying signatures, or not of an accepted kind.
fn read(jwk: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
    let common = &jwk.common;
    let for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|may| may.contains(&KeyOperations::Verify));
    let fitting = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA.to_vec(),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        _ => return None,
    };
    let algorithms = match &common.key_algorithm {
        None => fitting,
        Some(said) => fitting.into_iter().filter(|fits| said.to_string().parse() == Ok(*fits)).collect(),
    };
    if !for_signatures || !verifies || algorithms.is_empty() {
        return None;
    }
    Some(Key { kid: common.key_id.clone(), algorithms, decoding: DecodingKey::from_jwk(&jwk).ok()? })
}
