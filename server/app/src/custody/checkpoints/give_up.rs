//! `countersign log recover`: gives up published checkpoints that the database is behind of, after a backup was
//! restored and the rest is lost. This is recorded in the log.

use std::sync::Arc;

use countersign_core::clock::{Clock, Entropy};
use countersign_ledger::{
    checkpoint::Checkpoint,
    leaf::{Decimal, Digest, Figure, Kind, Leaf},
};
use countersign_store::{
    Store,
    checkpoint::{self, Override},
    event,
};
use time::Duration;

use super::{log_key::LogKey, place::CheckpointPlace, publish::root_at};
use crate::{Error, KeyEncryptionKeys, engine::transaction::ChangeTx, operators::recover_admin::of_this_installation};

/// Gives up the checkpoint in the second place, if the database does not continue it, so that servers start again. Returns
/// how many events are given up, and the log index of the record.
pub async fn recover_log(
    store: &Store,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    keys: KeyEncryptionKeys,
    place: &dyn CheckpointPlace,
    reason: &str,
) -> Result<(u64, i64), Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::NotReady(format!("the checkpoint in {} cannot be read: {error}", place.name()))
    };
    let nothing = |why: &str| Error::IllegalTransition(format!("{why}: there is nothing to give up"));
    let Some(note) = place.read().await.map_err(|error| failed(&error))? else {
        return Err(nothing(&format!("there is no checkpoint in {}", place.name())));
    };
    let mut conn = store.writing().await?;
    event::ensure_partitions(&mut conn, clock.now() - Duration::DAY, 2).await?;
    conn.done().await?;
    let mut tx = ChangeTx::begin(store, clock, entropy).await?;
    tx.ensure_time_is_known()?;
    let secrets = of_this_installation(&mut tx, keys).await?;
    let key = LogKey::load(&mut tx, &secrets, None, "").await?;
    let kept = key.open(&note).map_err(|error| failed(&error))?;
    let size = i64::try_from(kept.size).unwrap_or(i64::MAX);
    if root_at(tx.conn(), size).await? == Some(kept.root) {
        return Err(nothing("the database continues the published checkpoint"));
    }
    if checkpoint::is_given_up(tx.conn(), size).await? {
        return Err(nothing("the published checkpoint was given up before"));
    }
    let lost = kept.size.saturating_sub(tx.head_before().frontier.size());
    let log_index = give_up(&mut tx, &kept, reason).await?;
    tx.finish().await?;
    Ok((lost, log_index))
}

/// Records that `given_up` is no longer continued, with the reason.
async fn give_up(tx: &mut ChangeTx, given_up: &Checkpoint, reason: &str) -> Result<i64, Error> {
    let figure = |name: &'static str, value| Figure { name: name.into(), value: Decimal(value) };
    let before = tx.head_before().frontier.size();
    let leaf = Leaf {
        content_hash: Some(Digest(given_up.root)),
        figures: vec![figure("checkpoint_size", given_up.size), figure("log_size", before)],
        ..tx.own_leaf(Kind::CheckpointOverridden)
    };
    let number = |size| i64::try_from(size).map_err(|error| Error::internal("a size does not fit", error));
    let row = Override {
        from_size: number(before.min(given_up.size.saturating_sub(1)))?,
        to_size: number(given_up.size)?,
        root_hash: given_up.root,
        override_time: tx.now(),
    };
    checkpoint::give_up(tx.conn(), &row).await?;
    Ok(tx.append(leaf, reason)?.0)
}
