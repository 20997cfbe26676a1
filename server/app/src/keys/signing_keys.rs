//! The steps of a signing key's life (made, activated), each with its event, and ListSigningKeys.

use countersign_core::{
    credential::{KeyStanding, SigningKey},
    names::OperatorId,
    signing_key::SigningKeyRecord,
};
use countersign_ledger::leaf::{Kind, Leaf, Subject};
use countersign_store::signing_key::{self, StoredKey};

use crate::{
    App, Error, Page, PageRequest,
    engine::{secrets::Secrets, transaction::ChangeTx},
};

/// Creates the key that will sign after the next rotation. It is published from the commit on.
pub(crate) async fn make_next(
    tx: &mut ChangeTx,
    secrets: &Secrets,
    operator: Option<&OperatorId>,
) -> Result<SigningKeyRecord, Error> {
    let key = SigningKey::generate().map_err(|error| Error::internal("no signing key can be made", error))?;
    let der = key.to_pkcs8().map_err(|error| Error::internal("a signing key cannot be written", error))?;
    let (private_nonce, private_key) = secrets.seal(key.kid(), der.as_ref(), tx.entropy())?;
    let record = SigningKeyRecord {
        kid: key.kid().to_owned(),
        state: KeyStanding::Next,
        public_jwk: key.verifying_key().to_jwk().to_string(),
        create_time: tx.now(),
        activate_time: None,
        retire_time: None,
    };
    tx.changes_authority();
    let stored = StoredKey { record, private_nonce, private_key };
    signing_key::insert(tx.conn(), &stored).await?;
    let leaf = leaf_of(tx, Kind::KeyCreated, &stored.record, None, operator);
    tx.append(leaf, "")?;
    Ok(stored.record)
}

/// Lets the next key sign.
pub(crate) async fn activate(
    tx: &mut ChangeTx,
    key: &mut SigningKeyRecord,
    operator: Option<&OperatorId>,
    reason: &str,
) -> Result<(), Error> {
    let before = key.state;
    key.activate(tx.now());
    tx.changes_authority();
    signing_key::update(tx.conn(), key).await?;
    let leaf = leaf_of(tx, Kind::KeyActivated, key, Some(before), operator);
    tx.append(leaf, reason)?;
    Ok(())
}

/// The key in this state: there is always one that is active and one that is next.
pub(crate) async fn the(tx: &mut ChangeTx, state: KeyStanding) -> Result<SigningKeyRecord, Error> {
    let key = signing_key::standing(tx.conn(), state).await?;
    let missing = || Error::internal("a signing key is missing: start the server once", state.as_str());
    Ok(key.ok_or_else(missing)?.record)
}

/// The leaf of an event about `key`.
pub(crate) fn leaf_of(
    tx: &ChangeTx,
    kind: Kind,
    key: &SigningKeyRecord,
    before: Option<KeyStanding>,
    operator: Option<&OperatorId>,
) -> Leaf<'static> {
    let code = |state: KeyStanding| state.as_str().to_ascii_uppercase().into();
    let by = operator.map_or_else(|| tx.own_leaf(kind), |operator| tx.leaf(kind, operator));
    Leaf {
        subject: Some(Subject { id: Some(key.kid.clone().into()), kind: "key".into() }),
        state_before: before.map(code),
        state_after: Some(code(key.state)),
        ..by
    }
}

impl App {
    /// One page of keys, newest first. Keys that retired long ago are kept, so that what they signed can be verified.
    pub async fn list_signing_keys(
        &self,
        state: Option<KeyStanding>,
        page: PageRequest,
    ) -> Result<Page<SigningKeyRecord>, Error> {
        Ok(signing_key::list(&mut *self.inner.engine.store.for_reads().connection().await?, state, &page).await?)
    }
}
