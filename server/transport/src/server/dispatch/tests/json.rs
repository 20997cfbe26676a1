use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::json;

use super::*;

const REGISTER: &str = "/countersign.v1.SponsorService/RegisterSponsor";
const DECIDE: &str = "/countersign.v1.DecisionService/Decide";

#[tokio::test]
async fn both_spellings_are_read_and_canonical_json_is_written() {
    let expected = json!({"sponsor": {
        "sponsorId": "alice", "displayName": "Alice", "roles": ["support"], "maxTtl": "300s", "labels": {"a_b": "1"},
        "state": "SPONSOR_STATE_PENDING", "createTime": "2026-01-02T03:04:05Z",
    }});
    for body in [
        r#"{"sponsor_id":"alice","display_name":"Alice","roles":["support"],"max_ttl":"300s","labels":{"a_b":"1"}}"#,
        r#"{"sponsorId":"alice","displayName":"Alice","roles":["support"],"maxTtl":"300s","labels":{"a_b":"1"}}"#,
    ] {
        let answer = send(json_request(REGISTER, body)).await;
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, &expected));
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.headers.contains_key("x-request-id"));
        assert!(!answer.headers.contains_key("grpc-status"));
    }
}

#[tokio::test]
async fn large_numbers_are_strings_and_bytes_are_base64() {
    let body = json!({"request_hash": STANDARD_NO_PAD.encode([1, 2, 3]), "context": {"a": 1, "b": {"a": [null]}}});
    let answer = send(json_request(DECIDE, body.to_string())).await;
    assert_eq!(answer.body["logIndex"], "1152921504606846976");
    assert_eq!(answer.body["policyDecisionId"], "[1, 2, 3] true");
}

#[tokio::test]
async fn a_method_without_fields_needs_no_body() {
    for body in ["", " \n", "{}"] {
        let answer = send(json_request("/countersign.v1.OperatorService/WhoAmI", body)).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({})), "{body:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_the_name_of_the_field() {
    let deep = format!("{{\"context\":{}{}}}", "{\"a\":".repeat(200), "}".repeat(200));
    let cases: [(&[u8], &str, &str); 16] = [
        (b"{", "", "EOF"),
        (b"[]", "", ""),
        (b"null", "", ""),
        (b"{} {}", "", "after"),
        (b"not json", "", ""),
        (b"\xff\xfe", "", "UTF-8"),
        (br#"{"token":"a","tokn":"b"}"#, "tokn", "no such field"),
        (br#"{"toolId":"a","tool_id":"b"}"#, "tool_id", "twice"),
        (br#"{"token":"a","token":"b"}"#, "token", "twice"),
        (br#"{"context":{"a":1,"a":2}}"#, "context.a", "twice"),
        (br#"{"token":7}"#, "token", "string"),
        (br#"{"want_receipt":"yes"}"#, "want_receipt", "boolean"),
        (br#"{"request_hash":"%%"}"#, "request_hash", "base64"),
        (br#"{"context":"text"}"#, "context", ""),
        (br#"{"context":{"a":1e999}}"#, "context.a", ""),
        (deep.as_bytes(), "context", ""),
    ];
    for (body, field, words) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = send(json_request(DECIDE, body.to_vec())).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_argument")),
            "{shown}"
        );
        let bad = &answer.body["details"][1]["debug"]["fieldViolations"][0];
        let found = bad["field"].as_str().unwrap_or_default();
        assert!(found.starts_with(field), "{shown}: {found}");
        assert!(bad["description"].as_str().unwrap().contains(words), "{shown}: {bad}");
    }
}

#[tokio::test]
async fn an_error_has_connects_form_with_every_detail() {
    let mut request = json_request("/countersign.v1.SponsorService/GetSponsor", "{}");
    request.headers_mut().insert("x-request-id", "the-id".parse().unwrap());
    let answer = send(request).await;
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")));
    let info = &answer.body["details"][0];
    assert_eq!((&info["type"], &info["debug"]["reason"]), (&json!("google.rpc.ErrorInfo"), &json!("INVALID_REQUEST")));
    let bytes = STANDARD_NO_PAD.decode(info["value"].as_str().unwrap()).unwrap();
    assert_eq!(tonic_types::pb::ErrorInfo::decode(&bytes[..]).unwrap().domain, "countersign");
    assert_eq!(answer.body["details"][1]["type"], "google.rpc.BadRequest");
    assert_eq!(answer.headers["x-request-id"], "the-id");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_how_and_nothing_is_read_for_them() {
    let mut request = json_request(REGISTER, "not even json");
    request.headers_mut().remove("authorization");
    let answer = send(request).await;
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthenticated")));
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));

    let mut request = json_request(REGISTER, "not even json");
    request.headers_mut().insert("authorization", "Bearer gate".parse().unwrap());
    let answer = send(request).await;
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::FORBIDDEN, &json!("permission_denied")));
    assert_eq!(answer.body["details"][0]["debug"]["metadata"]["roles"], "registrar");
}

#[tokio::test]
async fn http_has_words_of_its_own_for_what_is_no_call() {
    let with = |name: &'static str, value: &str| {
        let mut request = json_request(REGISTER, "{}");
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let mut get = json_request(REGISTER, "");
    *get.method_mut() = http::Method::GET;
    let cases = [
        (json_request("/nothing", "{}"), 404, None),
        (json_request("/countersign.v1.SponsorService/Nothing", "{}"), 404, None),
        (get, 405, Some(("allow", "POST"))),
        (with("content-type", "text/plain"), 415, Some(("accept-post", "application/json"))),
        (with("content-type", "application/json; charset=latin1"), 415, None),
        (with("content-type", "application/connect+json"), 415, None),
        (with("content-type", "Application/JSON; Charset=\"UTF-8\""), 200, None),
        (with("content-encoding", "gzip"), 415, Some(("accept-encoding", "identity"))),
        (with("connect-protocol-version", "2"), 400, None),
        (with("connect-protocol-version", "1"), 200, None),
        (json_request("/countersign.v1.RolloutService/WatchRollouts", "{}"), 501, None),
        (json_request(REGISTER, vec![b' '; BOUNDS.message_bytes + 6]), 413, None),
    ];
    for (request, status, header) in cases {
        let shown = format!("{request:?}");
        let answer = send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{shown}: {}", answer.body);
        assert!(status == 200 || answer.body["message"].is_string(), "{shown}");
        if let Some((name, value)) = header {
            assert_eq!(answer.headers[name], value);
        }
    }
}

#[tokio::test]
async fn a_request_passes_the_pipeline_once() {
    let stack = stack(crate::middleware::Bounds { requests: 1, ..BOUNDS });
    let services = Routes::from(Router::new().fallback(echo));
    let port = called(Dispatcher::new(&stack, services, service_fn(super::issue::echo), Router::new()));
    for (path, body) in
        [("/countersign.v1.OperatorService/WhoAmI", "{}"), ("/issue", r#"{"tool":"a","sponsor_id":"b"}"#)]
    {
        let answer = port.clone().oneshot(json_request(path, body)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path} took more than one place");
    }
}

#[tokio::test]
async fn overload_says_when_to_come_back() {
    let stack = stack(crate::middleware::Bounds { requests: 0, ..BOUNDS });
    let port = called(Dispatcher::new(&stack, Routes::default(), service_fn(super::issue::echo), Router::new()));
    for path in [REGISTER, "/issue"] {
        let answer = port.clone().oneshot(json_request(path, "{}")).await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["retry-after"]),
            (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap())
        );
    }
}
