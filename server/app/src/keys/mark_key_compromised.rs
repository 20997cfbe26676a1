//! MarkKeyCompromised: everything that a key signed is invalid, from one log index on. A key that is in use is replaced
//! at once.

use countersign_core::{credential::KeyStanding, revocation::RevocationKind, signing_key::SigningKeyRecord};
use countersign_ledger::leaf::{Decimal, Kind, Leaf};
use countersign_store::signing_key;
use serde::{Deserialize, Serialize};

use super::signing_keys::{activate, leaf_of, make_next, the};
use crate::{
    App, Error, Idempotency, OperatorCaller,
    engine::transaction::{Change, ChangeTx},
};

/// The key, and the reason.
#[derive(Debug, Clone)]
pub struct MarkKeyCompromised {
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// The reason, in words.
    pub reason: String,
    /// The key's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

/// A key that was declared compromised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCompromised {
    /// The key.
    pub key: SigningKeyRecord,
    /// The log index of the event: no ALLOW with a credential of this key comes after it.
    pub log_index: i64,
}

struct Mark<'a> {
    app: &'a App,
    caller: &'a OperatorCaller,
    command: &'a MarkKeyCompromised,
}

impl Change for Mark<'_> {
    const METHOD: &'static str = "MarkKeyCompromised";
    type Answer = KeyCompromised;

    fn stops(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<KeyCompromised, Error> {
        let (command, operator) = (self.command, Some(&self.caller.operator_id));
        let stored = signing_key::get(tx.conn(), &command.kid).await?;
        let mut key = stored.ok_or_else(|| Error::not_found("key", &command.kid))?.record;
        if command.etag.as_ref().is_some_and(|etag| *etag != key.etag()) {
            return Err(Error::EtagMismatch { what: "key" });
        }
        let before = key.state;
        key.compromise(tx.now()).map_err(|already| Error::IllegalTransition(already.to_string()))?;
        let seq = tx.revoke(RevocationKind::Key, key.kid.clone()).await?;
        signing_key::update(tx.conn(), &key).await?;
        let leaf = Leaf {
            revocation_seq: u64::try_from(seq).ok().map(Decimal),
            ..leaf_of(tx, Kind::KeyCompromised, &key, Some(before), operator)
        };
        let (log_index, _) = tx.append(leaf, &command.reason)?;
        // Nothing can be issued without a key, so there must be one again before this commits. That the next key signs
        // at once, however short it was published, is the lesser evil: servers ask for keys that they do not know.
        if before == KeyStanding::Active {
            let mut next = the(tx, KeyStanding::Next).await?;
            activate(tx, &mut next, operator, "").await?;
        }
        if matches!(before, KeyStanding::Active | KeyStanding::Next) {
            make_next(tx, &self.app.inner.engine.secrets, operator).await?;
        }
        Ok(KeyCompromised { key, log_index })
    }
}

impl App {
    /// Invalidates every token of a key, and replaces the key if it is in use. Final.
    pub async fn mark_key_compromised(
        &self,
        caller: &OperatorCaller,
        command: MarkKeyCompromised,
        idempotency: Option<Idempotency>,
    ) -> Result<KeyCompromised, Error> {
        let change = Mark { app: self, caller, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
