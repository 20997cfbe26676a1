use countersign_app::IssueCredential;
use serde_json::json;

use super::*;
use crate::{
    convert::idempotency::Idem,
    http::issue::{self, form},
    middleware::body_error,
};

/// Below the pipeline: says what it read.
pub(super) async fn echo(request: Request) -> Result<Response, Infallible> {
    assert_eq!(request.uri().path(), "/countersign.v1.CredentialService/IssueCredential");
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(body_error(error, "the-id")),
    };
    Ok(match form::read(&body) {
        Ok((issue, _)) => {
            let mut response =
                Response::new(Body::from(json!({ "sponsor_id": issue.sponsor_id.as_str() }).to_string()));
            response.headers_mut().insert("grpc-status", "0".parse().unwrap());
            response
        }
        Err(error) => refuse(error.into(), "the-id"),
    })
}

fn read(body: &str) -> (IssueCredential, Idem) {
    form::read(body.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

#[tokio::test]
async fn the_one_line_of_curl_passes_as_it_is_printed() {
    let answer = send(json_request("/issue", r#"{"tool":"billing","sponsor_id":"alice","ttl":300}"#)).await;
    assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({"sponsor_id": "alice"})));
    assert!(!answer.headers.contains_key("grpc-status"));
}

#[test]
fn what_is_not_given_has_a_default() {
    let (issue, idem) = read(r#"{"tool":"billing","sponsor_id":"alice"}"#);
    assert_eq!((issue.agent.as_str(), issue.purpose.as_str()), (issue::DEFAULT_AGENT, issue::DEFAULT_PURPOSE));
    assert_eq!((issue.role, issue.ttl_seconds, issue.single_use, idem), (None, None, false, None));
    let (issue, _) = read(
        r#"{"tool":"billing","sponsor_id":"alice","ttl":-5,"role":"support","agent":"triage","purpose":"p","single_use":true}"#,
    );
    assert_eq!((issue.agent.as_str(), issue.purpose.as_str(), issue.single_use), ("triage", "p", true));
    assert_eq!((issue.role.unwrap().as_str(), issue.ttl_seconds), ("support", Some(-5)));
}

#[test]
fn a_fingerprint_is_of_the_request_whatever_its_order() {
    let print = |body: &str| read(body).1.unwrap().fingerprint;
    let first = print(r#"{"tool":"billing","sponsor_id":"alice","ttl":300,"request_id":"r"}"#);
    assert_eq!(first, print(r#"{ "request_id":"s", "ttl":300, "sponsor_id":"alice", "tool":"billing" }"#));
    assert_ne!(first, print(r#"{"tool":"billing","sponsor_id":"alice","ttl":301,"request_id":"r"}"#));
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once_by_name() {
    let body = r#"{"sponsor_id":"Not A Name","ttl":"300","role":7,"single_use":"no","purpose":"","sub":"x","request_id":"a b"}"#;
    let answer = send(json_request("/issue", body)).await;
    let error = &answer.body["error"];
    assert_eq!((answer.status, &error["reason"]), (StatusCode::BAD_REQUEST, &json!("INVALID_REQUEST")));
    assert_eq!((&error["code"], &error["retryable"]), (&json!("invalid_argument"), &json!(false)));
    let mut fields: Vec<_> =
        error["violations"].as_array().unwrap().iter().map(|one| one["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["purpose", "request_id", "role", "single_use", "sponsor_id", "sub", "tool", "ttl"]);
}

#[tokio::test]
async fn what_is_no_object_is_refused() {
    for body in ["", "[]", "{", "\"x\"", "{\"tool\":\"a\",\"tool\":\"b\"}", "{} x", "{\"ttl\":1e400}", "{\"ttl\":3.5}"]
    {
        let answer = send(json_request("/issue", body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.body["error"]["message"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn refusals_have_the_http_status_that_fits() {
    let mut wrong_role = json_request("/issue", "{}");
    wrong_role.headers_mut().insert("authorization", "Bearer gate".parse().unwrap());
    let mut nobody = json_request("/issue", "{}");
    nobody.headers_mut().remove("authorization");
    let mut form = json_request("/issue", "tool=billing");
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let mut get = json_request("/issue", "");
    *get.method_mut() = http::Method::GET;
    let mut hasty = json_request("/issue", "{}");
    hasty.headers_mut().insert("authorization", "Bearer hasty".parse().unwrap());
    let large = json_request("/issue", vec![b' '; BOUNDS.message_bytes + 6]);
    for (request, status) in [(wrong_role, 403), (nobody, 401), (form, 415), (get, 405), (large, 413), (hasty, 429)] {
        let answer = send(request).await;
        assert_eq!(answer.status.as_u16(), status);
        assert!(answer.body["error"]["message"].is_string(), "{}", answer.body);
    }
}

proptest::proptest! {
    #[test]
    fn no_body_at_all_breaks_the_form(body: Vec<u8>, text: String) {
        let _ = form::read(&body);
        let _ = form::read(serde_json::json!({ "tool": text, "sponsor_id": text, "agent": text, "purpose": text }).to_string().as_bytes());
    }
}
