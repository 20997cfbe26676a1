//! The front ends over a pipeline with invented callers: a bearer is an operator with the roles that it names.

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::middleware::{
    refuse,
    testing::{BOUNDS, stack},
};

/// Endpoint, headers, body; status, error, challenges.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str, &'a str);

/// The form of an API key; no operator has it.
const KEY: &str = "csk_01890a5dac96774bbcceb302099a8057_SECRETSECRETSECRETSECRETSECRETSECRETSECRETS";
const FORM: &str = "application/x-www-form-urlencoded";

/// Below the pipeline: returns what it received.
async fn echo(request: Request) -> Result<Response, Infallible> {
    let asked = request.extensions().get::<Arc<ParsedRequest>>().unwrap();
    let caller = request.extensions().get::<Authorized>().unwrap().by_role().unwrap();
    if let Err(wrong) = asked.client.check(caller) {
        return Ok(wrong.status("the-id").into_http());
    }
    let said = json!({
        "method": request.uri().path(),
        "scheme": format!("{:?}", asked.client.scheme),
        "token": asked.form.get("token"),
        "audience": asked.form.all("audience"),
    });
    Ok(rpc_route::done(axum::response::IntoResponse::into_response(axum::Json(said))))
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Value,
}

async fn send(request: Request) -> Answer {
    let pipeline = stack(BOUNDS).wrap(service_fn(echo));
    let (parts, body) = endpoints(&pipeline).oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

fn request(endpoint: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut request = Request::post(format!("/oauth/{endpoint}")).header("content-type", FORM);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

fn named<'a>(answer: &'a Answer, header: &str) -> &'a str {
    answer.headers[header].to_str().unwrap()
}

fn challenges(answer: &Answer) -> String {
    let values = answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap());
    values.map(|value| value.split(' ').next().unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_form_becomes_a_call_of_its_method() {
    for (endpoint, method, role) in [
        ("introspect", "IntrospectCredential", "gate"),
        ("revoke", "RevokeCredential", "approver"),
        ("token", "DelegateCredential", "issuer"),
    ] {
        let bearer = format!("Bearer {role}");
        let answer =
            send(request(endpoint, &[("authorization", &bearer)], "token=a%20b%2Bc+d&unknown=1&unknown=2")).await;
        let said = json!({
            "method": format!("/countersign.v1.CredentialService/{method}"),
            "scheme": "Bearer", "token": "a b+c d", "audience": [],
        });
        assert_eq!((answer.status, &answer.body), (200, &said));
        assert_eq!((named(&answer, "cache-control"), named(&answer, "pragma")), ("no-store", "no-cache"));
        assert!(answer.headers.contains_key("x-request-id") && !answer.headers.contains_key("grpc-status"));
    }
}

#[tokio::test]
async fn a_content_type_may_name_a_charset_and_a_target_repeat() {
    let mut sent = request("token", &[("authorization", "Bearer issuer")], "audience=a&audience=b&token=");
    sent.headers_mut().insert("content-type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8".parse().unwrap());
    let answer = send(sent).await;
    assert_eq!((answer.status, &answer.body["audience"]), (200, &json!(["a", "b"])));
    assert_eq!(answer.body["token"], Value::Null, "a parameter without a value is none");
}

#[tokio::test]
async fn an_exchange_without_a_client_is_by_the_tokens_holder() {
    let answer = send(request("token", &[], "subject_token=issuer")).await;
    assert_eq!((answer.status, &answer.body["scheme"]), (200, &json!("Subject")));
    // At other endpoints a token authenticates no caller, and neither does a token beside a client that fails.
    for endpoint in ["introspect", "revoke"] {
        assert_eq!(send(request(endpoint, &[], "subject_token=admin&token=admin")).await.status, 401);
    }
    let failing = request("token", &[("authorization", &basic("rita", KEY))], "subject_token=issuer");
    assert_eq!(send(failing).await.status, 401);
    // A subject token that is not valid is an error of the request, not of the client.
    let answer = send(request("token", &[], "subject_token=gone")).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn every_error_has_its_word_status_and_challenge() {
    let bearer = ("authorization", "Bearer issuer");
    let (rita, other) = (basic("rita", KEY), basic("rita", "hunter2"));
    let post = format!("token=t&client_id=rita&client_secret={KEY}");
    let (both, twice) = (format!("client_id=rita&client_secret={KEY}"), [bearer, ("authorization", "Bearer issuer")]);
    let cases: [Case<'_>; 24] = [
        ("introspect", &[], "token=t", 401, "invalid_client", "Basic Bearer"),
        ("revoke", &[], "token=t", 401, "invalid_client", "Basic Bearer"),
        ("token", &[], "grant_type=password", 401, "invalid_client", "Basic Bearer"),
        ("introspect", &[("authorization", "Bearer wrong")], "token=t", 401, "invalid_token", "Bearer"),
        ("revoke", &[("authorization", "Bearer wrong")], "token=t", 401, "invalid_client", "Bearer"),
        ("introspect", &[("authorization", "Bearer")], "token=t", 401, "invalid_token", "Bearer"),
        ("introspect", &[("authorization", &rita)], "token=t", 401, "invalid_client", "Basic"),
        ("introspect", &[("authorization", &other)], "token=t", 401, "invalid_client", "Basic"),
        ("introspect", &[("authorization", "Basic !")], "token=t", 401, "invalid_client", "Basic"),
        ("introspect", &[("authorization", "Basic aGk=")], "token=t", 401, "invalid_client", "Basic"),
        ("introspect", &[("authorization", "Digest x")], "token=t", 401, "invalid_client", "Basic Bearer"),
        ("introspect", &[], &post, 401, "invalid_client", "Basic"),
        ("token", &[], "client_id=rita&client_secret=hunter2", 401, "invalid_client", "Basic"),
        ("token", &[], "client_secret=csk_hunter2", 401, "invalid_client", "Basic"),
        ("token", &[], "client_assertion=hunter2", 401, "invalid_client", "Basic Bearer"),
        ("token", &[bearer], "client_id=somebody", 401, "invalid_client", "Bearer"),
        ("introspect", &[("authorization", "Bearer registrar")], "token=t", 403, "insufficient_scope", "Bearer"),
        ("token", &[("authorization", "Bearer gate")], "", 400, "unauthorized_client", ""),
        ("revoke", &[("authorization", "Bearer gate")], "token=t", 400, "unauthorized_client", ""),
        ("token", &[bearer], &both, 400, "invalid_request", ""),
        ("token", &[("authorization", &rita)], "client_id=oscar", 400, "invalid_request", ""),
        ("token", &twice, "", 400, "invalid_request", ""),
        ("token", &[bearer], "scope=a&scope=b", 400, "invalid_request", ""),
        ("token", &[bearer, ("content-encoding", "gzip")], "scope=a", 400, "invalid_request", ""),
    ];
    for (endpoint, headers, body, status, error, challenge) in cases {
        let answer = send(request(endpoint, headers, body)).await;
        let what = format!("{endpoint} {headers:?} {body}: {}", answer.body);
        assert_eq!((answer.status, &answer.body["error"]), (status, &json!(error)), "{what}");
        assert_eq!(challenges(&answer), challenge, "{what}");
        assert_eq!((named(&answer, "cache-control"), named(&answer, "pragma")), ("no-store", "no-cache"), "{what}");
        assert_eq!(answer.headers["content-type"], "application/json");
        let said = answer.body["error_description"].as_str().unwrap();
        assert!(said.ends_with('.') && !said.contains("hunter2") && !said.contains("SECRET"), "{what}");
        assert_eq!(answer.body.as_object().unwrap().len(), 2, "{what}");
    }
}

#[tokio::test]
async fn the_request_id_of_a_call_finds_its_refusal() {
    let headers = [("authorization", "Bearer gate"), ("x-request-id", "mine")];
    let answer = send(request("token", &headers, "")).await;
    assert_eq!((answer.status, named(&answer, "x-request-id")), (400, "mine"));
}

#[tokio::test]
async fn a_request_that_is_no_fitting_form_is_told_what_would_be() {
    let mut get = request("token", &[], "");
    *get.method_mut() = http::Method::GET;
    let answer = send(get).await;
    assert_eq!((answer.status, named(&answer, "allow")), (405, "POST"));
    assert_eq!(answer.body["error"], "invalid_request");

    for kind in ["application/json", "text/plain", ""] {
        let mut json = request("introspect", &[("authorization", "Bearer gate")], "{}");
        json.headers_mut().insert("content-type", kind.parse().unwrap());
        let answer = send(json).await;
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!("invalid_request")), "{kind}");
        assert_eq!(answer.headers["accept-post"], FORM);
    }

    let gate = [("authorization", "Bearer gate")];
    let stated = BOUNDS.message_bytes + 6;
    let mut within = request("introspect", &gate, "token=t");
    within.headers_mut().insert("content-length", stated.into());
    let beyond = request("introspect", &gate, &format!("token={}", "t".repeat(64 * 1024)));
    for large in [within, beyond] {
        let answer = send(large).await;
        assert_eq!((answer.status, &answer.body["error"]), (413, &json!("invalid_request")), "{}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_long() {
    let mut slow = request("token", &[], "");
    *slow.body_mut() = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, Infallible>>());
    assert_eq!(send(slow).await.status, 408);
}

#[tokio::test]
async fn what_the_server_cannot_do_now_says_when_to_come_back() {
    for (error, status, word) in [
        (countersign_app::Error::StoreUnavailable, 503, "temporarily_unavailable"),
        (countersign_app::Error::Overloaded, 429, "temporarily_unavailable"),
        (countersign_app::Error::Internal, 500, "server_error"),
    ] {
        let error = Arc::new(std::sync::Mutex::new(Some(error)));
        let down = service_fn(move |_| {
            let error = error.lock().unwrap().take().unwrap();
            async move { Ok::<_, Infallible>(refuse(error.into(), "the-id")) }
        });
        let router = endpoints(&stack(BOUNDS).wrap(down));
        let sent = request("introspect", &[("authorization", "Bearer gate")], "token=t");
        let response = router.oneshot(sent).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers().contains_key("retry-after"), status != 500);
        let body: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(body["error"], word);
    }
}

#[tokio::test]
async fn a_client_id_beside_a_bearer_must_be_the_callers() {
    for (client_id, status) in [("op", 200), ("oscar", 401), ("01890a5d-ac96-774b-bcce-b302099a8057", 401)] {
        let body = format!("token=t&client_id={client_id}");
        let answer = send(request("introspect", &[("authorization", "Bearer gate")], &body)).await;
        assert_eq!(answer.status, status, "{client_id}");
    }
}

proptest::proptest! {
    #[test]
    fn any_body_and_authorization_gets_an_oauth_answer(body: Vec<u8>, authorization: String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut sent = request("token", &[], "");
        *sent.body_mut() = Body::from(body);
        if let Ok(value) = HeaderValue::from_str(&authorization) {
            sent.headers_mut().insert("authorization", value);
        }
        let answer = runtime.block_on(send(sent));
        proptest::prop_assert!((200..500).contains(&answer.status));
    }
}
