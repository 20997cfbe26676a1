//! OAuth's doors over the wire, request by request.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use countersign_client::v1;
use countersign_integration::{Answer, Launch, Server};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Run, World};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Headers, or the parameters of a form.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Posts a form; `bearer` none: no authentication but what the form or `headers` hold.
pub(crate) async fn post(
    server: &Server,
    bearer: Option<&str>,
    endpoint: &str,
    headers: Pairs<'_>,
    form: Pairs<'_>,
) -> Answer {
    let body: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect();
    let headers = [&[FORM], headers].concat();
    let path = format!("/oauth/{endpoint}");
    server.http(bearer).send(Method::POST, &path, &headers, Bytes::from(body.join("&"))).await.unwrap()
}

pub(crate) async fn introspect(server: &Server, key: &str, token: &str) -> Value {
    let answer = post(server, Some(key), "introspect", &[], &[("token", token)]).await;
    assert_eq!((answer.status.as_u16(), named(&answer, "cache-control")), (200, "no-store"));
    answer.json()
}

pub(crate) fn exchange<'a>(subject: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let needed = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ACCESS_TOKEN)];
    let named = |name: &str| more.iter().any(|(given, _)| *given == name);
    needed.into_iter().filter(|(name, _)| !named(name)).chain(more.iter().copied()).collect()
}

fn named<'a>(answer: &'a Answer, header: &str) -> &'a str {
    answer.headers[header].to_str().unwrap()
}

#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, error: &str) -> String {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["error"]), (status, &json!(error)), "{body}");
    assert_eq!((named(answer, "cache-control"), named(answer, "pragma")), ("no-store", "no-cache"));
    body["error_description"].as_str().unwrap().to_owned()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

async fn receipt(run: &Run) -> String {
    let request = v1::DecideRequest {
        tool_id: "billing".to_owned(),
        action: "refund".to_owned(),
        want_receipt: true,
        ..Default::default()
    };
    run.connection.decisions().decide(request).await.unwrap().into_inner().receipt
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_says_of_a_live_credential_what_it_says_and_of_everything_else_nothing() {
    let world = World::start().await;
    let (server, rita) = (&world.server, world.server.operator_key("rita").unwrap());
    let run = world.run_of("alice").await;
    let child =
        post(server, Some(&run.token), "token", &[], &exchange(&run.token, &[("scope", "search")])).await.json();
    let said = introspect(server, &rita, child["access_token"].as_str().unwrap()).await;
    let (iat, exp) = (said["iat"].as_i64().unwrap(), said["exp"].as_i64().unwrap());
    let expected = json!({
        "active": true, "token_type": "Bearer", "scope": "search", "iss": "agent-token-svc", "aud": "countersign",
        "sub": run.id, "act": {"sub": child["agent_instance_id"], "act": {"sub": run.id}},
        "client_id": "support-assistant", "jti": child["credential_id"], "iat": iat, "exp": exp,
        "sponsor_id": "alice", "agent_instance_id": child["agent_instance_id"], "parent_agent_id": run.id,
        "agent": "support-assistant", "role": "support", "tools": ["search"], "purpose": "triage ticket 4711",
        "depth": 1, "single_use": false, "ttl_seconds": exp - iat,
    });
    assert_eq!(said, expected);

    // An instance asks about its own chain; about others it is told nothing, as everybody is about what is no credential.
    let other = world.run_of("alice").await;
    assert_eq!(introspect(server, &run.token, child["access_token"].as_str().unwrap()).await, expected);
    let mut forged = run.token.clone();
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    let receipt = receipt(&run).await;
    assert!(!receipt.is_empty());
    for (key, token) in [
        (&other.token, run.token.as_str()),
        (&rita, &receipt),
        (&rita, &forged),
        (&rita, "garbage"),
        (&rita, &rita),
        (&rita, "%00"),
    ] {
        assert_eq!(introspect(server, key, token).await, json!({"active": false}));
    }
    let hinted = [("token", run.token.as_str()), ("token_type_hint", "no_such_thing")];
    assert_eq!(post(server, Some(&rita), "introspect", &[], &hinted).await.json()["active"], true);
    let why = refused(&post(server, Some(&rita), "introspect", &[], &[]).await, 400, "invalid_request");
    assert!(why.starts_with("token is required"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_exchange_is_a_delegation_whoever_authenticates_for_it() {
    let world = World::start().await;
    let (server, rita) = (&world.server, world.server.operator_key("rita").unwrap());
    let run = world.run_of("alice").await;
    let key_id = rita.split('_').nth(1).unwrap();
    let (by_id, by_key) = (basic("rita", &rita), basic(key_id, &rita));
    let ways: [(Option<&str>, Pairs<'_>, Pairs<'_>); 7] = [
        (Some(&run.token), &[], &[]),
        (Some(&run.token), &[], &[("client_id", &run.id)]),
        (None, &[], &[]),
        (None, &[], &[("client_id", "support-assistant")]),
        (Some(&rita), &[], &[]),
        (None, &[("authorization", &by_id)], &[]),
        (None, &[("authorization", &by_key)], &[]),
    ];
    for (bearer, headers, more) in ways {
        let answer = post(server, bearer, "token", headers, &exchange(&run.token, more)).await;
        let child = answer.json();
        assert_eq!(answer.status.as_u16(), 200, "{headers:?} {more:?}: {child}");
        assert_eq!((&child["issued_token_type"], &child["token_type"]), (&json!(ACCESS_TOKEN), &json!("Bearer")));
        assert_eq!((&child["scope"], &child["parent_agent_id"]), (&json!("billing search"), &json!(run.id)));
        assert!(child["expires_in"].as_i64().unwrap() > 200);
    }
    let by_post = [("client_id", "rita"), ("client_secret", rita.as_str())];
    assert_eq!(post(server, None, "token", &[], &exchange(&run.token, &by_post)).await.status.as_u16(), 200);

    let all = [
        ("subject_token_type", JWT),
        ("requested_token_type", JWT),
        ("scope", "search search"),
        ("audience", "countersign"),
        ("resource", "countersign"),
        ("actor_token", run.token.as_str()),
        ("actor_token_type", JWT),
        ("agent", "refunds"),
        ("role", "support"),
        ("purpose", "triage ticket 4711: one invoice"),
        ("ttl", "45"),
        ("single_use", "true"),
        ("request_id", "once"),
    ];
    let answer = post(server, Some(&run.token), "token", &[], &exchange(&run.token, &all)).await.json();
    let narrow = (&answer["issued_token_type"], &answer["scope"]);
    assert_eq!(narrow, (&json!(JWT), &json!("search")), "{answer}");
    assert!((30..45).contains(&answer["expires_in"].as_i64().unwrap()), "what is left: {answer}");
    let said = introspect(server, &rita, answer["access_token"].as_str().unwrap()).await;
    let is = (&said["agent"], &said["role"], &said["purpose"], &said["single_use"], &said["ttl_seconds"]);
    assert_eq!(
        is,
        (&json!("refunds"), &json!("support"), &json!("triage ticket 4711: one invoice"), &json!(true), &json!(45))
    );
    let again = post(server, Some(&run.token), "token", &[], &exchange(&run.token, &all)).await.json();
    assert_eq!(again["agent_instance_id"], answer["agent_instance_id"], "the same request_id, the same child");
    let log = world.log().await;
    let event = log.iter().find(|event| event.index == answer["log_index"].as_i64().unwrap()).unwrap();
    assert_eq!(event.text("agent_instance_id"), answer["agent_instance_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_a_token_exchange_is_the_one_that_the_standard_names() {
    let world = World::start().await;
    let server = &world.server;
    let run = world.run_of("alice").await;
    let child = post(server, None, "token", &[], &exchange(&run.token, &[])).await.json();
    let (own, below) = (run.token.as_str(), child["access_token"].as_str().unwrap());
    let other = world.run_of("alice").await;
    let receipt = receipt(&run).await;
    let cases: [(Pairs<'_>, &str, &str); 24] = [
        (&[("grant_type", "client_credentials")], "unsupported_grant_type", "grant_type must be urn"),
        (&[("grant_type", "")], "invalid_request", "grant_type is required"),
        (&[("subject_token", "")], "invalid_request", "subject_token is required"),
        (&[("subject_token", "garbage")], "invalid_request", "subject_token is no live credential"),
        (&[("subject_token", &receipt)], "invalid_request", "subject_token is no live credential"),
        (&[("subject_token", &other.token)], "invalid_request", "subject_token is no live credential"),
        (&[("subject_token", below)], "unauthorized_client", "an issuer can"),
        (&[("subject_token_type", "")], "invalid_request", "subject_token_type is required"),
        (&[("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")], "invalid_request", "must be urn"),
        (&[("requested_token_type", "urn:x")], "invalid_request", "requested_token_type must be urn"),
        (&[("audience", "somebody-else")], "invalid_target", "audience must be countersign"),
        (&[("resource", "https://billing.example.com")], "invalid_target", "resource must be countersign"),
        (&[("scope", "file-store")], "invalid_scope", "scope"),
        (&[("scope", "billing Not*A*Tool")], "invalid_scope", "scope must be 1 to 128"),
        (&[("ttl", "901")], "invalid_request", "ttl must be at most 900 s"),
        (&[("ttl", "soon")], "invalid_request", "ttl must be a whole number"),
        (&[("ttl", "0")], "invalid_request", "ttl must be at least"),
        (&[("role", "nobodys")], "invalid_request", "role"),
        (&[("single_use", "1")], "invalid_request", "single_use must be true or false"),
        (&[("agent", "Not A Name")], "invalid_request", "agent must be"),
        (&[("actor_token", own)], "invalid_request", "actor_token_type is required"),
        (&[("actor_token_type", JWT)], "invalid_request", "without an actor_token"),
        (&[("actor_token", below), ("actor_token_type", JWT)], "invalid_request", "actor_token must be of the same"),
        (&[("actor_token", "garbage"), ("actor_token_type", JWT)], "invalid_request", "actor_token is no live"),
    ];
    let before = world.log_size().await;
    for (more, error, words) in cases {
        let answer = post(server, Some(own), "token", &[], &exchange(own, more)).await;
        let why = refused(&answer, 400, error);
        assert!(why.contains(words) && !why.contains(own) && !why.contains("garbage"), "{more:?}: {why}");
    }
    // Possession of a dead token authenticates nobody, and is the request's fault.
    refused(&post(server, None, "token", &[], &exchange("garbage", &[])).await, 400, "invalid_request");
    let reused = [("request_id", "r"), ("scope", "search")];
    assert_eq!(post(server, None, "token", &[], &exchange(own, &reused)).await.status.as_u16(), 200);
    let why = refused(
        &post(server, None, "token", &[], &exchange(own, &[("request_id", "r")])).await,
        400,
        "invalid_request",
    );
    assert!(why.contains("request_id"), "{why}");
    let refusals = world.log().await.into_iter().filter(|event| event.index >= before);
    assert_eq!(refusals.filter(|event| event.kind() == "delegated").count(), 1, "one child, no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_narrows_a_credential_to_one_tool() {
    let world = World::start().await;
    let (server, rita) = (&world.server, world.server.operator_key("rita").unwrap());
    let run = world.run_of("alice").await;
    let claims = |token: &str| -> Value {
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(claims(&run.token)["scope"], "billing search");
    let more = [("resource", "billing"), ("request_id", "narrow")];
    let child = post(server, Some(&run.token), "token", &[], &exchange(&run.token, &more)).await.json();
    let token = child["access_token"].as_str().unwrap();
    assert_eq!((&claims(token)["aud"], &claims(token)["scope"]), (&json!("billing"), &json!("billing search")));
    let again = post(server, Some(&run.token), "token", &[], &exchange(&run.token, &more)).await.json();
    assert_eq!(claims(again["access_token"].as_str().unwrap())["aud"], "billing");

    // Our own doors take it for nothing.
    assert_eq!(introspect(server, &rita, token).await, json!({"active": false}));
    let why = refused(&post(server, None, "token", &[], &exchange(token, &[])).await, 400, "invalid_request");
    assert!(why.contains("CREDENTIAL_WRONG_AUDIENCE"), "{why}");
    let status =
        world.rita.with_token(token).unwrap().decisions().decide(crate::support::decide("billing", "refund")).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unauthenticated);
    let question = v1::DecideRequest { token: token.to_owned(), ..crate::support::decide("billing", "refund") };
    let answer = world.rita.decisions().decide(question).await.unwrap().into_inner();
    assert_eq!(answer.reason.unwrap().code(), v1::DecisionReason::CredentialWrongAudience);

    for wrong in ["file-store", "https://billing.example.com", "Not*A*Tool"] {
        let more = [("resource", wrong)];
        let answer = post(server, Some(&run.token), "token", &[], &exchange(&run.token, &more)).await;
        refused(&answer, 400, "invalid_target");
    }
    let two = [("resource", "billing"), ("resource", "search")];
    refused(&post(server, Some(&run.token), "token", &[], &exchange(&run.token, &two)).await, 400, "invalid_target");
    let beyond = [("resource", "search"), ("scope", "billing")];
    refused(&post(server, Some(&run.token), "token", &[], &exchange(&run.token, &beyond)).await, 400, "invalid_target");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_dead_at_once_and_revoking_what_is_none_is_no_error() {
    let world = World::start().await;
    let (server, rita) = (&world.server, world.server.operator_key("rita").unwrap());
    let (parent, other) = (world.run_of("alice").await, world.run_of("alice").await);
    let child = post(server, None, "token", &[], &exchange(&parent.token, &[])).await.json();
    let child = child["access_token"].as_str().unwrap();
    let revoke = async |bearer: &str, token: &str| {
        let form = [("token", token), ("token_type_hint", "refresh_token")];
        let answer = post(server, Some(bearer), "revoke", &[], &form).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{}", answer.text());
        assert_eq!(named(&answer, "cache-control"), "no-store");
    };
    let live = async |token: &str| introspect(server, &rita, token).await["active"] == true;
    let revocations = async || world.log().await.iter().filter(|event| event.kind() == "revocation").count();

    // Not one's own, not what started one, and no token at all: nothing happens, and the answer does not tell.
    for (bearer, token) in [(&other.token, child), (&other.token, &parent.token), (&rita, "garbage")] {
        revoke(bearer, token).await;
    }
    revoke(child, &parent.token).await;
    assert!(live(child).await && live(&parent.token).await);
    assert_eq!(revocations().await, 0);

    revoke(&parent.token, child).await;
    assert!(!live(child).await && live(&parent.token).await);
    revoke(&parent.token, child).await;
    revoke(&parent.token, &parent.token).await;
    assert!(!live(&parent.token).await && live(&other.token).await);
    revoke(&rita, &other.token).await;
    assert!(!live(&other.token).await);
    assert_eq!(revocations().await, 3, "one for each credential, however often it was asked for");

    let run = world.run_of("alice").await;
    let receipt = receipt(&run).await;
    for token in [&receipt, &rita] {
        refused(&post(server, Some(&rita), "revoke", &[], &[("token", token)]).await, 400, "unsupported_token_type");
    }
    refused(&post(server, Some(&rita), "revoke", &[], &[]).await, 400, "invalid_request");
    // A dead credential authenticates nobody.
    refused(&post(server, Some(child), "revoke", &[], &[("token", child)]).await, 401, "invalid_client");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_authenticate_as_they_should_are_told_how() {
    let world = World::start().await;
    let server = &world.server;
    let (rita, oscar) = (server.operator_key("rita").unwrap(), server.operator_key("oscar").unwrap());
    let run = world.run_of("alice").await;
    let form = [("token", run.token.as_str())];
    let mut wrong = rita.clone();
    wrong.replace_range(wrong.len() - 4.., "AAAA");
    for id in ["oscar", "nobody", "csk_00000000000000000000000000000000", ""] {
        let answer = post(server, None, "introspect", &[("authorization", &basic(id, &rita))], &form).await;
        refused(&answer, 401, "invalid_client");
        assert_eq!(answer.headers["www-authenticate"], "Basic realm=\"countersign\", charset=\"UTF-8\"");
    }
    refused(
        &post(server, None, "introspect", &[("authorization", &basic("rita", &wrong))], &form).await,
        401,
        "invalid_client",
    );
    let forwarded = [("x-forwarded-for", "10.1.2.3")];
    for endpoint in ["introspect", "revoke", "token"] {
        refused(&post(server, None, endpoint, &forwarded, &form).await, 401, "invalid_client");
    }
    // oscar approves; he neither introspects nor delegates, and auditors introspect.
    refused(&post(server, Some(&oscar), "token", &[], &exchange(&run.token, &[])).await, 400, "unauthorized_client");
    let gone = post(server, Some(&wrong), "introspect", &[], &form).await;
    refused(&gone, 401, "invalid_token");
    assert_eq!(gone.headers["www-authenticate"], "Bearer realm=\"countersign\", error=\"invalid_token\"");
    assert!(!server.log().contains(&wrong) && !server.log().contains(&rita) && !server.log().contains(&run.token));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_names_the_issuer_as_configured_and_endpoints_that_answer() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    for (issuer, path) in
        [("agent-token-svc", ""), ("https://id.example.com/", ""), ("https://example.com/agents/v1", "/agents/v1")]
    {
        let config = folder.path().join("token-service-config.yml");
        std::fs::write(&config, format!("issuer: {issuer}\nsupported_tools: [billing, search]\n")).unwrap();
        let launch = Launch::dev().database(&world.database).arg("--token-service-config");
        let server = launch.arg(config.to_str().unwrap()).start().await.unwrap();
        let own = server.url();
        let base = if issuer.starts_with("https") { issuer.trim_end_matches('/') } else { &own };
        for place in ["", path] {
            let answer =
                server.http(None).get(&format!("/.well-known/oauth-authorization-server{place}")).await.unwrap();
            let metadata = answer.json();
            assert_eq!((answer.status.as_u16(), &metadata["issuer"]), (200, &json!(issuer)));
            for (name, below) in [
                ("token_endpoint", "/oauth/token"),
                ("introspection_endpoint", "/oauth/introspect"),
                ("revocation_endpoint", "/oauth/revoke"),
                ("jwks_uri", "/.well-known/jwks.json"),
            ] {
                assert_eq!(metadata[name], format!("{base}{below}"));
                let status = server.http(None).get(&format!("{path}{below}")).await.unwrap().status.as_u16();
                assert_eq!(status, if name == "jwks_uri" { 200 } else { 405 }, "{path}{below}");
            }
            assert_eq!(metadata["grant_types_supported"], json!([EXCHANGE]));
        }
        let cache = &server.http(None).get("/.well-known/oauth-authorization-server").await.unwrap().headers;
        let kept = if issuer.starts_with("https") { "public, max-age=300" } else { "no-store" };
        assert_eq!(cache["cache-control"], kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_are_sent_once_to_whoever_keeps_them() {
    let world = World::start().await;
    let http = world.server.http(None);
    let path = "/.well-known/jwks.json";
    let first = http.get(path).await.unwrap();
    assert_eq!(first.headers["content-type"], "application/jwk-set+json");
    assert_eq!(first.headers["cache-control"], "public, max-age=60, must-revalidate");
    let tag = first.headers["etag"].to_str().unwrap();
    let again = http.send(Method::GET, path, &[("if-none-match", tag)], Bytes::new()).await.unwrap();
    assert_eq!((again.status.as_u16(), again.body.len(), &again.headers["etag"]), (304, 0, &first.headers["etag"]));
    let head = http.send(Method::HEAD, path, &[], Bytes::new()).await.unwrap();
    assert_eq!((head.status.as_u16(), head.body.len(), &head.headers["etag"]), (200, 0, &first.headers["etag"]));
}
