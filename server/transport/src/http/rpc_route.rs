//! A plain HTTP route that is a method of the contract by another name: the same pipeline, the same row of the table.

use axum::{extract::Request, response::Response};
use http::{HeaderName, HeaderValue, Uri, header, uri::PathAndQuery};
use tonic::{Code, Status};
use tower::ServiceExt;

use crate::middleware::{Pipeline, X_REQUEST_ID, outcome};

/// How a service below the pipeline says that all went well.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Calls `method` with `request` as it is; what is refused, `write` says in the route's words.
pub(crate) async fn call(
    pipeline: Pipeline,
    method: &'static str,
    mut request: Request,
    write: impl FnOnce(&Status) -> Response,
) -> Response {
    *request.uri_mut() = as_method(request.uri(), method);
    let mut response = match pipeline.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    match outcome(&response) {
        Some(status) if status.code() != Code::Ok => {
            let id = response.headers().get(X_REQUEST_ID).cloned();
            let mut refused = write(&status);
            if let Some(id) = id {
                refused.headers_mut().insert(X_REQUEST_ID, id);
            }
            refused
        }
        _ => {
            response.headers_mut().remove(GRPC_STATUS);
            response
        }
    }
}

/// Below the pipeline: an answer that went well, which nobody keeps.
pub(crate) fn done(mut response: Response) -> Response {
    response.headers_mut().insert(GRPC_STATUS, HeaderValue::from_static("0"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The path that the pipeline knows; the authority stays.
fn as_method(uri: &Uri, method: &'static str) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(method));
    // A path may replace a path in any form of a URI but `*` and `host:port`, which no route matches.
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static(method))
}
