//! How much a sink takes in one request.

/// The most events and bytes of their bodies.
pub(super) struct Batch {
    pub(super) events: usize,
    pub(super) bytes: usize,
}
