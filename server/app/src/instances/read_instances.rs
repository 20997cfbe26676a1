//! GetInstance and ListInstances: instances in their current state (live, ended, revoked, orphaned, expired), newest
//! first, within the scope of an API key.

use countersign_core::{
    ids::InstanceId,
    instance::{Instance, InstanceState},
};
use countersign_store::instance::{self, Standing, StoredInstance};
use time::OffsetDateTime;

pub use countersign_store::instance::InstanceFilter;

use crate::{App, Error, OperatorCaller, Page, PageRequest};

/// The state of an instance. Expiry and revocation follow from the clock and the entries, not from its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceFilterState {
    /// Running: not stopped, and its last credential has not expired.
    Live,
    /// Reported as finished.
    Ended,
    /// Stopped, alone or with its sponsor or a parent.
    Revoked,
    /// Its sponsor departed.
    Orphaned,
    /// Its last credential expired.
    Expired,
}

impl From<Standing> for InstanceFilterState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::In(InstanceState::Live) => Self::Live,
            Standing::In(InstanceState::Ended) => Self::Ended,
            Standing::In(InstanceState::Revoked) => Self::Revoked,
            Standing::In(InstanceState::Orphaned) => Self::Orphaned,
            Standing::Expired => Self::Expired,
        }
    }
}

impl From<InstanceFilterState> for Standing {
    fn from(state: InstanceFilterState) -> Self {
        match state {
            InstanceFilterState::Live => Self::In(InstanceState::Live),
            InstanceFilterState::Ended => Self::In(InstanceState::Ended),
            InstanceFilterState::Revoked => Self::In(InstanceState::Revoked),
            InstanceFilterState::Orphaned => Self::In(InstanceState::Orphaned),
            InstanceFilterState::Expired => Self::Expired,
        }
    }
}

/// An instance, read back with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRecord {
    /// The instance.
    pub instance: Instance,
    /// Its state when it was read.
    pub state: InstanceFilterState,
}

impl InstanceRecord {
    /// With its state at `now`.
    pub(crate) fn at(now: OffsetDateTime, stored: StoredInstance) -> Self {
        let state = stored.standing(now).into();
        Self { instance: stored.instance, state }
    }
}

impl App {
    /// One instance and its current state.
    pub async fn get_instance(&self, caller: &OperatorCaller, id: &InstanceId) -> Result<InstanceRecord, Error> {
        let mut found =
            instance::get_all(&mut *self.inner.engine.store.for_reads().connection().await?, &[id.0]).await?;
        let found = found.pop().ok_or_else(|| Error::not_found("instance", id))?;
        let Instance { sponsor_id, tools, .. } = &found.instance;
        caller.within(&format!("it may not read {id}"), |scope| scope.meets_run(sponsor_id, tools))?;
        Ok(InstanceRecord::at(self.inner.engine.clock.now(), found))
    }

    /// One page of instances, newest first.
    pub async fn list_instances(
        &self,
        filter: InstanceFilter,
        page: PageRequest,
    ) -> Result<Page<InstanceRecord>, Error> {
        let now = self.inner.engine.clock.now();
        let found =
            instance::list(&mut *self.inner.engine.store.for_reads().connection().await?, &filter, now, &page).await?;
        Ok(found.map(|stored| InstanceRecord::at(now, stored)))
    }
}
