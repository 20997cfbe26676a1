//! The key-encryption key (and the previous one, which can still open) and what it protects: the cipher for signing
//! keys, the keyed hash for API secrets, and the code in an API secret that only this installation can make.
//!
//! Only ciphers are derived from the key-encryption key, so that it can be replaced: sealed texts are opened with the
//! previous key and sealed again with the new one ([`rewrap`](crate::keys::rewrap())). The hash key that older versions
//! derived for API secrets is stored at the first start of this version, and is sealed like the rest.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    constant_time::verify_slices_are_equal,
    hkdf, hmac,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::{
    api_key::ApiKeyId,
    clock::{Entropy, random},
    credential::KeyStanding,
};
use countersign_store::{operator, sealed, signing_key};
use zeroize::Zeroizing;

use super::transaction::ChangeTx;
use crate::Error;

/// Random bytes of an API secret; they are followed by the code over id and secret.
const RANDOM_PART: usize = 24;
const CODE_PART: usize = 8;
/// The name of the API hash key among the installation's secrets.
const API_HASH: &str = "api-hash";

/// Key-encryption keys: the one that seals, and during a replacement another one that can only open.
pub struct KeyEncryptionKeys {
    primary: KeyEncryptionKey,
    previous: Option<KeyEncryptionKey>,
}

struct KeyEncryptionKey {
    cipher: LessSafeKey,
    /// The key with which API secrets were hashed before that key was stored.
    derived_api_hash: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for KeyEncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyEncryptionKeys(..)")
    }
}

impl KeyEncryptionKey {
    fn new(key: &[u8; 32]) -> Result<Self, Error> {
        let seal = derive(key, b"countersign signing keys")?;
        let derived_api_hash = derive(key, b"countersign api secrets")?;
        let cipher = UnboundKey::new(&AES_256_GCM, &*seal).map_err(|error| Error::internal("no cipher", error))?;
        Ok(Self { cipher: LessSafeKey::new(cipher), derived_api_hash })
    }

    fn open(&self, name: &str, nonce: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut text = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self.cipher.open_in_place(nonce, Aad::from(name), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

impl KeyEncryptionKeys {
    /// From the 32 bytes of each key.
    pub fn new(primary: &[u8; 32], previous: Option<&[u8; 32]>) -> Result<Self, Error> {
        let previous = previous.map(KeyEncryptionKey::new).transpose()?;
        Ok(Self { primary: KeyEncryptionKey::new(primary)?, previous })
    }

    /// Encrypts; `name` is bound to the text, so that rows cannot be swapped. Returns nonce and ciphertext.
    pub(crate) fn seal(&self, name: &str, text: &[u8], entropy: &dyn Entropy) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let nonce = random::<NONCE_LEN>(entropy);
        let mut sealed = text.to_vec();
        self.primary
            .cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), &mut sealed)
            .map_err(|error| Error::internal("a secret cannot be encrypted", error))?;
        Ok((nonce.to_vec(), sealed))
    }

    /// The reverse of [`Self::seal`].
    pub(crate) fn open(&self, name: &str, nonce: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let keys = [Some(&self.primary), self.previous.as_ref()];
        let opened = keys.into_iter().flatten().find_map(|key| key.open(name, nonce, sealed));
        opened.ok_or_else(|| {
            let why = "what this database holds was encrypted under another key-encryption key: name that one, or name \
                       it as the previous one while it is being replaced";
            tracing::error!(name, "{why}");
            Error::NotReady(why.to_owned())
        })
    }

    /// Whether the primary key sealed this.
    pub(crate) fn is_current(&self, name: &str, nonce: &[u8], sealed: &[u8]) -> bool {
        self.primary.open(name, nonce, sealed).is_some()
    }

    /// The key that hashes this installation's API secrets. It is created at the first start; an older installation
    /// keeps the one that it derived, so that its API keys stay valid.
    async fn api_hash(&self, tx: &mut ChangeTx) -> Result<Zeroizing<Vec<u8>>, Error> {
        if let Some(stored) = sealed::secret(tx.conn(), API_HASH).await? {
            return self.open(API_HASH, &stored.nonce, &stored.text);
        }
        let active = signing_key::standing(tx.conn(), KeyStanding::Active).await?;
        let key = match active {
            Some(active) if operator::any(tx.conn()).await? => {
                let (kid, nonce, text) = (&active.record.kid, &active.private_nonce, &active.private_key);
                self.open(kid, nonce, text)?;
                let sealer = self.previous.as_ref().filter(|_| !self.is_current(kid, nonce, text));
                Zeroizing::new(sealer.unwrap_or(&self.primary).derived_api_hash.to_vec())
            }
            _ => Zeroizing::new(random::<32>(tx.entropy()).to_vec()),
        };
        let (nonce, text) = self.seal(API_HASH, &key, tx.entropy())?;
        sealed::insert_secret(tx.conn(), API_HASH, &nonce, &text).await?;
        Ok(key)
    }
}

/// The keys with which an installation's secrets are stored and compared.
pub(crate) struct Secrets {
    keys: KeyEncryptionKeys,
    api: hmac::Key,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// Reads the secrets under the key-encryption key, or creates them if there are none yet.
    pub(crate) async fn load(tx: &mut ChangeTx, keys: KeyEncryptionKeys) -> Result<Self, Error> {
        let api = hmac::Key::new(hmac::HMAC_SHA256, &keys.api_hash(tx).await?);
        Ok(Self { keys, api })
    }

    /// Like [`KeyEncryptionKeys::seal`].
    pub(crate) fn seal(&self, name: &str, text: &[u8], entropy: &dyn Entropy) -> Result<(Vec<u8>, Vec<u8>), Error> {
        self.keys.seal(name, text, entropy)
    }

    /// Like [`KeyEncryptionKeys::open`].
    pub(crate) fn open(&self, name: &str, nonce: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.keys.open(name, nonce, sealed)
    }

    /// The keyed hash under which an API secret is stored.
    pub(crate) fn api_hash(&self, secret: &str) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.api, secret.as_bytes()).as_ref());
        hash
    }

    /// A new secret for this key: 24 random bytes and the code over them, in base64url.
    pub(crate) fn fresh_secret(&self, id: ApiKeyId, entropy: &dyn Entropy) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; 32]);
        let (random_part, code) = bytes.split_at_mut(RANDOM_PART);
        random_part.copy_from_slice(&*Zeroizing::new(random::<RANDOM_PART>(entropy)));
        let whole = self.code(id, random_part);
        code.copy_from_slice(&whole.as_ref()[..code.len()]);
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
    }

    /// Whether [`Self::fresh_secret`] created this secret for this key.
    pub(crate) fn made(&self, id: ApiKeyId, secret: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(secret).map(Zeroizing::new) else { return false };
        let Some((random_part, code)) = bytes.split_at_checked(RANDOM_PART) else { return false };
        let whole = self.code(id, random_part);
        code.len() == CODE_PART && verify_slices_are_equal(code, &whole.as_ref()[..CODE_PART]).is_ok()
    }

    fn code(&self, id: ApiKeyId, random_part: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.api);
        // No secret that is hashed with this key begins like this.
        context.update(b"\0api key code\0");
        context.update(id.0.as_bytes());
        context.update(random_part);
        context.sign()
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

    fn keys(primary: u8, previous: Option<u8>) -> KeyEncryptionKeys {
        KeyEncryptionKeys::new(&[primary; 32], previous.map(|byte| [byte; 32]).as_ref()).unwrap()
    }

    #[test]
    fn a_sealed_key_opens_under_its_own_name_and_key_only() {
        let (nonce, sealed) = keys(7, None).seal("kid-1", b"private", &SystemEntropy).unwrap();
        assert_eq!(keys(7, None).open("kid-1", &nonce, &sealed).unwrap().as_slice(), b"private");
        assert!(keys(7, None).open("kid-2", &nonce, &sealed).is_err());
        assert!(keys(8, None).open("kid-1", &nonce, &sealed).is_err());
        assert!(keys(7, None).open("kid-1", &nonce[1..], &sealed).is_err());
    }

    #[test]
    fn a_previous_key_opens_and_seals_nothing() {
        let (nonce, sealed) = keys(7, None).seal("kid-1", b"private", &SystemEntropy).unwrap();
        let replaced = keys(8, Some(7));
        assert_eq!(replaced.open("kid-1", &nonce, &sealed).unwrap().as_slice(), b"private");
        assert!(!replaced.is_current("kid-1", &nonce, &sealed));
        let (nonce, sealed) = replaced.seal("kid-1", b"private", &SystemEntropy).unwrap();
        assert!(replaced.is_current("kid-1", &nonce, &sealed));
        assert!(
            keys(8, None).open("kid-1", &nonce, &sealed).is_ok()
                && keys(7, None).open("kid-1", &nonce, &sealed).is_err()
        );
    }

    #[test]
    fn a_secret_of_ours_is_known_by_its_code_and_no_other_is() {
        let secrets = |byte| Secrets { keys: keys(7, None), api: hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]) };
        let id = |byte| ApiKeyId(uuid::Uuid::from_bytes([byte; 16]));
        let secret = secrets(1).fresh_secret(id(1), &SystemEntropy);
        assert_eq!(secret.len(), 43);
        assert!(secrets(1).made(id(1), &secret));
        assert!(!secrets(2).made(id(1), &secret) && !secrets(1).made(id(2), &secret));
        for at in 0..43 {
            let mut other: Vec<char> = secret.chars().collect();
            other[at] = if other[at] == 'A' { 'E' } else { 'A' };
            assert!(!secrets(1).made(id(1), &other.into_iter().collect::<String>()), "{at}");
        }
        for wrong in ["", "x", "!", &"A".repeat(43), &"A".repeat(86)] {
            assert!(!secrets(1).made(id(1), wrong));
        }
    }

    #[test]
    fn an_api_secret_matches_its_own_hash_only() {
        let secrets = |byte| Secrets { keys: keys(7, None), api: hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]) };
        let hash = secrets(1).api_hash("s3cret");
        assert!(secrets(1).api_matches("s3cret", &hash) && !secrets(1).api_matches("s3creT", &hash));
        assert_ne!(hash, secrets(2).api_hash("s3cret"));
    }
}
