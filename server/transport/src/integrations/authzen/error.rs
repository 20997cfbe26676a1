//! Refusals in the form of AuthZEN's HTTPS binding: a status and a message, and never a decision.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use tonic::{Code, Status};

use crate::{
    http::{connect, details::Details},
    middleware::MOST_BYTES,
};

/// `status`, with the HTTP status `http` if the front end knows a better one than the code's.
pub(super) fn error(status: &Status, http: Option<StatusCode>) -> Response {
    let http = http.unwrap_or_else(|| http_status(status));
    let mut response = connect::answer(status, &Details::of(status), Some(http), status.message().to_owned());
    if matches!(http, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
    }
    response
}

fn http_status(status: &Status) -> StatusCode {
    match status.code() {
        _ if status.metadata().contains_key(MOST_BYTES) => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal | Code::Unknown | Code::DataLoss | Code::Unimplemented | Code::Ok => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusals_status_cannot_be_taken_for_a_decision() {
        for (code, http) in [
            (Code::InvalidArgument, 400),
            (Code::FailedPrecondition, 400),
            (Code::NotFound, 400),
            (Code::Unauthenticated, 401),
            (Code::PermissionDenied, 403),
            (Code::ResourceExhausted, 429),
            (Code::Unavailable, 503),
            (Code::DeadlineExceeded, 503),
            (Code::Aborted, 503),
            (Code::Internal, 500),
            (Code::Unknown, 500),
        ] {
            let response = error(&Status::new(code, "why"), None);
            assert_eq!(response.status().as_u16(), http, "{code:?}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), http == 401);
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), matches!(http, 429 | 503));
        }
    }
}
