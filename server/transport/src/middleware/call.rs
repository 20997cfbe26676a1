//! One call: its id (`x-request-id`: the caller's if it is safe to log, otherwise a new one), and the row of its method
//! in the table. A method without a row is refused.

use std::sync::Arc;

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;
use tracing::{Span, field::Empty};

use super::{
    AccessControl,
    trace::{CallTrace, TRACEPARENT},
};
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
    pub(crate) request_id: Arc<str>,
}

/// The request's id, for refusals.
pub(crate) fn request_id(request: &Request) -> String {
    request.extensions().get::<RequestContext>().map(|context| context.request_id.to_string()).unwrap_or_default()
}

/// The request id and the trace of an answer, for the same answer in another form.
pub(crate) fn names(headers: &HeaderMap) -> HeaderMap {
    let name = |name: HeaderName| headers.get(&name).map(|value| (name, value.clone()));
    [X_REQUEST_ID, TRACEPARENT].into_iter().filter_map(name).collect()
}

/// What every step knows about a call.
pub(super) struct Call {
    pub(super) request_id: Arc<str>,
    /// `None` if there is no such method.
    pub(super) row: Option<&'static Row>,
    /// Its span in the log. It has the highest level, so that every line has the request id whatever level the log has.
    pub(super) log: Span,
    /// It in its trace.
    pub(super) trace: CallTrace,
}

/// The label of methods that do not exist; callers must not be able to create labels.
pub(super) const UNKNOWN: &str = "unknown";

impl Call {
    /// Gives `request` its id, finds its method's row, and begins its spans.
    pub(super) fn of(request: &mut Request, access: &dyn AccessControl) -> Self {
        let request_id: Arc<str> =
            sane(request.headers()).map_or_else(|| access.fresh_id().to_string().into(), Into::into);
        request.extensions_mut().insert(RequestContext { request_id: request_id.clone() });
        let row = authz::row(request.uri().path());
        let method = row.map_or(UNKNOWN, |row| row.method);
        let log = tracing::error_span!("call", method, request_id = &*request_id, caller = Empty, code = Empty);
        let trace = CallTrace::begin(method, &request_id, request.headers());
        Self { request_id, row, log, trace }
    }

    /// The method, as it may be named in logs and metrics.
    pub(super) fn method(&self) -> &'static str {
        self.row.map_or(UNKNOWN, |row| row.method)
    }

    /// Adds the caller to the spans.
    pub(super) fn called_by(&self, caller: &str) {
        self.log.record("caller", caller);
        self.trace.span.record("countersign.caller", caller);
    }

    /// Adds the request id and the trace to an answer.
    pub(super) fn name(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert(X_REQUEST_ID, id);
        }
        if let Some(traceparent) = &self.trace.traceparent {
            headers.insert(TRACEPARENT, traceparent.clone());
        }
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
fn sane(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=MAX_REQUEST_ID).contains(&id.len());
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
    (fits && plain).then_some(id)
}
