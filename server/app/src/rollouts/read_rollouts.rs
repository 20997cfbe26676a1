//! GetRollout and ListRollouts: rollouts, what their gates last said, and where their sides disagree; and what
//! followers of an open rollout are told.

use std::sync::Arc;

use countersign_core::ids::RolloutId;
use countersign_store::rollout;
pub use countersign_store::rollout::RolloutFilter;

use super::report::{RolloutReport, report, reports};
use crate::{App, Error, Page, PageRequest};

impl App {
    /// One rollout.
    pub async fn get_rollout(&self, id: &RolloutId) -> Result<RolloutReport, Error> {
        report(&mut *self.inner.engine.store.for_reads().connection().await?, id, self.inner.engine.clock.now()).await
    }

    /// One rollout that was just changed: reads do not keep a stop from being answered.
    pub(crate) async fn changed_rollout(&self, id: &RolloutId) -> Result<RolloutReport, Error> {
        report(&mut *self.inner.engine.store.for_authority().connection().await?, id, self.inner.engine.clock.now())
            .await
    }

    /// One page of rollouts, newest first.
    pub async fn list_rollouts(&self, filter: RolloutFilter, page: PageRequest) -> Result<Page<RolloutReport>, Error> {
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let found = rollout::list(&mut conn, &filter, &page).await?;
        Ok(Page { items: reports(&mut conn, found.items, self.inner.engine.clock.now()).await?, next: found.next })
    }

    /// Tells followers of an open rollout what its gates say; how the counts grow they learn with the next change.
    pub(crate) async fn tell_readings(&self, id: RolloutId) -> Result<(), Error> {
        let report =
            report(&mut *self.inner.engine.store.connection().await?, &id, self.inner.engine.clock.now()).await?;
        self.inner.authority.open_rollouts.send_if_modified(|told| {
            let Some(known) = told.iter().find(|known| known.rollout.rollout_id == id) else { return false };
            let changed =
                !known.verdicts().eq(report.verdicts()) || known.notices.is_empty() != report.notices.is_empty();
            *told = Arc::new(vec![RolloutReport { rollout: known.rollout.clone(), ..report }]);
            changed
        });
        Ok(())
    }
}
