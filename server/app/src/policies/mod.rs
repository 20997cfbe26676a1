//! Policies: created, activated, simulated, read; and how long caches may keep an ALLOW.

pub(crate) mod activate_policy;
pub(crate) mod cache_extension;
pub(crate) mod compile;
pub(crate) mod create_policy;
pub(crate) mod read_policies;
pub(crate) mod record;
pub(crate) mod simulate_policy;
