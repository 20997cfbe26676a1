//! The cache generation: a text that changes with everything that ends cached answers at once: the active version, the
//! open rollout, the kill switches, and a cache extension that was ended early.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::kill_switch::KillSwitches;
use countersign_store::{Connection, cache_extension, policy};

use crate::{Error, engine::sha256::sha256};

/// The generation at what `conn` reads: it changes with the active version, the open rollout and the kill switches, and
/// when an extension is ended early. It is the same on all servers.
pub(super) async fn cache_generation(conn: &mut Connection, kill_switches: &KillSwitches) -> Result<String, Error> {
    let mut mark = policy::mark(conn).await?;
    mark.extend(kill_switches.engaged().iter().map(|switch| switch.kill_switch_id.to_string()));
    mark.extend(cache_extension::newest_stopped(conn).await?.map(|id| id.to_string()));
    Ok(URL_SAFE_NO_PAD.encode(&sha256(mark.join("\n").as_bytes())[..16]))
}
