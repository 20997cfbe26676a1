//! The approvals for which callers wait, and how these callers are woken.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use countersign_core::ids::ApprovalId;
use tokio::sync::watch;

/// The approvals for which callers wait. A waiting caller holds a receiver, and wakes when the sender is dropped.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<HashMap<ApprovalId, watch::Sender<()>>>);

impl Waits {
    fn map(&self) -> MutexGuard<'_, HashMap<ApprovalId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Call this before the approval is read, so that an answer after that wakes the caller.
    pub(crate) fn enter(&self, id: ApprovalId) -> watch::Receiver<()> {
        self.map().entry(id).or_default().subscribe()
    }

    /// The approvals for which a caller still waits.
    pub(crate) fn waited_for(&self) -> Vec<ApprovalId> {
        let mut map = self.map();
        map.retain(|_, sender| sender.receiver_count() > 0);
        map.keys().copied().collect()
    }

    pub(crate) fn wake(&self, id: ApprovalId) {
        self.map().remove(&id);
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
