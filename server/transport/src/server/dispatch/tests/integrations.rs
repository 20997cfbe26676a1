use std::time::Duration;

use countersign_proto::third_party::{
    agentgateway::dev::ext_mcp::{McpRequestResult, McpResponseResult, mcp_request_result, mcp_response_result},
    envoy::service::auth::v3::{CheckResponse, check_response::HttpResponse},
};

use super::*;
use crate::middleware::testing::HASTY;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const CHECK_REQUEST: &str = "/agentgateway.dev.ext_mcp.ExtMcp/CheckRequest";
const CHECK_RESPONSE: &str = "/agentgateway.dev.ext_mcp.ExtMcp/CheckResponse";

/// What is wrong, the limits, the headers, the body, and the HTTP status of the denial.
type Case<'c> = (&'c str, Bounds, &'c [(&'c str, &'c str)], Vec<u8>, i32);

fn call(path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request {
    let mut request = Request::post(path).version(Version::HTTP_2).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body)).unwrap()
}

/// The single message of a successful gRPC answer.
async fn message<M: Message + Default>(bounds: Bounds, request: Request) -> M {
    let answer = port_with(bounds).oneshot(request).await.unwrap();
    assert_eq!((answer.status(), answer.headers().get("grpc-status")), (StatusCode::OK, None));
    assert!(answer.headers().contains_key("x-request-id"));
    let collected = answer.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    M::decode(&collected.to_bytes()[5..]).unwrap()
}

fn is_denied(answer: CheckResponse) -> i32 {
    assert_ne!(answer.status.unwrap().code, 0);
    let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else { panic!("not denied") };
    denied.status.unwrap().code
}

#[tokio::test]
async fn whatever_is_refused_before_envoys_check_is_a_denial() {
    const GATE: (&str, &str) = ("authorization", "Bearer gate");
    let full = Bounds { requests: 0, ..BOUNDS };
    let hasty = format!("Bearer {HASTY}");
    let cases: [Case<'_>; 11] = [
        ("a wrong key", BOUNDS, &[("authorization", "Bearer wrong")], Vec::new(), 403),
        ("no key", BOUNDS, &[], Vec::new(), 403),
        ("another role", BOUNDS, &[("authorization", "Bearer auditor")], Vec::new(), 403),
        ("no bearer", BOUNDS, &[("authorization", "Basic gate")], Vec::new(), 403),
        ("two keys", BOUNDS, &[GATE, GATE], Vec::new(), 403),
        ("a rate", BOUNDS, &[("authorization", &hasty)], Vec::new(), 429),
        ("a full server", full, &[GATE], Vec::new(), 429),
        ("an invalid timeout", BOUNDS, &[GATE, ("grpc-timeout", "soon")], Vec::new(), 403),
        ("a fault", BOUNDS, &[GATE, ("x-panic", "1")], Vec::new(), 500),
        ("a deadline", BOUNDS, &[GATE, ("x-slow", "1"), ("grpc-timeout", "100m")], Vec::new(), 504),
        ("what the service refuses", BOUNDS, &[GATE], vec![0; 5], 403),
    ];
    for (what, bounds, headers, body, http) in cases {
        assert_eq!(is_denied(message(bounds, call(CHECK, headers, body)).await), http, "{what}");
    }
    let large = call(CHECK, &[GATE, ("content-length", "999999")], Vec::new());
    assert_eq!(is_denied(message(BOUNDS, large).await), 403, "a large request");
}

#[tokio::test]
async fn the_denial_comes_before_the_gateway_stops_waiting() {
    let started = std::time::Instant::now();
    let headers = [("authorization", "Bearer gate"), ("x-slow", "1"), ("grpc-timeout", "2S")];
    assert_eq!(is_denied(message(BOUNDS, call(CHECK, &headers, Vec::new())).await), 504);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_gateway_of_mcp_gets_errors_as_results() {
    let wrong = [("authorization", "Bearer wrong")];
    let answer: McpRequestResult = message(BOUNDS, call(CHECK_REQUEST, &wrong, Vec::new())).await;
    assert!(matches!(answer.result, Some(mcp_request_result::Result::Error(_))), "{answer:?}");
    let answer: McpResponseResult = message(BOUNDS, call(CHECK_RESPONSE, &wrong, Vec::new())).await;
    let Some(mcp_response_result::Result::Error(error)) = answer.result else { panic!("passed") };
    assert!(error.reason.contains("do not repeat it"), "{error:?}");
}

#[tokio::test]
async fn gateways_that_speak_grpc_web_get_denials_too() {
    let request = Request::post(CHECK).header("content-type", "application/grpc-web+proto");
    let answer = port().oneshot(request.header("authorization", "Bearer wrong").body(Body::empty()).unwrap()).await;
    let body = answer.unwrap().into_body().collect().await.unwrap().to_bytes();
    let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    assert_eq!(is_denied(CheckResponse::decode(&body[5..5 + length]).unwrap()), 403);
    assert!(String::from_utf8_lossy(&body[5 + length..]).contains("grpc-status:0"));
}

#[tokio::test]
async fn other_methods_are_refused_as_ever() {
    for path in ["/countersign.v1.DecisionService/Decide", "/envoy.service.auth.v3.Authorization/Other"] {
        let answer = port().oneshot(call(path, &[("authorization", "Bearer wrong")], Vec::new())).await.unwrap();
        assert!(answer.headers().contains_key("grpc-status"), "{path}");
    }
}
