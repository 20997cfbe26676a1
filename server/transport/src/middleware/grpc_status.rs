//! Conversion of refusals to gRPC answers, and the gRPC status of an answer. A call that panics gets INTERNAL, and a
//! body that cannot be decoded gets INVALID_ARGUMENT.

use std::panic::AssertUnwindSafe;

use axum::{body::Body, response::Response};
use futures::FutureExt;
use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::call::Call;
use crate::status::Refusal;

/// A trailers-only answer.
pub(crate) fn refuse(refusal: Refusal, request_id: &str) -> Response {
    answer(refusal.status(request_id))
}

/// A status as a trailers-only answer.
pub(super) fn answer(status: Status) -> Response {
    status.into_http::<Body>()
}

/// The status that an answer already has in its headers, usually a refusal. `None` if it comes in the trailers.
pub(crate) fn of_response(response: &Response) -> Option<Status> {
    Status::from_header_map(response.headers())
}

/// Whether the server sheds load with this answer, as opposed to a caller who asks for too much.
pub(super) fn is_overload(response: &Response) -> bool {
    let reason = of_response(response).and_then(|status| status.get_details_error_info());
    reason.is_some_and(|info| info.reason == Refusal::overloaded().reason())
}

/// The code in headers or trailers.
pub(super) fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()))
}

/// The call's answer or its refusal. A call that panics gets INTERNAL and affects no other call. The panic hook has
/// logged the place; the payload may contain anything, so it is not repeated.
pub(super) async fn or_internal(call: &Call, answers: impl Future<Output = Result<Response, Status>>) -> Response {
    match AssertUnwindSafe(answers).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(status)) => answer(status),
        Err(_) => {
            tracing::error!("a call panicked");
            answer(call.refuse(Refusal::internal()))
        }
    }
}

/// Maps tonic's decode error, INTERNAL or OUT_OF_RANGE, to INVALID_ARGUMENT, because the caller sent bytes that are not
/// a message. Our refusals have details and pass unchanged.
pub(super) fn decode_error_to_invalid_argument(call: &Call, response: Response) -> Result<Response, Status> {
    match of_response(&response) {
        Some(status) if status.details().is_empty() && matches!(status.code(), Code::Internal | Code::OutOfRange) => {
            tracing::debug!(why = status.message(), "not a message");
            Err(call.refuse(Refusal::invalid("", "the body cannot be decoded as the request message of this method")))
        }
        _ => Ok(response),
    }
}
