//! Reading custody events, singly and as a chain.

pub(crate) mod custody_chain;
pub(crate) mod event;
pub(crate) mod list_events;
