//! `countersign key rewrap`: seals everything again with the primary key-encryption key.

use std::sync::Arc;

use countersign_core::clock::{Clock, Entropy};
use countersign_ledger::leaf::{Decimal, Figure, Kind, Leaf, Subject};
use countersign_store::{
    Store, event,
    sealed::{self, Sealed},
};
use time::Duration;

use crate::{Error, KeyEncryptionKeys, engine::transaction::ChangeTx};

/// How many texts there are, and how many were sealed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrapped {
    /// Sealed with the previous key before, and with the primary one now.
    pub resealed: u64,
    /// Already sealed with the primary key.
    pub current: u64,
}

/// Seals again everything that the primary key did not seal, completely or not at all. Servers may run meanwhile if
/// they know both keys. A second call changes nothing.
pub async fn rewrap(
    store: &Store,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    keys: &KeyEncryptionKeys,
) -> Result<Rewrapped, Error> {
    let mut conn = store.writing().await?;
    event::ensure_partitions(&mut conn, clock.now() - Duration::DAY, 2).await?;
    conn.done().await?;
    let mut tx = ChangeTx::begin(store, clock, entropy).await?;
    tx.ensure_time_is_known()?;
    let mut done = Rewrapped { resealed: 0, current: 0 };
    let all = sealed::list(tx.conn()).await?;
    if all.is_empty() {
        return Err(Error::NotReady("no server was ever started on this database".to_owned()));
    }
    for old in all {
        if keys.is_current(&old.name, &old.nonce, &old.text) {
            done.current += 1;
            continue;
        }
        let secret = keys.open(&old.name, &old.nonce, &old.text)?;
        let (nonce, text) = keys.seal(&old.name, &secret, tx.entropy())?;
        sealed::update(tx.conn(), &Sealed { nonce, text, ..old }).await?;
        done.resealed += 1;
    }
    if done.resealed > 0 {
        let leaf = Leaf {
            figures: vec![Figure { name: "resealed".into(), value: Decimal(done.resealed) }],
            subject: Some(Subject { id: None, kind: "key_encryption_key".into() }),
            ..tx.own_leaf(Kind::KeysRewrapped)
        };
        tx.append(leaf, "")?;
        tx.finish().await?;
    }
    Ok(done)
}
