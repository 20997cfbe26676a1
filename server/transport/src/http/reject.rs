//! Requests that a front end refuses itself, before there is a call, such as for their HTTP method (405) or media type
//! (415), with the header that says what is accepted. Each is counted.

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use tonic::Status;

use crate::middleware::count_refusal;

/// How a front end writes an error: with the given HTTP status, or else with that of the code.
pub(crate) type WriteError = fn(&Status, Option<StatusCode>) -> Response;

/// A header that goes with a refusal, such as one that says what would be taken.
#[derive(Debug)]
pub(crate) struct RefusalHeader {
    pub(crate) name: HeaderName,
    pub(crate) value: &'static str,
}

impl RefusalHeader {
    /// Puts it on the answer.
    pub(crate) fn put_on(self, response: &mut Response) {
        response.headers_mut().insert(self.name, HeaderValue::from_static(self.value));
    }
}

/// A refusal with an HTTP status, and the header that says what would be accepted.
#[derive(Debug)]
pub(crate) struct Rejection {
    http: StatusCode,
    status: Status,
    header: Option<RefusalHeader>,
}

impl Rejection {
    pub(crate) fn new(http: StatusCode, status: Status) -> Self {
        Self { http, status, header: None }
    }

    pub(crate) fn not_allowed() -> Self {
        let message = "this path does not take this HTTP method; the header Allow names those it takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Status::unimplemented(message))
    }

    pub(crate) fn unsupported(what: impl Into<String>, header: HeaderName, value: &'static str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(what)).with(header, value)
    }

    /// The same with another status.
    pub(crate) fn under(self, http: StatusCode) -> Self {
        Self { http, ..self }
    }

    pub(crate) fn allow(self, methods: &'static str) -> Self {
        self.with(header::ALLOW, methods)
    }

    /// The answer, which is also counted.
    pub(crate) fn answer(self, write: WriteError) -> Response {
        count_refusal(self.status.code());
        let mut response = write(&self.status, Some(self.http));
        if let Some(header) = self.header {
            header.put_on(&mut response);
        }
        response
    }

    fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some(RefusalHeader { name, value }), ..self }
    }
}
