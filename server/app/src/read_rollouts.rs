//! GetRollout and ListRollouts.

use countersign_core::{ids::RolloutId, rollout::Rollout};
use countersign_store::rollout;
pub use countersign_store::rollout::RolloutFilter;

use crate::{App, Error, Page, PageRequest};

impl App {
    /// One rollout.
    pub async fn get_rollout(&self, id: &RolloutId) -> Result<Rollout, Error> {
        let found = rollout::get(&mut *self.inner.store.connection().await?, *id).await?;
        found.ok_or_else(|| Error::not_found("rollout", id))
    }

    /// One page of rollouts, newest first.
    pub async fn list_rollouts(&self, filter: RolloutFilter, page: PageRequest) -> Result<Page<Rollout>, Error> {
        Ok(rollout::list(&mut *self.inner.store.connection().await?, &filter, &page).await?)
    }
}
