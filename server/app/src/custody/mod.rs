//! Custody events: read back, one by one and as a chain.

pub(crate) mod custody_chain;
pub(crate) mod event;
pub(crate) mod list_events;
