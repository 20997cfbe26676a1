//! Checkpoints: the tree over the log, signed sizes and roots, and where they are kept; what this server found changed
//! in the log, and why no checkpoint is published.

mod compare_at_start;
mod extend_tree;
pub(crate) mod give_up;
pub(crate) mod log_key;
pub(crate) mod place;
pub(crate) mod proofs;
pub(crate) mod publish;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use countersign_store::{
    checkpoint::StoredCheckpoint,
    log_check::{Finding, LogCheck},
};
use tokio::sync::watch;

use self::{log_key::LogKey, place::CheckpointPlace};

/// A published checkpoint.
pub(crate) type Published = Option<Arc<StoredCheckpoint>>;

/// What a server knows of its log's checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    pub(crate) key: LogKey,
    pub(crate) place: Arc<dyn CheckpointPlace>,
    published: watch::Sender<Published>,
    /// What does not match, as this server found it while it took events into the tree or published a checkpoint.
    finding: watch::Sender<Option<Finding>>,
    /// Why the newest checkpoint is not in the second place.
    unkept: Mutex<Option<String>>,
    /// How far all servers together compared the events with the tree.
    check: ArcSwap<LogCheck>,
}

impl Checkpoints {
    pub(crate) fn new(key: LogKey, place: Arc<dyn CheckpointPlace>) -> Self {
        Self {
            key,
            place,
            published: watch::Sender::new(None),
            finding: watch::Sender::new(None),
            unkept: Mutex::new(None),
            check: ArcSwap::default(),
        }
    }

    /// The newest checkpoint that this server published.
    pub(crate) fn published(&self) -> Published {
        self.published.borrow().clone()
    }

    /// What this server found while it took events into the tree, or else what the check found.
    pub(crate) fn finding(&self) -> Option<Finding> {
        self.finding.borrow().clone().or_else(|| self.check.load().finding().cloned())
    }

    /// How far the check is.
    pub(crate) fn check(&self) -> Arc<LogCheck> {
        self.check.load_full()
    }

    /// Takes over how far the check is, for readiness and metrics.
    pub(crate) fn look_at(&self, check: LogCheck) {
        let checked = check.whole_size.unwrap_or_default().max(check.checked_size);
        metrics::gauge!("countersign_log_checked_size").set(figure(checked));
        self.check.store(Arc::new(check));
        let altered = self.finding().is_some();
        metrics::gauge!("countersign_log_altered").set(if altered { 1.0 } else { 0.0 });
    }

    /// Why checkpoints are not published: the second place fails.
    pub(crate) fn unkept(&self) -> Option<String> {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, checkpoint: StoredCheckpoint) {
        if self.unkept.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("checkpoints are kept in {} again", self.place.name());
        }
        metrics::gauge!("countersign_log_checkpoint_size").set(figure(checkpoint.size));
        self.published.send_replace(Some(Arc::new(checkpoint)));
    }

    fn not_kept(&self, error: &io::Error) {
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        let why = format!("{}: {error}", self.place.name());
        if unkept.as_ref() != Some(&why) {
            tracing::error!("checkpoints cannot be kept in {why}; none is published until they can");
        }
        *unkept = Some(why);
    }

    /// Records that the stored log is not the one that was recorded. No checkpoint is signed over it.
    fn found(&self, finding: Finding) {
        self.finding.send_if_modified(|known| {
            let new = known.as_ref() != Some(&finding);
            if new {
                tracing::error!(
                    log_index = finding.log_index,
                    "the custody log was changed in the database: {}",
                    finding.why
                );
                *known = Some(finding);
            }
            new
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "what a figure of a graph needs")]
const fn figure(size: i64) -> f64 {
    size as f64
}
