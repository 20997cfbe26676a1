//! The request gets an id, and its method a row of the table.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

use super::{Known, RequestContext, Stack, outcome::answer};
use crate::authz;

/// Carries the request id, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a caller, bytes.
const MAX_REQUEST_ID: usize = 128;

/// Gives the request its id, and the answer the same.
pub(super) async fn identify(State(stack): State<Arc<Stack>>, mut request: Request, next: Next) -> Response {
    let id = sane(request.headers()).unwrap_or_else(|| stack.authority.fresh_id().to_string());
    if let Some(row) = authz::row(request.uri().path()) {
        request.extensions_mut().insert(Known(row));
    }
    let echoed = HeaderValue::from_str(&id);
    request.extensions_mut().insert(RequestContext { request_id: id });

    let mut response = next.run(request).await;
    if let Ok(echoed) = echoed {
        response.headers_mut().insert(X_REQUEST_ID, echoed);
    }
    response
}

/// Refuses a method that the table does not know, before anything is spent on it.
pub(super) async fn known(request: Request, next: Next) -> Response {
    if request.extensions().get::<Known>().is_some() {
        return next.run(request).await;
    }
    let path = request.uri().path();
    answer(Status::unimplemented(format!("this server has no method {path}; reflection lists those it has")))
}

/// The caller's id, where it can stand in a log without harm.
fn sane(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=MAX_REQUEST_ID).contains(&id.len());
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
    (fits && plain).then(|| id.to_owned())
}
