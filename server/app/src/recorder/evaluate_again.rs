//! A decision whose epoch moved between its evaluation and its place in the log is evaluated again, under the head's lock.

use std::sync::Arc;

use super::{batch::BatchBuilder, job::DecisionJob, prepared_decision::Preparation};
use crate::Error;

impl DecisionJob {
    /// As it was prepared, or again where the snapshot was behind.
    pub(super) fn current(&self, batch: &BatchBuilder<'_>) -> Result<Preparation, Error> {
        match &self.prepared {
            Preparation::Ready(prepared) if prepared.epoch == batch.snapshot.epoch => {
                Ok(Preparation::Ready(Arc::clone(prepared)))
            }
            _ => Preparation::of(&self.question, batch.snapshot),
        }
    }
}
