//! What every verb may know of the request it serves.

use tokio::time::Instant;

/// Put into a request's extensions by the pipeline, beside `countersign_app::Caller`.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    /// Finds the request in the log; the caller's own `x-request-id` where that is sane. Echoed in the answer.
    pub(crate) request_id: String,
    /// When the answer is of no more use: the caller's timeout or the server's ceiling, whichever is sooner. A stream
    /// without a timeout of its caller's has one so far away that it never comes.
    pub(crate) deadline: Instant,
}
