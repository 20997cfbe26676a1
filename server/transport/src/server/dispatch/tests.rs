//! Tests of each front end, over a pipeline with invented callers and services that return what they were asked.

mod integrations;
mod issue;
mod json;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::Response,
    routing::get,
};
use bytes::{BufMut, BytesMut};
use countersign_proto::v1;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use prost::Message;
use serde_json::Value;
use tower::{service_fn, util::MapRequest};

use super::*;
use crate::{
    middleware::{
        Bounds, refuse,
        testing::{BOUNDS, stack},
    },
    status::Refusal,
};

fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}

/// A gRPC answer: a message, then the status in the trailers.
fn answered(message: &impl Message) -> Response {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let body = Body::new(http_body_util::Full::new(framed(message)).with_trailers(async { Some(Ok(trailers)) }));
    Response::builder().header(header::CONTENT_TYPE, "application/grpc").body(body).unwrap()
}

async fn asked<M: Message + Default>(request: Request) -> M {
    let bytes = request.into_body().collect().await.unwrap().to_bytes();
    M::decode(&bytes[5..]).unwrap()
}

/// Answers a few methods; the messages show what was asked.
async fn echo(request: Request) -> Response {
    match request.uri().path() {
        "/countersign.v1.SponsorService/RegisterSponsor" => {
            let asked: v1::RegisterSponsorRequest = asked(request).await;
            let sponsor = v1::Sponsor {
                sponsor_id: asked.sponsor_id,
                display_name: asked.display_name,
                roles: asked.roles,
                max_ttl: asked.max_ttl,
                labels: asked.labels,
                state: v1::SponsorState::Pending.into(),
                create_time: Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 0 }),
                ..Default::default()
            };
            answered(&v1::RegisterSponsorResponse { sponsor: Some(sponsor) })
        }
        "/countersign.v1.DecisionService/Decide" => {
            let asked: v1::DecideRequest = asked(request).await;
            let policy_decision_id = format!("{:?} {:?}", asked.request_hash, asked.context.is_some());
            answered(&v1::DecideResponse { policy_decision_id, log_index: 1 << 60, ..Default::default() })
        }
        "/countersign.v1.OperatorService/WhoAmI" => answered(&v1::WhoAmIResponse::default()),
        "/envoy.service.auth.v3.Authorization/Check" if request.headers().contains_key("x-panic") => panic!("a fault"),
        "/envoy.service.auth.v3.Authorization/Check" if request.headers().contains_key("x-slow") => {
            std::future::pending().await
        }
        _ => refuse(Refusal::invalid("sponsor_id", "is required"), "the-id"),
    }
}

/// A port that is called as HTTP/1.1 clients do.
type Called = MapRequest<Dispatcher, fn(Request) -> Request>;

fn called(port: Dispatcher) -> Called {
    port.map_request(|mut request| {
        request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
        request
    })
}

fn port() -> Called {
    port_with(BOUNDS)
}

fn port_with(bounds: Bounds) -> Called {
    let stack = stack(bounds);
    let services = Routes::from(Router::new().fallback(echo));
    let plain = Router::new().route("/healthz", get(|| async { "up" }));
    called(Dispatcher::new(&stack, services, service_fn(issue::echo), plain))
}

/// An answer: status, headers, and the JSON of the body.
struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

async fn send(request: Request) -> Answer {
    let (parts, body) = port().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status: parts.status, headers: parts.headers, body }
}

fn json_request(path: &str, body: impl Into<Body>) -> Request {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("authorization", "Bearer admin,registrar,issuer,gate");
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn grpc_passes_as_it_is() {
    let request = Request::post("/countersign.v1.OperatorService/WhoAmI")
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc+proto")
        .header("authorization", "Bearer gate")
        .body(Body::from(framed(&v1::WhoAmIRequest {})))
        .unwrap();
    let collected = port().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn grpc_over_http_1_is_told_what_to_send_instead() {
    let request = Request::post("/countersign.v1.OperatorService/WhoAmI").header("content-type", "application/grpc");
    let answer = send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    assert!(answer.body["message"].as_str().unwrap().contains("gRPC-web"));
}

#[tokio::test]
async fn grpc_web_has_answers_and_refusals_in_its_own_form() {
    let call = |bearer: &str| {
        Request::post("/countersign.v1.OperatorService/WhoAmI")
            .header("content-type", "application/grpc-web+proto")
            .header("authorization", format!("Bearer {bearer}"))
            .body(Body::from(framed(&v1::WhoAmIRequest {})))
            .unwrap()
    };
    let answer = port().oneshot(call("admin")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/grpc-web+proto");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let trailers = body.iter().position(|byte| *byte == 0x80).unwrap();
    assert!(String::from_utf8_lossy(&body[trailers + 5..]).contains("grpc-status:0"));

    let refusal = port().oneshot(call("wrong")).await.unwrap();
    assert_eq!(refusal.status(), StatusCode::OK);
    let in_headers = refusal.headers().get("grpc-status").cloned();
    let body = refusal.into_body().collect().await.unwrap().to_bytes();
    assert!(in_headers.is_some_and(|code| code == "16") || String::from_utf8_lossy(&body).contains("grpc-status:16"));
}

#[tokio::test]
async fn plain_routes_take_head_and_name_their_methods() {
    let head = port().oneshot(Request::head("/healthz").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());

    let answer = send(Request::post("/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.headers["allow"].as_bytes()), (StatusCode::METHOD_NOT_ALLOWED, &b"GET,HEAD"[..]));
    assert_eq!(answer.body["error"]["code"], "unimplemented");
}
