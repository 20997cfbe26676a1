//! The signing keys of a snapshot: those that verify, and the one that signs. Refuses a stored key that is not the one
//! it is stored as.

use std::sync::Arc;

use countersign_core::{
    credential::{KeySet, KeyStanding, SigningKey, VerifyingKey},
    signing_key::SigningKeyRecord,
};
use countersign_store::signing_key::StoredKey;

use crate::{Error, engine::secrets::Secrets};

/// The signing keys.
#[derive(Debug)]
pub(crate) struct KeyRing {
    /// Every key whose tokens may still be active, and every compromised one.
    pub(crate) verifying: KeySet,
    /// The key that signs.
    pub(crate) active: Arc<SigningKey>,
    /// The record of the key that signs.
    pub(crate) active_record: SigningKeyRecord,
    /// The record of the key that signs after the next rotation.
    pub(crate) next_record: SigningKeyRecord,
}

impl KeyRing {
    /// From every key that a verifier must know. A key with which `before` signs already is not decrypted again.
    pub(crate) fn new(stored: Vec<StoredKey>, before: Option<&Self>, secrets: &Secrets) -> Result<Self, Error> {
        let mut verifying = KeySet::default();
        let (mut active, mut next_record) = (None, None);
        for key in stored {
            verifying.insert(public(&key.record)?, key.record.state);
            match key.record.state {
                KeyStanding::Active => active = Some((signing(&key, before, secrets)?, key.record)),
                KeyStanding::Next => next_record = Some(key.record),
                KeyStanding::Retired | KeyStanding::Compromised => {}
            }
        }
        let missing = |which| Error::internal("a signing key is missing: start the server once", which);
        let (active, active_record) = active.ok_or_else(|| missing("active"))?;
        let next_record = next_record.ok_or_else(|| missing("next"))?;
        Ok(Self { verifying, active, active_record, next_record })
    }
}

pub(crate) fn public(record: &SigningKeyRecord) -> Result<VerifyingKey, Error> {
    let jwk =
        serde_json::from_str(&record.public_jwk).map_err(|error| Error::internal("a signing key is no JWK", error))?;
    let public = VerifyingKey::from_jwk(&jwk).map_err(|error| Error::internal("a signing key is invalid", error))?;
    if public.kid() == record.kid {
        Ok(public)
    } else {
        Err(Error::internal("a signing key is not the one it is stored as", &record.kid))
    }
}

fn signing(key: &StoredKey, before: Option<&KeyRing>, secrets: &Secrets) -> Result<Arc<SigningKey>, Error> {
    let kid = &key.record.kid;
    if let Some(known) = before.map(|ring| &ring.active).filter(|known| known.kid() == kid) {
        return Ok(known.clone());
    }
    let der = secrets.open(kid, &key.private_nonce, &key.private_key)?;
    let signing =
        SigningKey::from_pkcs8(&der).map_err(|error| Error::internal("a signing key cannot be used", error))?;
    if signing.kid() == kid {
        Ok(Arc::new(signing))
    } else {
        Err(Error::internal("a signing key's halves do not match", kid))
    }
}
