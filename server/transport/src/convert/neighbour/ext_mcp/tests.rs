use countersign_policy::{CompiledPolicy, Principal, PrincipalSpec, Request};
use serde_json::json;

use super::*;

fn request(method: &str, service_names: &[&str], params: &Value) -> McpRequest {
    McpRequest {
        service_names: service_names.iter().map(ToString::to_string).collect(),
        method: method.to_owned(),
        mcp_request: Some(params.to_string().into_bytes()),
        headers: vec![McpHeader { key: "Authorization".to_owned(), value: b"Bearer a.b.c".to_vec() }],
        ..McpRequest::default()
    }
}

fn wrong(request: &McpRequest) -> Vec<String> {
    let Err(Error::Invalid(found)) = call(request) else { panic!("accepted") };
    found.into_iter().map(|violation| violation.field.into()).collect()
}

#[test]
fn a_call_of_a_tool_is_asked_as_backend_and_tool_name_unless_the_gateway_says_otherwise() {
    let params = json!({ "name": "refund", "arguments": { "b": 1, "a": 2 } });
    let asked = call(&request("tools/call", &["billing"], &params)).unwrap();
    assert_eq!((asked.tool_id.as_str(), asked.action.as_str()), ("billing", "refund"));
    assert!(matches!(&asked.subject, DecisionSubject::Token(token) if token == "a.b.c"));
    assert_eq!(asked.request_hash, Some(sha256(&[br#"{"a":2,"b":1}"#])), "the canonical arguments");

    let metadata = texts([("tool_id", "crm".into()), ("action", "read".into()), ("purpose", "ticket 1".into())]);
    let said = McpRequest { metadata_context: Some(metadata), ..request("tools/call", &["x Y"], &params) };
    let asked = call(&said).unwrap();
    assert_eq!((asked.tool_id.as_str(), asked.action.as_str()), ("crm", "read"));
    assert_eq!(asked.purpose.as_deref(), Some("ticket 1"));

    let read = call(&request("resources/read", &["files"], &json!({ "uri": "file:///a", "_meta": {} }))).unwrap();
    assert_eq!((read.tool_id.as_str(), read.action.as_str()), ("files", "resources.read"));
    assert_eq!(read.request_hash, Some(sha256(&[br#"{"uri":"file:///a"}"#])));
}

#[test]
fn names_that_are_none_of_ours_and_calls_that_reach_no_one_tool_are_refused() {
    assert_eq!(wrong(&request("tools/call", &["Billing"], &json!({ "name": "Refund" }))), ["tool_id", "action"]);
    assert_eq!(wrong(&request("tools/call", &["a", "b"], &json!({}))), ["service_names", "action"]);
    assert_eq!(wrong(&request("tools/call", &["a"], &json!([1]))), ["mcp_request"]);
    let approval = json!({ "name": "refund", "_meta": { "countersign/approval_id": "mine" } });
    assert_eq!(wrong(&request("tools/call", &["billing"], &approval)), ["countersign/approval_id"]);
}

#[test]
fn what_says_only_what_there_is_is_let_through_and_everything_else_is_asked_about() {
    for method in ["initialize", "ping", "tools/list", "resources/templates/list", "notifications/initialized"] {
        assert!(!reaches_a_tool(method), "{method}");
    }
    for method in
        ["tools/call", "resources/read", "prompts/get", "completion/complete", "tools/new", "", "notifications"]
    {
        assert!(reaches_a_tool(method), "{method}");
    }
}

/// What a rule that reads `context.arguments.amount_cents` answers.
fn effect(arguments: &Value) -> Effect {
    let document = "rules: [{id: a, role: support, tool: billing, allowed_actions: [refund], \
                    when: context.arguments.amount_cents <= 500}]";
    let asked =
        call(&request("tools/call", &["billing"], &json!({ "name": "refund", "arguments": arguments }))).unwrap();
    let principal = Principal::new(&PrincipalSpec {
        agent_instance_id: "inst_1",
        root_instance_id: "inst_1",
        sponsor_id: "alice",
        agent: "assistant",
        role: "support",
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
    for unreadable in [json!(null), json!(500.5), json!(1_u64 << 53), json!("5".repeat(1025))] {
        assert_eq!(effect(&json!({ "amount_cents": unreadable })), Effect::Deny);
        // What the rule does not read does not disturb it.
        assert_eq!(effect(&json!({ "amount_cents": 500, "note": unreadable })), Effect::Allow);
        assert_eq!(effect(&json!({ "amount_cents": 501, "note": unreadable })), Effect::Deny);
    }
    let many = (0..65).map(|nth| (format!("a{nth}"), json!(nth))).chain([("amount_cents".to_owned(), json!(500))]);
    assert_eq!(effect(&Value::Object(many.collect())), Effect::Deny);
    assert_eq!(effect(&json!({ "amount_cents": 500, "rows": vec![1; 65] })), Effect::Allow);
    assert_eq!(effect(&Value::Null), Effect::Deny);
}

#[test]
fn metadata_that_is_no_text_is_refused_and_what_found_nothing_says_nothing() {
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
    let asked = call(&with(Kind::NullValue(0))).unwrap();
    assert_eq!((asked.tool_id.as_str(), asked.action.as_str(), asked.purpose), ("billing", "refund", None));
}

#[test]
fn a_result_is_recorded_for_the_decision_that_the_gateway_names() {
    let id = "dec_01890a5d-ac96-774b-bcce-000000000001";
    let response = |metadata, result: Value| McpResponse {
        service_names: vec!["billing".to_owned()],
        method: "tools/call".to_owned(),
        metadata_context: metadata,
        mcp_response: result.to_string().into_bytes(),
    };
    let named = || Some(texts([(DECISION_KEY, id.to_owned())]));
    let done = outcome(&response(named(), json!({ "content": [] }))).unwrap();
    assert_eq!((done.policy_decision_id.to_string().as_str(), done.outcome), (id, Outcome::Success));
    assert_eq!(done.response_hash, Some(sha256(&[br#"{"content":[]}"#])));
    assert_eq!(outcome(&response(named(), json!({ "isError": true }))).unwrap().outcome, Outcome::Failure);
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
