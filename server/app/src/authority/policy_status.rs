//! The content of WatchPolicy: the active version, the kill switches, and whether cached answers may still be used.

use std::sync::Arc;

use countersign_core::kill_switch::KillSwitches;
use countersign_store::{Connection, policy};

use super::cache_generation::cache_generation;
use crate::{Error, PolicyRecord, policies::record::record};

/// The policy in use, for followers.
#[derive(Debug, Clone, Default)]
pub struct PolicyStatus {
    /// The active version, without its texts.
    pub active: Option<PolicyRecord>,
    /// The engaged kill switches.
    pub kill_switches: Arc<KillSwitches>,
    /// Changes when cached answers end at once; the same on all servers.
    pub cache_generation: String,
}

impl PolicyStatus {
    pub(crate) async fn load(conn: &mut Connection, kill_switches: Arc<KillSwitches>) -> Result<Self, Error> {
        let active = policy::active(conn).await?.map(|stored| record(stored, false));
        let cache_generation = cache_generation(conn, &kill_switches).await?;
        Ok(Self { active, kill_switches, cache_generation })
    }
}
