//! ConfirmApiKey: a second person, not the one who created it, confirms a key, so that its owner can use it.

use countersign_core::{
    api_key::{ApiKey, ApiKeyId},
    four_eyes::second_person,
};
use countersign_ledger::leaf::{Change as LeafChange, Leaf};
use countersign_store::{api_key, person};

use super::{FourEyes, changed};
use crate::{
    App, Error, Idempotency, OperatorCaller,
    engine::transaction::{Change, ChangeTx},
    operators::create_api_key::{PENDING, subject},
};

/// The key, and the reason.
#[derive(Debug, Clone)]
pub struct ConfirmApiKey {
    /// The key's id.
    pub key_id: ApiKeyId,
    /// The reason, in words.
    pub reason: String,
    /// The key's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

struct ConfirmBy<'a> {
    caller: &'a OperatorCaller,
    four_eyes: FourEyes,
    command: &'a ConfirmApiKey,
}

impl Change for ConfirmBy<'_> {
    const METHOD: &'static str = "ConfirmApiKey";
    type Answer = ApiKey;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<ApiKey, Error> {
        let ConfirmApiKey { key_id, reason, etag } = self.command;
        let found = api_key::get(tx.conn(), *key_id).await?;
        let key = found.ok_or_else(|| Error::not_found("API key", key_id))?.key;
        if etag.as_ref().is_some_and(|etag| *etag != key.etag()) {
            return Err(Error::EtagMismatch { what: "API key" });
        }
        let now = tx.now();
        if !key.is_alive(now) {
            return Err(Error::IllegalTransition(format!(
                "API key {key_id} was revoked or has expired, and cannot be confirmed"
            )));
        }
        if key.confirmed {
            return Ok(key);
        }
        let by = &self.caller.operator_id;
        let rule = match &key.made_by {
            Some(maker) if !self.caller.anonymous => {
                let (actor, maker) = (tx.login(by).await?, tx.login(maker).await?);
                second_person(&actor, &[maker])
            }
            _ => Ok(()),
        };
        let alone = self.four_eyes.hold(rule)?;
        api_key::confirm(tx.conn(), *key_id).await?;
        // A server does not use a cached key that it looked up at an earlier epoch.
        tx.changes_authority();
        person::note_two(tx.conn(), now).await?;
        let leaf = changed(tx, by, alone);
        let mut changes = leaf.changes;
        changes.push(LeafChange {
            field: "standing".into(),
            before: Some(PENDING.into()),
            after: Some("CONFIRMED".into()),
        });
        let leaf = Leaf { changes, subject: Some(subject(*key_id)), ..leaf };
        let (log_index, _) = tx.append(leaf, reason)?;
        let login = tx.login(&key.operator_id).await?;
        tx.tell_of_login("key_confirmed", &login, by, log_index)?;
        Ok(ApiKey { confirmed: true, ..key })
    }
}

impl App {
    /// Confirms a key, so that its owner can use it.
    pub async fn confirm_api_key(
        &self,
        caller: &OperatorCaller,
        command: ConfirmApiKey,
        idempotency: Option<Idempotency>,
    ) -> Result<ApiKey, Error> {
        let change = ConfirmBy { caller, four_eyes: self.inner.engine.config.four_eyes, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
