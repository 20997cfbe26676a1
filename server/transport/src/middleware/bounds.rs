//! The limits of a pipeline: the largest request, the calls and streams at a time, and the longest call,
//! as types. The numbers are in `server/src/config/limits.rs`.

use std::time::Duration;

/// How much at once, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Largest request, bytes.
    pub(crate) message_bytes: usize,
    /// Limit of calls at a time; each counts until its answer is ready.
    pub(crate) requests: usize,
    /// Limit of streams at a time, each counting until it ends; and the same number of calls that wait for a person.
    pub(crate) streams: usize,
    /// Longest call, without the time that it waits for a person; a caller's timeout can only shorten it.
    pub(crate) timeout: Duration,
}
