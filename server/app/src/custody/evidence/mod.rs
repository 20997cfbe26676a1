//! ExportEvidence: the bundle of a chain, or of everything that a sponsor answers for in a time.

mod closure;
pub(crate) mod events;
pub(crate) mod export_evidence;
mod proofs;
mod sponsor_period;
