//! The content of WatchPolicy: the active version, the kill switches, and whether cached answers may still be used.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::kill_switch::KillSwitches;
use countersign_store::{Connection, cache_extension, policy};

use crate::{Error, PolicyRecord, engine::sha256::sha256, policies::record::record};

/// The policy in use, for followers.
#[derive(Debug, Clone, Default)]
pub struct PolicyStatus {
    /// The active version, without its texts.
    pub active: Option<PolicyRecord>,
    /// The engaged kill switches.
    pub kill_switches: Arc<KillSwitches>,
    /// A text that changes with every change of the active version, the open rollout or the kill switches, and when an
    /// extension is ended early. It is the same on all servers.
    pub cache_generation: String,
}

impl PolicyStatus {
    pub(crate) async fn load(conn: &mut Connection, kill_switches: Arc<KillSwitches>) -> Result<Self, Error> {
        let active = policy::active(conn).await?.map(|stored| record(stored, false));
        let mut mark = policy::mark(conn).await?;
        mark.extend(kill_switches.engaged().iter().map(|switch| switch.kill_switch_id.to_string()));
        mark.extend(cache_extension::newest_stopped(conn).await?.map(|id| id.to_string()));
        let cache_generation = URL_SAFE_NO_PAD.encode(&sha256(mark.join("\n").as_bytes())[..16]);
        Ok(Self { active, kill_switches, cache_generation })
    }
}
