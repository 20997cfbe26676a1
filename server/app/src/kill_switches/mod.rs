//! Kill switches: engaged and released.

pub(crate) mod engage_kill_switch;
pub(crate) mod release_kill_switch;
