//! Signing keys: ECDSA on P-256 with SHA-256 (ES256), and no other kind. This file decides the id of a key (`kid`, its
//! RFC 7638 thumbprint), and which PKCS#8 and JWK are accepted.

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    pkcs8::Document,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, Serialize};

/// The only algorithm. It belongs to the key; a token's header is only compared with it.
pub(super) const ALG: &str = "ES256";

/// Why a key could not be made, read or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The cryptographic library failed; a caller cannot fix the cause.
    #[error("the cryptographic library could not make, write or use a P-256 key")]
    Crypto,
    /// The private key cannot be read.
    #[error("not a PKCS#8 private key on P-256")]
    Pkcs8,
    /// The public key cannot be read.
    #[error("not a JWK of a P-256 key for ES256 signatures: {0}")]
    Jwk(&'static str),
    /// The key set cannot be read.
    #[error("not a JWK set: {0}")]
    KeySet(&'static str),
}

/// A private key that signs credentials and receipts. Its memory is wiped when it is dropped, and `Debug` shows only
/// the `kid`.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key from the system's generator.
    pub fn generate() -> Result<Self, KeyError> {
        Self::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError::Crypto)?)
    }

    /// Reads a key that [`Self::to_pkcs8`] wrote.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Self::new(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(|_| KeyError::Pkcs8)?)
    }

    fn new(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let public = VerifyingKey::from_point(pair.public_key().as_ref())?;
        Ok(Self { pair, public })
    }

    /// The private key as PKCS#8 DER, unencrypted: seal it before you store it. The document wipes itself when it is
    /// dropped.
    pub fn to_pkcs8(&self) -> Result<Document, KeyError> {
        self.pair.to_pkcs8v1().map_err(|_| KeyError::Crypto)
    }

    /// The key's id: its RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// The public half.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The signature of `message`, 64 bytes: r and s, big-endian.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Crypto)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// A public key that verifies credentials and receipts. It is a point on the curve that was parsed once.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    kid: String,
    jwk: Jwk,
    key: ParsedPublicKey,
}

/// The JWK of a published key. `alg`, `use` and `kid` are always present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Jwk {
    alg: String,
    crv: String,
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    usage: String,
    x: String,
    y: String,
}

impl VerifyingKey {
    /// From an uncompressed point: 0x04, x, y.
    fn from_point(point: &[u8]) -> Result<Self, KeyError> {
        let (x, y) = match point.split_first() {
            Some((4, coordinates)) if coordinates.len() == 64 => coordinates.split_at(32),
            _ => return Err(KeyError::Jwk("the point is not an uncompressed one of P-256")),
        };
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map_err(|_| KeyError::Jwk("the point does not lie on P-256"))?;
        let (x, y) = (BASE64URL.encode(x), BASE64URL.encode(y));
        let kid = thumbprint(&x, &y);
        let jwk = Jwk {
            alg: ALG.to_owned(),
            crv: "P-256".to_owned(),
            kid: kid.clone(),
            kty: "EC".to_owned(),
            usage: "sig".to_owned(),
            x,
            y,
        };
        Ok(Self { kid, jwk, key })
    }

    /// Reads a public JWK: `kty` EC, `crv` P-256, `alg` ES256, `use` sig, and a `kid` that is the key's RFC 7638
    /// thumbprint. Unknown members are ignored (RFC 7517).
    pub fn from_jwk(jwk: &serde_json::Value) -> Result<Self, KeyError> {
        if jwk.get("d").is_some() {
            return Err(KeyError::Jwk("it holds a private key"));
        }
        let jwk =
            Jwk::deserialize(jwk).map_err(|_| KeyError::Jwk("kty, crv, x, y, alg, use and kid must be strings"))?;
        let coordinate = |text: &str| BASE64URL.decode(text).ok().filter(|bytes| bytes.len() == 32);
        let (Some(x), Some(y)) = (coordinate(&jwk.x), coordinate(&jwk.y)) else {
            return Err(KeyError::Jwk("x and y must be 32 bytes in base64url without padding"));
        };
        let key = Self::from_point(&[&[4], x.as_slice(), y.as_slice()].concat())?;
        if key.jwk != jwk {
            return Err(KeyError::Jwk(
                "kty must be EC, crv P-256, alg ES256, use sig, and kid the RFC 7638 thumbprint",
            ));
        }
        Ok(key)
    }

    /// The key's id: its RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public JWK, with `alg`, `use` and `kid`.
    #[must_use]
    pub fn to_jwk(&self) -> serde_json::Value {
        serde_json::json!(self.jwk)
    }

    /// Whether `signature` is a signature of this key over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

/// The RFC 7638 thumbprint: SHA-256 of the required members in lexicographic order, without spaces.
fn thumbprint(x: &str, y: &str) -> String {
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    BASE64URL.encode(digest(&SHA256, members.as_bytes()))
}
