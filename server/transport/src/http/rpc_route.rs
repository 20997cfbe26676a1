//! A plain HTTP route that calls a method of the contract, through the same pipeline and the same row of the table.

use axum::{extract::Request, response::Response};
use http::{HeaderName, HeaderValue, Uri, header, uri::PathAndQuery};
use tonic::{Code, Status};
use tower::ServiceExt;

use crate::middleware::{Pipeline, names, outcome};

/// With this header a service below the pipeline reports success.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Calls `method` with the unchanged `request`; `write` writes a refusal in the route's form.
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
            let mut refused = write(&status);
            refused.headers_mut().extend(names(response.headers()));
            refused
        }
        _ => {
            response.headers_mut().remove(GRPC_STATUS);
            response
        }
    }
}

/// Below the pipeline: a successful answer, which must not be cached.
pub(crate) fn done(mut response: Response) -> Response {
    response.headers_mut().insert(GRPC_STATUS, HeaderValue::from_static("0"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The path that the pipeline knows; the authority is kept.
fn as_method(uri: &Uri, method: &'static str) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(method));
    // In a URI of any form except `*` and `host:port`, which no route matches, the path can be replaced.
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static(method))
}
