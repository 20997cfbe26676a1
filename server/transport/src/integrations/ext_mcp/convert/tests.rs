use countersign_policy::{CompiledPolicy, Principal, PrincipalSpec, Request};
use serde_json::json;

use super::*;
use crate::{
    convert::sha256,
    integrations::ext_mcp::methods::{Handling, handling},
};

fn request(method: &str, service_names: &[&str], params: &Value) -> McpRequest {
    McpRequest {
        service_names: service_names.iter().map(ToString::to_string).collect(),
        method: method.to_owned(),
        mcp_request: Some(params.to_string().into_bytes()),
        headers: vec![McpHeader { key: "Authorization".to_owned(), value: b"Bearer a.b.c".to_vec() }],
        ..McpRequest::default()
    }
}

fn call(request: &McpRequest) -> Result<Call, Error> {
    super::call(request, None)
}

fn wrong(request: &McpRequest) -> Vec<String> {
    let Err(Error::Invalid(found)) = call(request) else { panic!("accepted") };
    found.into_iter().map(|violation| violation.field.into()).collect()
}

#[test]
fn a_tool_is_its_backend_and_name_unless_the_gateway_says() {
    let params = json!({ "name": "refund", "arguments": { "b": 1, "a": 2 } });
    let asked = call(&request("tools/call", &["billing"], &params)).unwrap().decide;
    assert_eq!((asked.tool_id.as_str(), asked.action.as_str()), ("billing", "refund"));
    assert!(matches!(&asked.subject, DecisionSubject::Token(token) if token == "a.b.c"));
    assert_eq!(asked.request_hash, Some(sha256(&[br#"{"a":2,"b":1}"#])), "the canonical arguments");

    let metadata = [("tool_id", "crm".into()), ("action", "read".into()), ("purpose", "ticket 1".into())];
    let metadata = texts(BTreeMap::from(metadata));
    let said = McpRequest { metadata_context: Some(metadata), ..request("tools/call", &["x Y"], &params) };
    let asked = call(&said).unwrap().decide;
    assert_eq!((asked.tool_id.as_str(), asked.action.as_str()), ("crm", "read"));
    assert_eq!(asked.purpose.as_deref(), Some("ticket 1"));

    let read = call(&request("resources/read", &["files"], &json!({ "uri": "file:///a", "_meta": {} })));
    let read = read.unwrap().decide;
    assert_eq!((read.tool_id.as_str(), read.action.as_str()), ("files", "resources.read"));
    assert_eq!(read.request_hash, Some(sha256(&[br#"{"uri":"file:///a"}"#])));
}

#[test]
fn foreign_names_and_calls_of_no_single_tool_are_refused() {
    assert_eq!(wrong(&request("tools/call", &["Bill desk"], &json!({ "name": "Re fund" }))), ["tool_id", "action"]);
    let theirs = call(&request("tools/call", &["Orders/v2"], &json!({ "name": "getWeather" }))).unwrap().decide;
    assert_eq!((theirs.tool_id.as_str(), theirs.action.as_str()), ("Orders/v2", "getWeather"));
    assert_eq!(wrong(&request("tools/call", &["a", "b"], &json!({}))), ["service_names", "action"]);
    assert_eq!(wrong(&request("tools/call", &["a"], &json!([1]))), ["mcp_request"]);
    let approval = json!({ "name": "refund", "_meta": { "countersign/approval_id": "mine" } });
    assert_eq!(wrong(&request("tools/call", &["billing"], &approval)), ["countersign/approval_id"]);
}

#[test]
fn methods_are_passed_decided_or_refused() {
    for (handled, methods) in [
        (
            Handling::Passed,
            "initialize server/discover ping logging/setLevel tools/list prompts/list resources/list \
             resources/templates/list notifications/initialized notifications/cancelled notifications/progress \
             notifications/roots/list_changed",
        ),
        (
            Handling::Decided,
            "tools/call resources/read resources/subscribe resources/unsubscribe prompts/get completion/complete \
             subscriptions/listen tasks/get tasks/list tasks/result tasks/update tasks/cancel skills/run \
             resources/directory/read",
        ),
        (
            Handling::Refused,
            "tools/new Tools/call tools/call/ /tools/call tools notifications notifications/new tasks tasks/ skills/ \
             sampling/createMessage elicitation/create roots/list rpc.discover",
        ),
    ] {
        for method in methods.split_whitespace() {
            assert_eq!(handling(method), handled, "{method}");
        }
    }
    for method in ["", " ", "tools/call ", "tools/call\0", "initialize\n"] {
        assert_eq!(handling(method), Handling::Refused, "{method:?}");
    }
}

/// A request with this text as its parameters.
fn raw(method: &str, params: &str) -> McpRequest {
    McpRequest { mcp_request: Some(params.as_bytes().to_vec()), ..request(method, &["billing"], &json!({})) }
}

#[test]
fn arguments_with_two_readings_are_refused_by_their_place() {
    let meta = r#"{"name":"wire","_meta":{"countersign/approval_id":"a","countersign\/approval_id":"b"}}"#;
    for (params, field) in [
        (r#"{"name":"wire","arguments":{"to":"attacker","to":"b"}}"#, "mcp_request.arguments.to"),
        (r#"{"name":"wire","arguments":{"to":"a","t\u006f":"b"}}"#, "mcp_request.arguments.to"),
        (r#"{"name":"wire","arguments":{},"name":"read"}"#, "mcp_request.name"),
        (r#"{"name":"wire","arguments":{"to":1234567890123456789}}"#, "mcp_request.arguments.to"),
        (r#"{"name":"wire","arguments":{"to":1234567890123456800}}"#, "mcp_request.arguments.to"),
        (r#"{"name":"wire","arguments":{"to":[0.1234567890123456789]}}"#, "mcp_request.arguments.to[0]"),
        (r#"{"name":"wire","arguments":{"to":"\ud800"}}"#, "mcp_request.arguments.to"),
        (r#"{"name":"wire","arguments":null}"#, "mcp_request.arguments"),
        (r#"{"name":"wire","arguments":[]}"#, "mcp_request.arguments"),
        (r#"{"name":["wire"],"arguments":{}}"#, "mcp_request.name"),
        (r#"{"name":"wire","_meta":[]}"#, "mcp_request._meta"),
        (r#"{"name":"wire","_meta":{"countersign/approval_id":7}}"#, APPROVAL_KEY),
        (r#"{"name":"wire","_meta":{"progressToken":9007199254740993}}"#, "mcp_request._meta.progressToken"),
        (meta, "mcp_request._meta.countersign/approval_id"),
        (r#"[{"method":"tools/call"}]"#, "mcp_request"),
    ] {
        let found = wrong(&raw("tools/call", params));
        assert_eq!(found.first().map(String::as_str), Some(field), "{params}: {found:?}");
    }
    let deep = |depth: usize| format!("{{\"v\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let arguments = |depth| format!("{{\"name\":\"wire\",\"arguments\":{}}}", deep(depth));
    assert!(call(&raw("tools/call", &arguments(64))).is_ok() && call(&raw("tools/call", &arguments(65))).is_err());
    assert!(call(&raw("resources/read", &deep(64))).is_ok() && call(&raw("resources/read", &deep(65))).is_err());
}

#[test]
fn what_a_tool_is_given_beside_its_arguments_is_hashed_too() {
    let asked = |params: Value| call(&request("tools/call", &["billing"], &params)).unwrap().decide;
    let leg = |extra: Value| {
        let mut params = json!({ "name": "refund", "arguments": { "cents": 5 }, "_meta": { "progressToken": 1 } });
        params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        asked(params)
    };
    let first = leg(json!({}));
    assert_eq!(first.request_hash, Some(sha256(&[br#"{"cents":5}"#])));
    assert_eq!(first.arguments.unwrap().0, r#"{"cents":5}"#);
    let next = leg(json!({ "inputResponses": { "sure": { "action": "accept" } }, "requestState": "s" }));
    let hashed =
        r#"{"arguments":{"cents":5},"inputResponses":{"sure":{"action":"accept"}},"name":"refund","requestState":"s"}"#;
    assert_eq!(next.request_hash, Some(sha256(&[hashed.as_bytes()])));
    assert_eq!(next.arguments.unwrap().0, hashed);
    let other = leg(json!({ "inputResponses": { "sure": { "action": "decline" } }, "requestState": "s" }));
    assert_ne!(other.request_hash, next.request_hash);
    assert_ne!(leg(json!({ "requestState": "t" })).request_hash, first.request_hash);
    assert_eq!(asked(json!({ "name": "refund" })).arguments.unwrap().0, "{}");
    let long = json!({ "name": "refund", "arguments": { "text": "x".repeat(MAX_ARGUMENTS) } });
    assert!(asked(long).arguments.is_none(), "its hash binds, and nobody is shown a part");
}

#[test]
fn what_goes_on_is_what_was_hashed() {
    let sent = r#"{ "name": "refund", "arguments": { "b": 1.0, "a": "\u0041" }, "_meta": {} }"#;
    let asked = call(&raw("tools/call", sent)).unwrap();
    assert_eq!(asked.decide.request_hash, Some(sha256(&[br#"{"a":"A","b":1}"#])));
    let canonical = br#"{"_meta":{},"arguments":{"a":"A","b":1},"name":"refund"}"#;
    assert_eq!(asked.canonical.as_deref(), Some(&canonical[..]));
    let again = McpRequest { mcp_request: Some(canonical.to_vec()), ..raw("tools/call", "") };
    let again = call(&again).unwrap();
    assert_eq!((again.decide.request_hash, again.canonical), (asked.decide.request_hash, None), "nothing to rewrite");
    assert_eq!(call(&McpRequest { mcp_request: None, ..raw("tasks/list", "") }).unwrap().canonical, None);
}

#[test]
fn the_credential_goes_on_with_no_method() {
    let removed = passed().header_mutation.unwrap().remove;
    assert_eq!(removed, ["authorization"]);
}

/// The answer of a rule that reads `context.arguments.amount_cents`.
fn effect(arguments: &Value) -> Effect {
    let document = "rules: [{id: a, role: support, tool: billing, allowed_actions: [refund], \
                    when: context.arguments.amount_cents <= 500}]";
    let asked = call(&request("tools/call", &["billing"], &json!({ "name": "refund", "arguments": arguments })))
        .unwrap()
        .decide;
    let principal = Principal::new(&PrincipalSpec {
        agent_instance_id: "inst_1",
        root_instance_id: "inst_1",
        sponsor_id: "alice",
        agent: "assistant",
        role: "support",
        inherited_roles: &[],
        depth: 0,
        purpose: "",
        tools: &[],
        labels: &std::collections::BTreeMap::new(),
    });
    let policy = CompiledPolicy::load(document, "").unwrap();
    let (tool, action) = (asked.tool_id.as_str(), asked.action.as_str());
    policy.evaluate(&Request { principal: &principal, tool, action, purpose: "", context: &asked.context }).effect
}

#[test]
fn rules_read_arguments_and_what_they_cannot_read_is_denied() {
    assert_eq!(effect(&json!({ "amount_cents": 500 })), Effect::Allow);
    assert_eq!(effect(&json!({ "amount_cents": 501 })), Effect::Deny);
    assert_eq!(effect(&json!({})), Effect::Deny);
    for unreadable in [json!(null), json!(500.5), json!("5".repeat(1025))] {
        assert_eq!(effect(&json!({ "amount_cents": unreadable })), Effect::Deny);
        // An unreadable value has no effect if the rule does not read it.
        assert_eq!(effect(&json!({ "amount_cents": 500, "note": unreadable })), Effect::Allow);
        assert_eq!(effect(&json!({ "amount_cents": 501, "note": unreadable })), Effect::Deny);
    }
    let many = (0..65).map(|nth| (format!("a{nth}"), json!(nth))).chain([("amount_cents".to_owned(), json!(500))]);
    assert_eq!(effect(&Value::Object(many.collect())), Effect::Deny);
    assert_eq!(effect(&json!({ "amount_cents": 500, "rows": vec![1; 65] })), Effect::Allow);
}

#[test]
fn metadata_that_is_no_text_is_refused_and_a_miss_is_silent() {
    let with = |kind| McpRequest {
        metadata_context: Some(Struct {
            fields: ["tool_id", "action", "purpose"]
                .map(|name| (name.to_owned(), prost_types::Value { kind: Some(Clone::clone(&kind)) }))
                .into(),
        }),
        ..request("tools/call", &["billing"], &json!({ "name": "refund" }))
    };
    let named = ["metadata_context.tool_id", "metadata_context.action", "metadata_context.purpose"];
    for kind in [Kind::NumberValue(5.0), Kind::BoolValue(true), Kind::StructValue(Struct::default())] {
        assert_eq!(wrong(&with(kind)), named);
    }
    let asked = call(&with(Kind::NullValue(0))).unwrap().decide;
    assert_eq!((asked.tool_id.as_str(), asked.action.as_str(), asked.purpose), ("billing", "refund", None));
}

#[test]
fn a_result_is_recorded_for_the_decision_it_names() {
    let id = "dec_01890a5d-ac96-774b-bcce-000000000001";
    let response = |metadata, result: Value| McpResponse {
        service_names: vec!["billing".to_owned()],
        method: "tools/call".to_owned(),
        metadata_context: metadata,
        mcp_response: result.to_string().into_bytes(),
    };
    let named = || Some(texts(BTreeMap::from([(DECISION_KEY, id.to_owned())])));
    let done = outcome(&response(named(), json!({ "content": [] }))).unwrap();
    assert_eq!(done.canonical, None, "it came in its canonical form");
    let done = done.record;
    assert_eq!((done.policy_decision_id.to_string().as_str(), done.outcome), (id, Outcome::Success));
    assert_eq!(done.response_hash, Some(sha256(&[br#"{"content":[]}"#])));
    assert_eq!(outcome(&response(named(), json!({ "isError": true }))).unwrap().record.outcome, Outcome::Failure);
    let text = |text: &str| McpResponse { mcp_response: text.into(), ..response(named(), json!({})) };
    let spaced = outcome(&text(r#"{ "isError": false, "content": [] }"#)).unwrap();
    assert_eq!(spaced.canonical.as_deref(), Some(&br#"{"content":[],"isError":false}"#[..]));
    for (result, field) in [
        (r#"{"isError":false,"isError":true}"#, "mcp_response.isError"),
        (r#"{"isError":"false"}"#, "mcp_response.isError"),
        (r#"{"structuredContent":{"id":1234567890123456789}}"#, "mcp_response.structuredContent.id"),
        ("[]", "mcp_response"),
    ] {
        let Err(Error::Invalid(found)) = outcome(&text(result)) else { panic!("accepted: {result}") };
        assert_eq!(found[0].field, field);
    }
    let Err(Error::Invalid(found)) = outcome(&response(None, json!({}))) else { panic!("accepted") };
    assert_eq!(found[0].field, "metadata_context.countersign_policy_decision_id");
}

#[test]
fn a_result_that_nobody_would_know_of_is_kept_back() {
    let status = crate::status::Refusal::from(Error::StoreUnavailable).status("r");
    let Some(mcp_response_result::Result::Error(error)) = unrecorded_result(&status).result else { panic!("passed") };
    assert!(error.reason.contains("do not repeat it"), "{}", error.reason);
    let Some(mcp_request_result::Result::Error(error)) = undecided_call(&status).result else { panic!("passed") };
    let said: Value = serde_json::from_slice(&error.mcp_error.unwrap()).unwrap();
    assert_eq!((said["reason"].as_str(), said["retryable"].as_bool()), (Some("STORE_UNAVAILABLE"), Some(true)));
}
