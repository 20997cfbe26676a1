//! The endpoints over a pipeline with made-up callers: a bearer is an operator with the roles that it names.

use axum::body::Body;
use http::header;
use tower::ServiceExt;

use super::*;
use crate::middleware::testing::{BOUNDS, stack};

/// A base whose path is not empty.
const BASE: &str = "https://pdp.example.com/tenant1";

/// Below the pipeline: reads the body as the endpoints do, and returns what it read.
async fn echo(mut request: Request) -> Result<Response, Infallible> {
    let id = request_id(&request);
    let (method, endpoint) = (request.uri().path().to_owned(), request.extensions_mut().remove::<Endpoint>());
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(body_error(error, &id)),
    };
    Ok(match object(&body, usize::MAX) {
        Ok(body) => rpc_route::done(
            Json(json!({ "method": method, "endpoint": format!("{:?}", endpoint.unwrap()), "body": body }))
                .into_response(),
        ),
        Err(error) => refuse(error.into(), &id),
    })
}

async fn send(request: Request) -> (http::response::Parts, String) {
    let pipeline = stack(BOUNDS).wrap(service_fn(echo));
    let (parts, body) = router(&pipeline, PublicUrl::parse(BASE)).oneshot(request).await.unwrap().into_parts();
    (parts, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

fn request(path: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

/// Headers, body; status, a part of the message.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, u16, &'a str);

const JSON: (&str, &str) = ("content-type", "application/json");
const GATE: (&str, &str) = ("authorization", "Bearer gate");

#[tokio::test]
async fn an_evaluation_becomes_its_method_at_root_and_below_base() {
    for (endpoint, method) in [("evaluation", "Decide"), ("evaluations", "BatchDecide"), ("search/action", "Decide")] {
        for base in ["", "/tenant1"] {
            let path = format!("{base}/access/v1/{endpoint}");
            let (parts, body) = send(request(&path, &[JSON, GATE], r#"{"subject": {"a": [1]}}"#)).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(parts.status, StatusCode::OK, "{path}: {body}");
            assert_eq!(body["method"], format!("/countersign.v1.DecisionService/{method}"));
            assert_eq!(body["body"], json!({"subject": {"a": [1]}}));
            assert_eq!(parts.headers[header::CONTENT_TYPE], "application/json");
            assert_eq!(parts.headers[header::CACHE_CONTROL], "no-store");
            assert!(parts.headers.contains_key(X_REQUEST_ID) && !parts.headers.contains_key("grpc-status"));
        }
    }
}

#[tokio::test]
async fn every_refusal_is_a_status_and_a_sentence_and_no_decision() {
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(BOUNDS.message_bytes));
    let cases: &[Case<'_>] = &[
        (&[GATE], "{}", 400, "the body must be JSON"),
        (&[GATE, ("content-type", "text/plain")], "{}", 400, "the body must be JSON"),
        (&[GATE, ("content-type", "application/json; charset=latin1")], "{}", 400, "the body must be JSON"),
        (&[GATE, JSON, ("content-encoding", "gzip")], "{}", 400, "must not be compressed"),
        (&[GATE, JSON], "", 400, "cannot be read"),
        (&[GATE, JSON], "{", 400, "cannot be read"),
        (&[GATE, JSON], "[]", 400, "must be a JSON object"),
        (&[GATE, JSON], "null", 400, "must be a JSON object"),
        (&[GATE, JSON], "{} {}", 400, "after the JSON object"),
        (&[GATE, JSON], r#"{"subject": 1, "subject": 2}"#, 400, "given twice"),
        (&[GATE, JSON], r#"{"subject": {"\u0069d": 1, "id": 2}}"#, 400, "given twice"),
        (&[GATE, JSON], r#"{"subject": "\ud800"}"#, 400, "cannot be read"),
        (&[GATE, JSON], &large, 413, "larger than"),
        (&[JSON], "{}", 401, "no credential"),
        (&[JSON, ("authorization", "Bearer wrong")], "{}", 401, "no such key"),
        (&[JSON, ("authorization", "Basic YTpi")], "{}", 401, "is Basic"),
        (&[JSON, ("authorization", "Bearer auditor")], "{}", 403, "one of: gate"),
        (&[JSON, ("authorization", "Bearer hasty")], "{}", 429, "faster"),
    ];
    for (headers, body, status, why) in cases {
        let (parts, said) = send(request("/access/v1/evaluation", headers, body)).await;
        assert_eq!(parts.status.as_u16(), *status, "{headers:?} {said}");
        assert!(said.contains(why) || *status == 429, "{said}");
        assert_eq!(parts.headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        assert!(serde_json::from_str::<Value>(&said).is_err(), "{said}");
    }
    let (parts, _) = send(Request::get("/access/v1/evaluations").body(Body::empty()).unwrap()).await;
    assert_eq!((parts.status.as_u16(), parts.headers[header::ALLOW].as_bytes()), (405, &b"POST"[..]));
}

#[tokio::test]
async fn the_callers_request_id_comes_back_as_it_was_sent() {
    for id in ["bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "any thing {at} all", &"x".repeat(500)] {
        for headers in [&[JSON, GATE][..], &[JSON], &[]] {
            let headers = [headers, &[("x-request-id", id)]].concat();
            let (parts, _) = send(request("/access/v1/evaluation", &headers, "{}")).await;
            assert_eq!(parts.headers[X_REQUEST_ID], id);
            assert_eq!(parts.headers.get_all(X_REQUEST_ID).iter().count(), 1);
        }
    }
}

#[tokio::test]
async fn metadata_says_what_is_configured_whatever_is_asked() {
    for path in ["/.well-known/authzen-configuration", "/.well-known/authzen-configuration/tenant1"] {
        let request =
            Request::get(path).header("host", "evil.example.com").header("x-forwarded-host", "evil.example.com");
        let (parts, body) = send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(parts.status, StatusCode::OK);
        assert_eq!(parts.headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["policy_decision_point"], BASE);
        assert!(!body.contains("evil"));
    }
    let pipeline = stack(BOUNDS).wrap(service_fn(echo));
    let nowhere = Request::get("/.well-known/authzen-configuration").body(Body::empty()).unwrap();
    let answer = router(&pipeline, None).oneshot(nowhere).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND, "a server that does not know its URL");
}
