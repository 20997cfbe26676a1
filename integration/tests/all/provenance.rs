//! For whom a run acts, what it is, and which trace a request belongs to: in the credential, the log and what is read of both.

use bytes::Bytes;
use countersign_client::v1;
use countersign_proto::third_party::{
    agentgateway::dev::ext_mcp::{McpHeader, McpRequest, McpRequestResult, McpResponse, ext_mcp_client::ExtMcpClient},
    envoy::service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Request as Attributes},
        authorization_client::AuthorizationClient,
    },
};
use http::Method;
use serde_json::{Value, json};
use sqlx::Row as _;
use tonic::{Code, Request, transport::Endpoint};

use crate::{
    authzen::{EVALUATION, EVALUATIONS, asks, by_id, gate, post},
    support::{Event, World, decide, fields, issue, refused, sha256},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const USER: &str = "customer 4711, Zo\u{eb}";

fn traceparent(span: &str) -> String {
    format!("00-{TRACE}-{span}-01")
}

/// A span that no other has.
fn span(number: u8) -> String {
    format!("00000000000000{number:02x}")
}

fn trace_of(event: &Event) -> (&str, &str) {
    (event.text("trace_id"), event.text("span_id"))
}

fn traced<M>(message: M, header: &str) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", header.parse().unwrap());
    request
}

async fn last(world: &World, kind: &str) -> Event {
    world.log().await.into_iter().rfind(|event| event.kind() == kind).unwrap()
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn for_somebody() -> v1::IssueCredentialRequest {
    v1::IssueCredentialRequest {
        on_behalf_of: USER.to_owned(),
        agent_version: "1.4.2+build.7".to_owned(),
        model: "claude-sonnet-4-5@20250929".to_owned(),
        platform: "langgraph/0.9".to_owned(),
        traceparent: traceparent(SPAN),
        ..issue("alice")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_user_is_inherited_down_the_chain_and_stands_in_the_log_as_a_commitment() {
    let world = World::start().await;
    let run = world.run_with(for_somebody(), &["billing"]).await;
    assert_eq!(claims(&run.token)["on_behalf_of"], USER);
    let request = v1::DelegateCredentialRequest {
        agent: "helper".to_owned(),
        model: "gpt-5.1/2026-01".to_owned(),
        traceparent: traceparent(&span(1)),
        ..Default::default()
    };
    let child = run.connection.credentials().delegate_credential(request).await.unwrap().into_inner();
    assert_eq!(claims(&child.token)["on_behalf_of"], USER);
    let renewal = v1::IssueCredentialRequest { agent_instance_id: run.id.clone(), ..issue("alice") };
    let renewal = v1::IssueCredentialRequest { tools: vec!["billing".to_owned()], ..renewal };
    let renewed = world.rita.credentials().issue_credential(renewal.clone()).await.unwrap().into_inner();
    assert_eq!(claims(&renewed.token)["on_behalf_of"], USER);
    let same = v1::IssueCredentialRequest { on_behalf_of: USER.to_owned(), ..renewal.clone() };
    world.rita.credentials().issue_credential(same).await.unwrap();
    let other = v1::IssueCredentialRequest { on_behalf_of: "customer 1".to_owned(), ..renewal };
    let other = world.rita.credentials().issue_credential(other).await;
    assert_eq!(fields(other.as_ref().unwrap_err()), ["on_behalf_of"]);
    refused(other, Code::InvalidArgument, "GRANT_TOO_WIDE");
    let without = world.run_of("alice").await;
    assert!(claims(&without.token).get("on_behalf_of").is_none());

    let request = v1::IntrospectCredentialRequest { token: child.token.clone() };
    let said = world.rita.credentials().introspect_credential(request).await.unwrap().into_inner();
    assert_eq!((said.active, said.on_behalf_of.as_str()), (true, USER));
    let rita = world.server.operator_key("rita").unwrap();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    for (token, expected) in [(&child.token, json!(USER)), (&without.token, Value::Null)] {
        let http = world.server.http(Some(&rita));
        let said = http.send(Method::POST, "/oauth/introspect", &headers, Bytes::from(format!("token={token}"))).await;
        assert_eq!(said.unwrap().json()["on_behalf_of"], expected);
    }

    // The log commits to it anew for each grant, with its own salt, and nowhere says it.
    let log = world.log().await;
    let grants: Vec<_> = log.iter().filter(|event| matches!(event.kind(), "credential_issued" | "delegated")).collect();
    let mut commitments: Vec<_> = grants.iter().map(|event| event.text("on_behalf_of_commitment")).collect();
    assert_eq!(commitments.pop(), Some(""), "the one without an end user");
    assert!(commitments.iter().all(|one| one.len() == 64));
    commitments.sort_unstable();
    commitments.dedup();
    assert_eq!(commitments.len(), 4);
    assert!(log.iter().all(|event| !String::from_utf8_lossy(&event.bytes).contains("4711, Zo")));
    let (first, second) = (&grants[0].leaf, &grants[1].leaf);
    assert_eq!(
        [&first["grant"]["agent_version"], &first["grant"]["model"], &first["grant"]["platform"]],
        [&json!("1.4.2+build.7"), &json!("claude-sonnet-4-5@20250929"), &json!("langgraph/0.9")]
    );
    assert_eq!((&second["grant"]["model"], second["grant"].get("agent_version")), (&json!("gpt-5.1/2026-01"), None));
    assert_eq!(trace_of(grants[0]), (TRACE, SPAN));
    assert_eq!(trace_of(grants[1]), (TRACE, &*span(1)));
    assert!(grants[2].leaf["grant"].get("model").is_none(), "a renewal says what it says itself");

    let request = v1::ListEventsRequest { kind: v1::EventKind::Delegated.into(), ..Default::default() };
    let events = world.rita.custody().list_events(request).await.unwrap().into_inner().events;
    let event = &events[0];
    assert_eq!(
        (event.on_behalf_of.as_str(), event.model.as_str(), event.trace_id.as_str()),
        (USER, "gpt-5.1/2026-01", TRACE)
    );
    let opened = [&event.on_behalf_of_salt[..], USER.as_bytes()].concat();
    assert_eq!(event.on_behalf_of_commitment, aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &opened).as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_end_user_no_version_and_no_trace_is_refused_by_name() {
    let world = World::start().await;
    for (field, wrong) in [
        ("on_behalf_of", v1::IssueCredentialRequest { on_behalf_of: "x".repeat(257), ..issue("alice") }),
        ("on_behalf_of", v1::IssueCredentialRequest { on_behalf_of: "a\u{7}b".to_owned(), ..issue("alice") }),
        ("on_behalf_of", v1::IssueCredentialRequest { on_behalf_of: "  ".to_owned(), ..issue("alice") }),
        ("agent_version", v1::IssueCredentialRequest { agent_version: "1 2".to_owned(), ..issue("alice") }),
        ("model", v1::IssueCredentialRequest { model: "x".repeat(129), ..issue("alice") }),
        ("platform", v1::IssueCredentialRequest { platform: "a\"b".to_owned(), ..issue("alice") }),
        (
            "traceparent",
            v1::IssueCredentialRequest { traceparent: traceparent(&SPAN.to_uppercase()), ..issue("alice") },
        ),
    ] {
        let refused = world.rita.credentials().issue_credential(wrong).await.unwrap_err();
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec![field.to_owned()]));
    }
    let run = world.run_of("alice").await;
    let wrong = v1::DecideRequest { traceparent: "00-0-0-0".to_owned(), ..decide("billing", "refund") };
    let batch =
        v1::BatchDecideRequest { requests: vec![decide("billing", "refund"), wrong.clone()], ..Default::default() };
    assert_eq!(fields(&run.connection.decisions().decide(wrong).await.unwrap_err()), ["traceparent"]);
    assert_eq!(fields(&run.connection.decisions().batch_decide(batch).await.unwrap_err()), ["requests[1].traceparent"]);

    let http = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    let body = json!({"tool": "billing", "sponsor_id": "alice", "on_behalf_of": 7, "model": "a b", "traceparent": "x"});
    let refused = http.post("/issue", body.to_string()).await.unwrap();
    let text = refused.text();
    assert_eq!(refused.status.as_u16(), 400, "{text}");
    for field in ["on_behalf_of", "model", "traceparent"] {
        assert!(text.contains(field), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_taken_from_the_field_or_else_the_header_of_each_request() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let by_header = traced(decide("billing", "refund"), &traceparent(&span(1)));
    let answer = run.connection.decisions().decide(by_header).await.unwrap().into_inner();
    assert_eq!(trace_of(&last(&world, "decision").await), (TRACE, &*span(1)));
    let request = v1::GetDecisionRequest { policy_decision_id: answer.policy_decision_id.clone() };
    let read = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((read.trace_id.as_str(), read.span_id), (TRACE, span(1)));
    assert_eq!(read.recorded_context, []);

    let call = v1::DecideRequest { traceparent: traceparent(&span(2)), ..decide("billing", "refund") };
    run.connection.decisions().decide(traced(call, &traceparent(&span(3)))).await.unwrap();
    assert_eq!(trace_of(&last(&world, "decision").await), (TRACE, &*span(2)), "the field wins");
    run.connection.decisions().decide(traced(decide("billing", "refund"), "00-garbage")).await.unwrap();
    assert!(last(&world, "decision").await.leaf.get("trace_id").is_none(), "a malformed header is none");

    let requests = vec![
        v1::DecideRequest { traceparent: traceparent(&span(4)), ..decide("billing", "refund") },
        decide("billing", "charge"),
    ];
    let batch = v1::BatchDecideRequest { requests, ..Default::default() };
    run.connection.decisions().batch_decide(traced(batch, &traceparent(&span(5)))).await.unwrap();
    let log = world.log().await;
    let spans: Vec<_> = log.iter().rev().take(2).map(|event| event.text("span_id").to_owned()).collect();
    assert_eq!(spans, [span(5), span(4)]);

    // The same request in another span is the same request.
    let first = v1::DecideRequest { request_id: "once".to_owned(), ..decide("billing", "refund") };
    let again = v1::DecideRequest { traceparent: traceparent(&span(6)), ..first.clone() };
    let first = run.connection.decisions().decide(first).await.unwrap().into_inner();
    let again = run.connection.decisions().decide(again).await.unwrap().into_inner();
    assert_eq!(first.policy_decision_id, again.policy_decision_id);

    let report = v1::RecordToolCallRequest {
        policy_decision_id: answer.policy_decision_id,
        outcome: v1::ToolCallOutcome::Success.into(),
        response_hash: sha256("done"),
        traceparent: traceparent(&span(7)),
        ..Default::default()
    };
    run.connection.custody().record_tool_call(report).await.unwrap();
    assert_eq!(trace_of(&last(&world, "tool_call").await), (TRACE, &*span(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_taken_at_every_door() {
    let world = World::start().await;
    let rita = world.server.operator_key("rita").unwrap();
    let http = world.server.http(Some(&rita));
    let json = |number| [("content-type", "application/json".to_owned()), ("traceparent", traceparent(&span(number)))];
    let send = async |path: &str, headers: &[(&str, String)], body: String| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http.send(Method::POST, path, &headers, Bytes::from(body)).await.unwrap();
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        answer.json()
    };
    let body =
        json!({"tool": "billing", "sponsor_id": "alice", "on_behalf_of": USER, "agent_version": "2"}).to_string();
    let issued = send("/issue", &json(1), body).await;
    let event = last(&world, "credential_issued").await;
    assert_eq!((trace_of(&event), &event.leaf["grant"]["agent_version"]), ((TRACE, &*span(1)), &json!("2")));
    let (token, id) = (issued["token"].as_str().unwrap().to_owned(), issued["agent_instance_id"].as_str().unwrap());
    assert_eq!(claims(&token)["on_behalf_of"], USER);

    let asked = json!({"token": token, "tool_id": "billing", "action": "refund"}).to_string();
    send("/countersign.v1.DecisionService/Decide", &json(2), asked).await;
    assert_eq!(trace_of(&last(&world, "decision").await), (TRACE, &*span(2)));

    let exchange = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}\
         &subject_token_type=urn:ietf:params:oauth:token-type:jwt&model=m-1"
    );
    let form =
        [("content-type", "application/x-www-form-urlencoded".to_owned()), ("traceparent", traceparent(&span(3)))];
    let child = send("/oauth/token", &form, exchange.clone()).await;
    assert_eq!(claims(child["access_token"].as_str().unwrap())["on_behalf_of"], USER);
    let event = last(&world, "delegated").await;
    assert_eq!((trace_of(&event), &event.leaf["grant"]["model"]), ((TRACE, &*span(3)), &json!("m-1")));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let other =
        http.send(Method::POST, "/oauth/token", &headers, Bytes::from(exchange + "&on_behalf_of=another")).await;
    assert_eq!(other.unwrap().json()["error"], "invalid_request");

    send(EVALUATION, &json(4), asks(&by_id(id), "billing", "refund").to_string()).await;
    assert_eq!(trace_of(&last(&world, "decision").await), (TRACE, &*span(4)));
    let many = json!({"evaluations": [asks(&by_id(id), "billing", "refund"), asks(&by_id(id), "billing", "charge")]});
    send(EVALUATIONS, &json(5), many.to_string()).await;
    assert_eq!(trace_of(&last(&world, "decision").await), (TRACE, &*span(5)));
    post(&gate(&world), EVALUATION, &asks(&by_id(id), "billing", "refund")).await;
    assert_eq!(trace_of(&last(&world, "decision").await), ("", ""));

    let channel = Endpoint::from_shared(world.server.url()).unwrap().connect().await.unwrap();
    let bearer = |token: &str| format!("Bearer {token}");
    let mut check = Request::new(CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Attributes {
                http: Some(HttpRequest {
                    method: "POST".to_owned(),
                    headers: [
                        ("authorization".to_owned(), bearer(&token)),
                        ("traceparent".to_owned(), traceparent(&span(6))),
                    ]
                    .into(),
                    ..HttpRequest::default()
                }),
                ..Attributes::default()
            }),
            context_extensions: [("tool_id".to_owned(), "billing".to_owned())].into(),
            ..AttributeContext::default()
        }),
    });
    check.metadata_mut().insert("authorization", bearer(&rita).parse().unwrap());
    check.metadata_mut().insert("traceparent", traceparent(&span(7)).parse().unwrap());
    AuthorizationClient::new(channel.clone()).check(check).await.unwrap();
    assert_eq!(trace_of(&last(&world, "decision").await), (TRACE, &*span(6)), "the call's own");

    let mut mcp = ExtMcpClient::new(channel);
    let mut passed = McpRequestResult::default();
    for (headers, meta, expected) in [
        (vec![("traceparent", traceparent(&span(8)))], json!({}), span(8)),
        (vec![], json!({"traceparent": traceparent(&span(9))}), span(9)),
    ] {
        let headers = headers.into_iter().chain([("authorization", bearer(&token))]);
        let mut call = Request::new(McpRequest {
            service_names: vec!["billing".to_owned()],
            method: "tools/call".to_owned(),
            mcp_request: Some(json!({"name": "refund", "arguments": {}, "_meta": meta}).to_string().into_bytes()),
            headers: headers.map(|(key, value)| McpHeader { key: key.to_owned(), value: value.into_bytes() }).collect(),
            ..McpRequest::default()
        });
        call.metadata_mut().insert("authorization", bearer(&rita).parse().unwrap());
        passed = mcp.check_request(call).await.unwrap().into_inner();
        assert_eq!(trace_of(&last(&world, "decision").await), (TRACE, &*expected));
    }
    let mut told = Request::new(McpResponse {
        service_names: vec!["billing".to_owned()],
        method: "tools/call".to_owned(),
        metadata_context: passed.metadata,
        mcp_response: b"{}".to_vec(),
    });
    told.metadata_mut().insert("authorization", bearer(&rita).parse().unwrap());
    told.metadata_mut().insert("traceparent", traceparent(&span(10)).parse().unwrap());
    mcp.check_response(told).await.unwrap();
    assert_eq!(trace_of(&last(&world, "tool_call").await), (TRACE, &*span(10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_an_end_user_can_be_erased_and_nothing_else_changed() {
    let world = World::start().await;
    world.run_with(for_somebody(), &["billing"]).await;
    let mut database = world.database.connect().await.unwrap();
    let forged = sqlx::query("UPDATE custody_event SET on_behalf_of = 'another' WHERE on_behalf_of IS NOT NULL");
    assert!(forged.execute(&mut database).await.is_err(), "a text may only be emptied");
    let erased = "UPDATE custody_event SET purpose = NULL, purpose_salt = NULL, reason = NULL, reason_salt = NULL,
        identity = NULL, identity_salt = NULL, on_behalf_of = NULL, on_behalf_of_salt = NULL
        WHERE kind = 'credential_issued'";
    sqlx::query(erased).execute(&mut database).await.unwrap();
    let left = "SELECT count(*) FROM custody_event WHERE num_nonnulls(on_behalf_of, on_behalf_of_salt) > 0";
    assert_eq!(sqlx::query(left).fetch_one(&mut database).await.unwrap().get::<i64, _>(0), 0);
    let request = v1::ListEventsRequest { kind: v1::EventKind::CredentialIssued.into(), ..Default::default() };
    let event = &world.rita.custody().list_events(request).await.unwrap().into_inner().events[0];
    assert_eq!((event.on_behalf_of.as_str(), event.on_behalf_of_commitment.len()), ("", 32));
}
