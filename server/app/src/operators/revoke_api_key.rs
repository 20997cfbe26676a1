//! RevokeApiKey: revokes a key at once, unless it is the last one that lets an admin in.

use countersign_core::api_key::{ApiKey, ApiKeyId};
use countersign_ledger::leaf::{Kind, Leaf};
use countersign_store::api_key::{self, Except};
use serde::{Deserialize, Serialize};

use super::{create_api_key::subject, last_admin::ensure_another_admin};
use crate::{
    App, Error, Idempotency, OperatorCaller,
    engine::transaction::{Change, ChangeTx, kept_log_index},
};

/// The key, and the reason.
#[derive(Debug, Clone)]
pub struct RevokeApiKey {
    /// The key's id.
    pub key_id: ApiKeyId,
    /// The reason, in words.
    pub reason: Option<String>,
    /// The key's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

/// A key that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct ApiKeyRevoked {
    /// The key.
    #[serde(flatten)]
    pub key: ApiKey,
    /// The log index of the event. 0 in an answer that an earlier version stored.
    pub log_index: i64,
}

impl TryFrom<serde_json::Value> for ApiKeyRevoked {
    type Error = serde_json::Error;
    fn try_from(kept: serde_json::Value) -> Result<Self, serde_json::Error> {
        let log_index = kept_log_index(&kept);
        Ok(Self { key: serde_json::from_value(kept)?, log_index })
    }
}

/// A key that this caller revokes.
struct Revoke<'a> {
    caller: &'a OperatorCaller,
    /// Whether an administrator can log in without a key.
    others_admit: bool,
    command: &'a RevokeApiKey,
}

impl Change for Revoke<'_> {
    const METHOD: &'static str = "RevokeApiKey";
    type Answer = ApiKeyRevoked;

    fn stops(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<ApiKeyRevoked, Error> {
        let RevokeApiKey { key_id, reason, etag } = self.command;
        let found = api_key::get(tx.conn(), *key_id).await?;
        let key = found.ok_or_else(|| Error::not_found("API key", key_id))?.key;
        if etag.as_ref().is_some_and(|etag| *etag != key.etag()) {
            return Err(Error::EtagMismatch { what: "API key" });
        }
        let (now, earliest) = (tx.now(), tx.earliest());
        if !key.is_alive(earliest) {
            let how = if key.revoke_time.is_some() { "is already revoked" } else { "has already expired" };
            return Err(Error::IllegalTransition(format!("API key {key_id} {how}")));
        }
        if key.admits_an_admin(earliest) {
            ensure_another_admin(tx, self.others_admit, Except::Key(*key_id)).await?;
        }
        api_key::revoke(tx.conn(), *key_id, now).await?;
        // A server does not use a cached key that it looked up at an earlier epoch.
        tx.changes_authority();
        let leaf = Leaf {
            state_before: Some("ACTIVE".into()),
            state_after: Some("REVOKED".into()),
            subject: Some(subject(*key_id)),
            ..tx.leaf(Kind::OperatorKeyRevoked, &self.caller.operator_id)
        };
        let (log_index, _) = tx.append(leaf, reason.as_deref().unwrap_or_default())?;
        Ok(ApiKeyRevoked { key: ApiKey { revoke_time: Some(now), ..key }, log_index })
    }
}

impl App {
    /// Revokes a key. When this returns, the key is refused at this server, and within a quarter of a second at all
    /// servers.
    pub async fn revoke_api_key(
        &self,
        caller: &OperatorCaller,
        command: RevokeApiKey,
        idempotency: Option<Idempotency>,
    ) -> Result<ApiKeyRevoked, Error> {
        let others_admit = self.inner.engine.config.operators.admit_an_admin();
        let change = Revoke { caller, others_admit, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_an_earlier_version_kept_are_read() {
        let kept = r#"{"key_id":"01890a5dac96774bbcceb302099a8057","operator_id":"gustav","roles":["gate"],
            "create_time":1700000000000000,"expire_time":null,"revoke_time":1700000000000001}"#;
        let before: ApiKeyRevoked = serde_json::from_str(kept).unwrap();
        assert_eq!((before.log_index, before.key.operator_id.as_str()), (0, "gustav"));
        let now = ApiKeyRevoked { log_index: 7, ..before };
        let read: ApiKeyRevoked = serde_json::from_str(&serde_json::to_string(&now).unwrap()).unwrap();
        assert_eq!(read, now);
    }
}
