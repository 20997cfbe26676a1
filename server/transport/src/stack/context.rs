//! What layers and verbs may know of the request they serve.

use axum::extract::Request;

use crate::authz::Row;

/// In every request's extensions, from the first layer on.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    /// Finds the request in the log; the caller's own `x-request-id` where that is sane. Echoed in the answer.
    pub(crate) request_id: String,
}

/// The method's row, from the first layer on; absent where there is no such method.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known(pub(crate) &'static Row);

/// The request's id, for refusals.
pub(crate) fn request_id(request: &Request) -> String {
    request.extensions().get::<RequestContext>().map(|context| context.request_id.clone()).unwrap_or_default()
}
