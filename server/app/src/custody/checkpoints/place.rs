//! The second place of checkpoints, outside the database: with it a database that lost or changed its past is noticed.

use std::{fmt, io};

use futures::future::BoxFuture;

/// Keeps the newest published checkpoint.
pub trait CheckpointPlace: fmt::Debug + Send + Sync {
    /// Where it is, for messages.
    fn name(&self) -> String;
    /// The checkpoint that was kept last. `None` if there is none.
    fn read(&self) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>>;
    /// Keeps a checkpoint in the place of the last one, durably, whole or not at all.
    fn keep(&self, note: String) -> BoxFuture<'_, io::Result<()>>;
}
