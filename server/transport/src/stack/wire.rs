//! Whose fault it is when a request cannot be read.

use axum::{extract::Request, middleware::Next, response::Response};
use tonic::Code;

use super::{
    context::request_id,
    outcome::{of_response, refuse},
};
use crate::status::Refusal;

/// Says INVALID_ARGUMENT where tonic says INTERNAL (or OUT_OF_RANGE) of bytes that are no message: that is the caller's
/// fault. Our own refusals bear details and pass as they are.
pub(super) async fn blame_the_wire(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let response = next.run(request).await;
    match of_response(&response) {
        Some(status) if status.details().is_empty() && matches!(status.code(), Code::Internal | Code::OutOfRange) => {
            tracing::debug!(why = status.message(), "not a message");
            refuse(Refusal::invalid("", "the body is not a message of this method"), &id)
        }
        _ => response,
    }
}
