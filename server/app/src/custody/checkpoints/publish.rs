//! Publishing: a checkpoint is given out only after it is stored, kept in the second place, and found to continue the one
//! before.

use countersign_ledger::merkle::{Hash, ProofRequest};
use countersign_store::{
    Connection,
    checkpoint::{self, StoredCheckpoint},
    log_check::Finding,
    log_tree,
};

use crate::{App, Error};

impl App {
    /// Publishes the newest stored checkpoint, if this server has not done so.
    pub(crate) async fn publish_checkpoint(&self) -> Result<(), Error> {
        let custody = &self.inner.custody;
        let mut conn = self.inner.engine.store.connection().await?;
        let Some(newest) = checkpoint::newest(&mut conn).await? else { return Ok(()) };
        let published = custody.published();
        if published.as_deref() == Some(&newest) {
            return Ok(());
        }
        if let Err(finding) = self.continues(&mut conn, published.as_deref(), &newest).await? {
            custody.found(finding);
            return Ok(());
        }
        let grown = published.is_none_or(|published| published.size != newest.size);
        if grown && let Err(error) = custody.place.keep(newest.note.clone()).await {
            custody.not_kept(&error);
            return Ok(());
        }
        custody.publish(newest);
        Ok(())
    }

    /// Whether `newest` is a checkpoint of this log that continues `published`.
    async fn continues(
        &self,
        conn: &mut Connection,
        published: Option<&StoredCheckpoint>,
        newest: &StoredCheckpoint,
    ) -> Result<Result<(), Finding>, Error> {
        let wrong = |why: &str| Finding { log_index: newest.size, why: why.to_owned() };
        match self.inner.custody.key.open(newest.note.as_bytes()) {
            Ok(signed) if i64::try_from(signed.size) == Ok(newest.size) && signed.root == newest.root_hash => {}
            Ok(_) => return Ok(Err(wrong("the newest stored checkpoint is not of the size and root beside it"))),
            Err(error) => return Ok(Err(wrong(&format!("the newest stored checkpoint is not this log's: {error}")))),
        }
        let Some(published) = published else { return Ok(Ok(())) };
        if newest.size < published.size {
            let why = format!("a checkpoint of {} events was published, and it is no longer stored", published.size);
            return Ok(Err(wrong(&why)));
        }
        if root_at(conn, published.size).await? != Some(published.root_hash) {
            let why = format!(
                "a checkpoint of {} events was published, and the log no longer begins with the events that it is over",
                published.size
            );
            return Ok(Err(Finding { log_index: published.size - 1, why }));
        }
        Ok(Ok(()))
    }
}

/// The root over the first `size` events, by the tiles. `None` if the tiles that it needs are not there.
pub(crate) async fn root_at(conn: &mut Connection, size: i64) -> Result<Option<Hash>, Error> {
    let held = log_tree::read(conn).await?.frontier.size();
    let Ok(size) = u64::try_from(size) else { return Ok(None) };
    let Ok(plan) = (ProofRequest::Root { size }).plan(held) else { return Ok(None) };
    let tiles = log_tree::proof_tiles(conn, &plan.tiles()).await?;
    Ok(plan.compute(&tiles).ok().and_then(|root| root.first().copied()))
}
