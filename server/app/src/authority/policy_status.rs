//! What WatchPolicy tells: the active version, the kill switches, and whether what is cached may still be used.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::kill_switch::KillSwitches;
use countersign_store::{Connection, cache_extension, policy};

use crate::{Error, PolicyRecord, engine::sha256::sha256, policies::record::record};

/// What answers, for who follows it.
#[derive(Debug, Clone, Default)]
pub struct PolicyStatus {
    /// The active version, without its texts.
    pub active: Option<PolicyRecord>,
    /// What is stopped.
    pub kill_switches: Arc<KillSwitches>,
    /// Another one after every change of active version, open rollout or kill switches, and after the end of an extension that
    /// somebody ended before its time; the same on all servers.
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
