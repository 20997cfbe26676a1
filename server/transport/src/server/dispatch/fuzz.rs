//! Rules for the port as a whole: any request, through the front ends and the pipeline. For tests and fuzz targets
//! only.

use std::{cell::RefCell, convert::Infallible};

use axum::{Router, body::Body, extract::Request, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tonic::service::Routes;
use tower::{ServiceExt as _, service_fn};

use super::Dispatcher;
use crate::{
    fuzz::SECRET,
    http::{public_url::PublicUrl, rpc_route, transcode},
    integrations::authzen,
    middleware::testing::{BOUNDS, stack},
    oauth,
};

/// A request to each front end: method, path and version, the headers, and after an empty line the body.
#[must_use]
pub fn http_seeds() -> Vec<Vec<u8>> {
    let key = format!("authorization: Bearer admin,gate,issuer,{SECRET}");
    let json = "host: localhost\ncontent-type: application/json\nauthorization: Bearer admin,gate,issuer,registrar";
    let form = "host: localhost:80\ncontent-type: application/x-www-form-urlencoded";
    let texts = [
        format!(
            "POST /countersign.v1.DecisionService/Decide 1.1\n{json}\n\n{{\"token\":\"a\",\"toolId\":\"billing\"}}"
        ),
        format!("POST /countersign.v1.SponsorService/RegisterSponsor 2\n{json}\nconnect-timeout-ms: 100\n\n{{}}"),
        format!("POST /issue 1.1\n{json}\nx-request-id: r-1\n\n{{\"tool\":\"billing\",\"sponsor_id\":\"alice\"}}"),
        format!("POST /access/v1/evaluation 1.1\n{json}\nx-request-id: \u{e9}\n\n{{}}"),
        format!("POST /oauth/token 1.1\n{form}\n\ngrant_type=a&subject_token={SECRET}"),
        format!("POST /oauth/introspect 1.1\n{form}\nauthorization: Basic cml0YTpjc2tfeA==\n\ntoken={SECRET}"),
        format!("POST /oauth/revoke 1.0\n{form}\n{key}\n\ntoken=a"),
        format!(
            "POST /countersign.v1.OperatorService/WhoAmI 2\ncontent-type: application/grpc\n{key}\ngrpc-timeout: 1S\n\n\0\0\0\0\0"
        ),
        format!(
            "POST /envoy.service.auth.v3.Authorization/Check 2\ncontent-type: application/grpc\n{key}\n\n\0\0\0\0\0"
        ),
        format!(
            "POST /countersign.v1.StatusService/GetReadiness 1.1\nhost: a\ncontent-type: application/grpc-web-text\n{key}\n\nAAAAAAA="
        ),
        "GET /.well-known/authzen-configuration?tenant=1 1.1\nhost: [::1]:8080\n\n".to_owned(),
        "DELETE /nothing 1.1\nhost: a\nhost: b\n\n".to_owned(),
        "OPTIONS * 1.1\nhost: localhost\naccess-control-request-method: POST\n\n".to_owned(),
        format!("PUT http://u@localhost/issue 1.1\nhost: localhost\nforwarded: for=\"{SECRET}\"\n\n"),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

thread_local! {
    /// A runtime and a port. They are replaced from time to time, because the invented callers remember what was
    /// refused to them.
    static PORT: RefCell<(usize, tokio::runtime::Runtime, Dispatcher)> = RefCell::new((0, runtime(), port()));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// Behind the front ends: reads the whole body and answers with an empty message.
async fn nothing(request: Request) -> Response {
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    drop(request.into_body().collect().await);
    let body = Full::new(transcode::frame(&[])).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The same for front ends that answer themselves.
async fn done(request: Request) -> Result<Response, Infallible> {
    drop(request.into_body().collect().await);
    Ok(rpc_route::done(axum::response::IntoResponse::into_response(axum::Json(json!({})))))
}

fn port() -> Dispatcher {
    let stack = stack(BOUNDS);
    let pipeline = stack.wrap(service_fn(done));
    let plain =
        oauth::endpoints(&pipeline).merge(authzen::router(&pipeline, PublicUrl::parse("https://pdp.example.com/t1")));
    Dispatcher::new(&stack, Routes::from(Router::new().fallback(nothing)), service_fn(done), plain)
}

/// Reads a request in the form of the seeds, and whether an answer may not repeat the secret. `None` if no client can
/// send it.
fn request(data: &[u8]) -> Option<(Request, bool)> {
    let end = data.windows(2).position(|pair| pair == b"\n\n")?;
    let (head, body) = (&data[..end], &data[end + 2..]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.split(|byte| *byte == b' ');
    let mut request = Request::builder().method(first.next()?).uri(first.next()?).version(match first.next()? {
        b"1.0" => Version::HTTP_10,
        b"1.1" => Version::HTTP_11,
        _ => Version::HTTP_2,
    });
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..at], line[at + 1..].trim_ascii());
    }
    // A refusal may repeat the path.
    let first = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let quiet = !first.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    Some((request.body(Body::from(body.to_vec())).ok()?, quiet))
}

/// Any request gets an answer that is not an error of ours, is JSON if it says so, and repeats no header and no body.
///
/// # Panics
/// If that is not the case.
pub fn http(data: &[u8]) {
    let Some((request, quiet)) = request(data) else { return };
    let echoed =
        request.headers().get("x-request-id").is_some_and(|id| String::from_utf8_lossy(id.as_bytes()).contains(SECRET));
    PORT.with_borrow_mut(|(uses, runtime, port)| {
        *uses += 1;
        if *uses > 1_000 {
            (*uses, *port) = (0, self::port());
        }
        let (parts, body) = runtime.block_on(async {
            let response = port.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
            let (parts, body) = response.into_parts();
            (parts, body.collect().await.expect("the answer is whole").to_bytes())
        });
        assert_ne!(parts.status, StatusCode::INTERNAL_SERVER_ERROR, "{parts:?}");
        assert_ne!(parts.headers.get("grpc-status").map(HeaderValue::as_bytes), Some(&b"13"[..]), "{parts:?}");
        let kind = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if kind.starts_with(b"application/json") && !body.is_empty() {
            assert!(body.ends_with(b"\n") && serde_json::from_slice::<Value>(&body).is_ok(), "{body:?}");
        }
        let said = format!("{parts:?} {}", String::from_utf8_lossy(&body));
        assert!(!quiet || echoed || !said.contains(SECRET), "{said}");
    });
}
