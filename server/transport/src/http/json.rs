//! Connect's unary form: a method's path and a JSON body, without an envelope. `curl` needs no header except the
//! content type. Refused are another content type (415), a compressed body, a stream (501), an unknown path (404), and
//! another `connect-protocol-version` than 1.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tonic::{Code, Status};
use tower::ServiceExt;

use super::{connect, reject::Rejection, transcode};
use crate::middleware::{Pipeline, names, outcome};

/// The media type of both bodies.
const JSON: &str = "application/json";
const CONNECT_VERSION: &str = "connect-protocol-version";

/// Serves one call; `pipeline` takes the JSON and answers with gRPC.
pub(crate) async fn call(pipeline: Pipeline, request: Request) -> Response {
    if let Err(refused) = acceptable(&request) {
        return refused.answer(connect::error);
    }
    let path = request.uri().path().to_owned();
    match pipeline.oneshot(request).await {
        Ok(response) => answer(&path, response).await,
        Err(never) => match never {},
    }
}

/// Refuses every request that is not a unary call in JSON, each with its HTTP status.
fn acceptable(request: &Request) -> Result<(), Rejection> {
    let path = request.uri().path();
    let Some(method) = transcode::method(path) else {
        let message = format!("there is nothing at {path}; GET / lists what there is");
        return Err(Rejection::new(StatusCode::NOT_FOUND, Status::unimplemented(message)));
    };
    takes_json(request.headers())?;
    if method.is_server_streaming() || method.is_client_streaming() {
        let name = method.name();
        let message = format!("{name} is a stream, and JSON has single answers only: call it over gRPC or gRPC-web");
        return Err(Rejection::new(StatusCode::NOT_IMPLEMENTED, Status::unimplemented(message)));
    }
    match request.headers().get(CONNECT_VERSION) {
        Some(version) if version != "1" => {
            let message = format!("{CONNECT_VERSION} must be 1, or absent");
            Err(Rejection::new(StatusCode::BAD_REQUEST, Status::invalid_argument(message)))
        }
        _ => Ok(()),
    }
}

/// Refuses any body but plain JSON in UTF-8.
pub(crate) fn takes_json(headers: &HeaderMap) -> Result<(), Rejection> {
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        let what = "the body must be JSON: send content-type: application/json";
        return Err(Rejection::unsupported(what, HeaderName::from_static("accept-post"), JSON));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Rejection::unsupported("the body must not be compressed", header::ACCEPT_ENCODING, "identity"));
    }
    Ok(())
}

fn is_json(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else { return false };
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let mut parameters = parameters.split(';').map(str::trim).filter(|parameter| !parameter.is_empty());
    let utf8 = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    kind.trim().eq_ignore_ascii_case(JSON) && parameters.all(utf8)
}

/// The gRPC answer, as Connect writes it.
async fn answer(path: &str, response: Response) -> Response {
    let names = names(response.headers());
    let mut response = match outcome(&response) {
        Some(status) if status.code() != Code::Ok => connect::error(&status, None),
        _ => match transcode::read_answer(path, response).await {
            Ok(json) => ([(header::CONTENT_TYPE, JSON), (header::CACHE_CONTROL, "no-store")], json).into_response(),
            Err(status) => connect::error(&status, None),
        },
    };
    response.headers_mut().extend(names);
    response
}
