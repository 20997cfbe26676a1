//! Errors in the form of Connect: a JSON object, with the HTTP status that fits the code, or 413 if the request is too
//! large. The headers of every refusal over HTTP: `retry-after`, `www-authenticate` and `cache-control`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::details::Details;
use crate::{
    middleware::MOST_BYTES,
    status::{http_status, whole_seconds},
};

/// `status` as Connect writes it, with the HTTP status `http` if the front end knows a better one than the code's.
pub(crate) fn error(status: &Status, http: Option<StatusCode>) -> Response {
    let details = Details::of(status);
    let mut body = json!({ "code": code(status.code()), "message": status.message() });
    if let Value::Array(list) = details.connect()
        && !list.is_empty()
    {
        body["details"] = Value::Array(list);
    }
    answer(status, &details, http, axum::Json(body))
}

/// A refusal with HTTP status, retry delay and authentication challenge; `body` is the rest.
pub(crate) fn answer(
    status: &Status,
    details: &Details,
    http: Option<StatusCode>,
    body: impl IntoResponse,
) -> Response {
    let too_large = status.metadata().contains_key(MOST_BYTES).then_some(StatusCode::PAYLOAD_TOO_LARGE);
    let http = http.or(too_large).unwrap_or_else(|| http_status(status.code()));
    let mut response = (http, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if http == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"countersign\""));
    }
    if let Some(delay) = details.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    }
    response
}

/// Connect's name of a code.
pub(crate) fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "canceled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
