//! At a start: the database is compared with the checkpoint in the second place, and the server refuses to start if it
//! does not continue it, so that a restored backup, or another database, is not continued as if nothing had happened.

use countersign_store::{checkpoint, log_tree};

use super::publish::root_at;
use crate::{App, Error};

impl App {
    /// Refuses to start on a database that does not continue the checkpoint in the second place.
    pub(crate) async fn compare_with_kept_checkpoint(&self) -> Result<(), Error> {
        let custody = &self.inner.custody;
        let place = custody.place.name();
        let refuse = |why: String| Error::NotReady(why);
        let kept = custody.place.read().await.map_err(|error| {
            refuse(format!(
                "the newest published checkpoint cannot be read from {place}: {error}. Without it, a database that lost \
                 events would not be noticed"
            ))
        })?;
        let Some(note) = kept else { return Ok(()) };
        let kept = custody.key.open(&note).map_err(|error| {
            refuse(format!(
                "the checkpoint in {place} is not one of this database's log ({}): {error}. Connect to the database that it \
                 belongs to. If this is another installation, give it another folder; if the file is damaged, get it from \
                 a copy",
                custody.key.verifier()
            ))
        })?;
        let size = i64::try_from(kept.size).unwrap_or(i64::MAX);
        // An older server, or a start that was cut off, may have left events that are not in the tree.
        while self.extend_once().await? {}
        let mut conn = self.inner.engine.store.connection().await?;
        if root_at(&mut conn, size).await? == Some(kept.root) {
            return Ok(());
        }
        let held = log_tree::read(&mut conn).await?.frontier.size();
        if checkpoint::is_given_up(&mut conn, size).await? {
            tracing::warn!(size, held, "the checkpoint in {place} was given up by a recorded order");
            return Ok(());
        }
        let (what, how) = if kept.size > held {
            (
                format!("the log in the database has {held} events, and a checkpoint of {} was published", kept.size),
                "a backup was restored, or events were removed",
            )
        } else {
            (
                format!(
                    "the first {} events in the database are not those that the published checkpoint is over",
                    kept.size
                ),
                "events were changed, or this is another server's history",
            )
        };
        Err(refuse(format!(
            "{what} ({place}): {how}. Connect to the right database, or restore a newer backup. If what is missing is \
             lost for good, `countersign log recover --reason \"...\"` gives those checkpoints up, which is recorded in the \
             log for good"
        )))
    }
}
