//! The limits of a pipeline.

use std::time::Duration;

/// How much at once, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Largest request, bytes.
    pub(crate) message_bytes: usize,
    /// Calls at a time, each counted until its answer stands.
    pub(crate) requests: usize,
    /// Streams at a time, each counted until it ends; and as many calls that wait for a person.
    pub(crate) streams: usize,
    /// Longest call, beside what it waits for a person; a caller's own timeout may only shorten it.
    pub(crate) timeout: Duration,
}
