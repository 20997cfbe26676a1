//! The authorization snapshot: everything that a decision is evaluated against, at one authority epoch. It is loaded,
//! kept up to date with the log, and published to followers.

mod cache_generation;
mod change;
mod compile_ahead;
pub(crate) mod compiled_policies;
pub(crate) mod head_marks;
pub(crate) mod key_ring;
pub(crate) mod policy_status;
pub(crate) mod refresh;
pub(crate) mod snapshot;
pub(crate) mod x509_authority;

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use countersign_core::revocation::RevocationLog;
use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};

use self::{head_marks::HeadMarks, policy_status::PolicyStatus, snapshot::Loader, snapshot::Snapshot};
use crate::{RolloutReport, engine::context::Context};

/// This server's snapshot, and its followers.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) engine: Arc<Context>,
    pub(crate) loader: Loader,
    snapshot: ArcSwap<Snapshot>,
    pub(crate) open_rollouts: watch::Sender<Arc<Vec<RolloutReport>>>,
    pub(crate) revocation_log: watch::Sender<Arc<RevocationLog>>,
    pub(crate) policy_status: watch::Sender<Arc<PolicyStatus>>,
    /// Everything that was committed before this instant is in the snapshot.
    pub(crate) complete_until: watch::Sender<OffsetDateTime>,
    /// Whether the database answered last.
    pub(crate) database_ready: watch::Sender<bool>,
    /// Past sizes of the log.
    pub(crate) head_marks: HeadMarks,
    /// When the snapshot was last refreshed because a token named an unknown key.
    unknown_key: Mutex<Option<Instant>>,
}

impl Authority {
    pub(crate) fn new(engine: Arc<Context>, loader: Loader, snapshot: Snapshot) -> Self {
        let open = snapshot.rollout.iter().map(|open| RolloutReport::new(open.rollout.clone())).collect();
        Self {
            engine,
            loader,
            open_rollouts: watch::Sender::new(Arc::new(open)),
            revocation_log: watch::Sender::new(snapshot.revocation_log.clone()),
            policy_status: watch::Sender::new(snapshot.policy_status.clone()),
            snapshot: ArcSwap::from_pointee(snapshot),
            // Not before the head was read for the first time.
            complete_until: watch::Sender::new(OffsetDateTime::UNIX_EPOCH),
            database_ready: watch::Sender::new(true),
            head_marks: HeadMarks::default(),
            unknown_key: Mutex::new(None),
        }
    }
}
