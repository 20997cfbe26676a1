//! `countersign log` and `countersign evidence`: checking the custody log, and what leaves it.

pub(crate) mod evidence_view;
pub(crate) mod recover_log;
