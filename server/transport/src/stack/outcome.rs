//! A refusal as a gRPC answer, and back.

use axum::{body::Body, response::Response};
use http::HeaderMap;
use tonic::{Code, Status};

use crate::status::Refusal;

/// A trailers-only answer.
pub(crate) fn refuse(refusal: Refusal, request_id: &str) -> Response {
    answer(refusal.status(request_id))
}

/// A status as a trailers-only answer.
pub(super) fn answer(status: Status) -> Response {
    status.into_http::<Body>()
}

/// The status that an answer already bears in its headers: a refusal, mostly. None: it comes in the trailers.
pub(crate) fn of_response(response: &Response) -> Option<Status> {
    Status::from_header_map(response.headers())
}

/// The code in headers or trailers.
pub(super) fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()))
}
