//! What layers and verbs may know of the request they serve.

use axum::extract::Request;
use tokio::time::Instant;

use crate::authz::Row;

/// Put into a request's extensions by the pipeline, beside `countersign_app::Caller`.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    /// Finds the request in the log; the caller's own `x-request-id` where that is sane. Echoed in the answer.
    pub(crate) request_id: String,
    /// When the answer is of no more use: the caller's timeout or the server's ceiling, whichever is sooner. A stream
    /// without a timeout of its caller's has one so far away that it never comes.
    pub(crate) deadline: Instant,
}

/// The request's id, from the first layer on.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// The method's row, from the first layer on; absent where there is no such method.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known(pub(crate) &'static Row);

/// The request's id, for refusals.
pub(crate) fn request_id(request: &Request) -> String {
    request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default()
}
