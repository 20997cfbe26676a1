//! The custody log: reading events, singly and as a chain; its tree, checkpoints and proofs; the check of what is stored.

pub(crate) mod append_manifest;
pub(crate) mod check_log;
pub(crate) mod checkpoints;
pub(crate) mod custody_chain;
pub(crate) mod event;
pub(crate) mod evidence;
pub(crate) mod list_events;
