//! RevokeApiKey: ends a key at once.

use countersign_core::api_key::{ApiKey, ApiKeyId};
use countersign_ledger::leaf::{Kind, Leaf};
use countersign_store::api_key;

use crate::{
    App, Error, Idempotency, OperatorCaller,
    change::{Change, ChangeTx},
    create_api_key::subject,
};

/// Which key, and why.
#[derive(Debug, Clone)]
pub struct RevokeApiKey {
    /// Which.
    pub key_id: ApiKeyId,
    /// Why, in words.
    pub reason: Option<String>,
    /// The key's etag as last read; none: no check.
    pub etag: Option<String>,
}

/// A key that is ended by this caller.
struct Revoke<'a> {
    caller: &'a OperatorCaller,
    /// Whether an admin can come in without any key.
    others_admit: bool,
    command: &'a RevokeApiKey,
}

impl Change for Revoke<'_> {
    const METHOD: &'static str = "RevokeApiKey";
    type Answer = ApiKey;

    fn stops(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<ApiKey, Error> {
        let RevokeApiKey { key_id, reason, etag } = self.command;
        let found = api_key::get(tx.conn(), *key_id).await?;
        let key = found.ok_or_else(|| Error::not_found("API key", key_id))?.key;
        if etag.as_ref().is_some_and(|etag| *etag != key.etag()) {
            return Err(Error::EtagMismatch { what: "API key" });
        }
        let (now, earliest) = (tx.now(), tx.earliest());
        if !key.is_alive(earliest) {
            let how = if key.revoke_time.is_some() { "was revoked" } else { "has expired" };
            return Err(Error::IllegalTransition(format!("API key {key_id} {how} already and admits nobody")));
        }
        let needed = !self.others_admit && key.admits_an_admin(earliest);
        if needed && !api_key::another_admits_an_admin(tx.conn(), (Some(*key_id), None), earliest).await? {
            return Err(Error::IllegalTransition(format!(
                "API key {key_id} is the last one that admits an admin, and without it nobody could make another: make \
                 another admin's key first. Where this one is in wrong hands, whoever runs the server can make one \
                 with `countersign operator recover`"
            )));
        }
        api_key::revoke(tx.conn(), *key_id, now).await?;
        // No server takes a key for known that it looked up at an earlier epoch.
        tx.changes_authority();
        let leaf = Leaf {
            state_before: Some("ACTIVE".into()),
            state_after: Some("REVOKED".into()),
            subject: Some(subject(*key_id)),
            ..tx.leaf(Kind::OperatorKeyRevoked, &self.caller.operator_id)
        };
        tx.append(leaf, reason.as_deref().unwrap_or_default())?;
        Ok(ApiKey { revoke_time: Some(now), ..key })
    }
}

impl App {
    /// Ends a key. When this returns it admits nobody at this server, and within a quarter of a second at none.
    pub async fn revoke_api_key(
        &self,
        caller: &OperatorCaller,
        command: RevokeApiKey,
        idempotency: Option<Idempotency>,
    ) -> Result<ApiKey, Error> {
        let others_admit = self.inner.config.operators.admit_an_admin();
        let change = Revoke { caller, others_admit, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
