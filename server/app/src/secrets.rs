//! What is derived from the key-encryption key: the cipher over signing keys, and the keyed hash of API secrets.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac,
};
use countersign_core::clock::{Entropy, random};
use zeroize::Zeroizing;

use crate::Error;

/// The key-encryption key, split into one key for each use.
pub struct Secrets {
    seal: LessSafeKey,
    api: hmac::Key,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// From the 32 bytes of the key-encryption key.
    pub fn new(key_encryption_key: &[u8; 32]) -> Result<Self, Error> {
        let seal = derive(key_encryption_key, b"countersign signing keys")?;
        let api = derive(key_encryption_key, b"countersign api secrets")?;
        let seal = UnboundKey::new(&AES_256_GCM, &*seal).map_err(|error| Error::internal("no cipher", error))?;
        Ok(Self { seal: LessSafeKey::new(seal), api: hmac::Key::new(hmac::HMAC_SHA256, &*api) })
    }

    /// Encrypts; `name` is bound to the text, so that rows cannot be swapped. Returns nonce and cipher text.
    pub(crate) fn seal(&self, name: &str, text: &[u8], entropy: &dyn Entropy) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let nonce = random::<NONCE_LEN>(entropy);
        let mut sealed = text.to_vec();
        self.seal
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), &mut sealed)
            .map_err(|error| Error::internal("a signing key cannot be encrypted", error))?;
        Ok((nonce.to_vec(), sealed))
    }

    /// Undoes [`Self::seal`].
    pub(crate) fn open(&self, name: &str, nonce: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let wrong = |error| {
            Error::internal(
                "a signing key cannot be decrypted: is this the key-encryption key that it was stored under?",
                error,
            )
        };
        let mut text = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(wrong)?;
        let length = self.seal.open_in_place(nonce, Aad::from(name), &mut text).map_err(wrong)?.len();
        text.truncate(length);
        Ok(text)
    }

    /// The keyed hash under which an API secret is stored.
    pub(crate) fn api_hash(&self, secret: &str) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.api, secret.as_bytes()).as_ref());
        hash
    }

    /// Whether `secret` has this hash, in constant time.
    pub(crate) fn api_matches(&self, secret: &str, hash: &[u8; 32]) -> bool {
        hmac::verify(&self.api, secret.as_bytes(), hash).is_ok()
    }
}

fn derive(key: &[u8; 32], purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut derived = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(key)
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *derived))
        .map_err(|error| Error::internal("no key derivation", error))?;
    Ok(derived)
}

#[cfg(test)]
mod tests {
    use countersign_core::clock::SystemEntropy;

    use super::*;

    #[test]
    fn a_sealed_key_opens_under_its_own_name_and_key_only() {
        let secrets = Secrets::new(&[7; 32]).unwrap();
        let (nonce, sealed) = secrets.seal("kid-1", b"private", &SystemEntropy).unwrap();
        assert_eq!(secrets.open("kid-1", &nonce, &sealed).unwrap().as_slice(), b"private");
        assert!(secrets.open("kid-2", &nonce, &sealed).is_err());
        assert!(Secrets::new(&[8; 32]).unwrap().open("kid-1", &nonce, &sealed).is_err());
        assert!(secrets.open("kid-1", &nonce[1..], &sealed).is_err());
    }

    #[test]
    fn an_api_secret_matches_its_own_hash_only() {
        let secrets = Secrets::new(&[7; 32]).unwrap();
        let hash = secrets.api_hash("s3cret");
        assert!(secrets.api_matches("s3cret", &hash) && !secrets.api_matches("s3creT", &hash));
        assert_ne!(hash, Secrets::new(&[8; 32]).unwrap().api_hash("s3cret"));
    }
}
