//! Errors of the plain HTTP routes: one object that says what failed, why, whether to retry, and what to fix.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{connect, details::Details};

/// `{"error":{"code","reason","message","retryable","violations","metadata","request_id"}}`; a field that does not
/// apply is left out. `message` ends with the remedy.
pub(crate) fn error(status: &Status, http: Option<StatusCode>) -> Response {
    let details = Details::of(status);
    let retryable = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded);
    let mut error =
        json!({ "code": connect::code(status.code()), "message": status.message(), "retryable": retryable });
    if let Some(info) = details.known.error_info() {
        let mut metadata = info.metadata.clone();
        error["reason"] = info.reason.clone().into();
        if let Some(id) = metadata.remove("request_id") {
            error["request_id"] = id.into();
        }
        if !metadata.is_empty() {
            error["metadata"] = json!(metadata);
        }
    }
    if let Some(bad) = details.known.bad_request() {
        let violation =
            |one: &tonic_types::FieldViolation| json!({ "field": one.field, "description": one.description });
        error["violations"] = bad.field_violations.iter().map(violation).collect::<Value>();
    }
    connect::answer(status, &details, http, axum::Json(json!({ "error": error })))
}
