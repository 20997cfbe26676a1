//! WaitApproval: returns when a person has answered, on whichever server that was.
//!
//! Those who wait hold no connection: four times a second one query asks for all of them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use countersign_core::{
    approval::{Approval, ApprovalState, Call, Private},
    ids::ApprovalId,
};
use countersign_store::approval;
use tokio::{
    sync::watch,
    time::{Duration, Instant, timeout_at},
};

use crate::{App, Caller, Error};

/// The approvals that are waited for. Who waits holds a receiver, and wakes when its sender goes.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<HashMap<ApprovalId, watch::Sender<()>>>);

impl Waits {
    fn map(&self) -> MutexGuard<'_, HashMap<ApprovalId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the approval is read: an answer after that wakes.
    fn enter(&self, id: ApprovalId) -> watch::Receiver<()> {
        self.map().entry(id).or_default().subscribe()
    }

    /// What somebody still waits for.
    fn waited_for(&self) -> Vec<ApprovalId> {
        let mut map = self.map();
        map.retain(|_, sender| sender.receiver_count() > 0);
        map.keys().copied().collect()
    }

    fn wake(&self, id: ApprovalId) {
        self.map().remove(&id);
    }
}

impl App {
    /// The approval, when it waits for an answer no more, or after `wait`: it is PENDING then. An instance waits for its own
    /// chain's.
    pub async fn wait_approval(&self, caller: &Caller, id: ApprovalId, wait: Duration) -> Result<Approval, Error> {
        let end = Instant::now() + wait;
        loop {
            let mut answered = self.inner.approval_waits.enter(id);
            let found = self.read_approval(id).await?;
            let visible = found.filter(|found| match caller {
                Caller::Operator(operator) => {
                    operator.meets(&found.call.sponsor_id, std::slice::from_ref(&found.call.tool_id))
                }
                Caller::Instance(own) => found.root_instance_id == own.root_instance_id(),
            });
            let approval = visible.ok_or_else(|| Error::not_found("approval", id))?;
            if approval.state != ApprovalState::Pending || Instant::now() >= end {
                // Who waits asked, or stands before the tool, and does not answer.
                return Ok(Approval {
                    arguments: None,
                    call: Call { context: Private::default(), ..approval.call },
                    ..approval
                });
            }
            // Awake or out of time, the row says how it stands.
            drop(timeout_at(end, answered.changed()).await);
        }
    }

    /// Wakes whoever waits for what was answered meanwhile.
    pub(crate) async fn wake_approval_waits(&self) -> Result<(), Error> {
        let waits = &self.inner.approval_waits;
        let ids: Vec<_> = waits.waited_for().into_iter().map(|id| id.0).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let now = self.inner.engine.clock.now();
        let answered = approval::answered(&mut *self.inner.engine.store.connection().await?, &ids, now).await?;
        for id in answered {
            waits.wake(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::clock::{Clock as _, SystemClock, SystemEntropy, uuid_v7};
    use futures::FutureExt;

    use super::*;

    #[test]
    fn all_who_wait_for_one_wake_at_once_and_nobody_else_does() {
        let fresh = || ApprovalId(uuid_v7(SystemClock.now(), &SystemEntropy));
        let (waits, one, other) = (Waits::default(), fresh(), fresh());
        let mut of_one = [waits.enter(one), waits.enter(one)];
        let mut of_other = waits.enter(other);
        assert_eq!(waits.waited_for().len(), 2, "each is asked for once");
        waits.wake(one);
        for waiting in &mut of_one {
            assert!(waiting.changed().now_or_never().is_some());
        }
        assert!(of_other.changed().now_or_never().is_none());
        drop(of_other);
        assert!(waits.waited_for().is_empty(), "whoever has gone is forgotten");
    }
}
