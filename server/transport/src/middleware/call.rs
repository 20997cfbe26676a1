//! One call: its id, and the row of its method in the table.

use axum::extract::Request;
use http::{HeaderMap, HeaderName};
use tonic::Status;

use super::AccessControl;
use crate::{
    authz::{self, Row},
    status::Refusal,
};

/// Carries the request id in both directions.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is accepted from a caller, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// In every request's extensions, from the first step on; a verb finds `countersign_app::Caller` next to it.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    /// Identifies the request in the log: the caller's `x-request-id` if it is safe to log, else a new id. Echoed in
    /// the answer.
    pub(crate) request_id: String,
}

/// The request's id, for refusals.
pub(crate) fn request_id(request: &Request) -> String {
    request.extensions().get::<RequestContext>().map(|context| context.request_id.clone()).unwrap_or_default()
}

/// What every step knows about a call.
pub(super) struct Call {
    pub(super) request_id: String,
    /// `None` if there is no such method.
    pub(super) row: Option<&'static Row>,
}

impl Call {
    /// Gives `request` its id and finds its method's row.
    pub(super) fn of(request: &mut Request, access: &dyn AccessControl) -> Self {
        let request_id = sane(request.headers()).unwrap_or_else(|| access.fresh_id().to_string());
        request.extensions_mut().insert(RequestContext { request_id: request_id.clone() });
        Self { request_id, row: authz::row(request.uri().path()) }
    }

    /// The method's row. A method without a row is refused before any work is done for it.
    pub(super) fn known(&self, request: &Request) -> Result<&'static Row, Status> {
        self.row.ok_or_else(|| {
            let path = request.uri().path();
            Status::unimplemented(format!("this server has no method {path}; reflection lists those it has"))
        })
    }

    /// A refusal of this call.
    pub(super) fn refuse(&self, refusal: impl Into<Refusal>) -> Status {
        refusal.into().status(&self.request_id)
    }
}

/// The caller's id, if it is safe to log.
fn sane(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=MAX_REQUEST_ID).contains(&id.len());
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
    (fits && plain).then(|| id.to_owned())
}
