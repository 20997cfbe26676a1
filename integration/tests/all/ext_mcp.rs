//! An MCP gateway that asks before a call and tells of its result: agentgateway's published service, from outside.

use countersign_client::v1;
use countersign_proto::neighbours::agentgateway::dev::ext_mcp::{
    AuthorizationError, McpHeader, McpRequest, McpRequestResult, McpResponse, McpResponseResult,
    authorization_error::Code as Refused, ext_mcp_client::ExtMcpClient, mcp_request_result, mcp_response_result,
};
use serde_json::{Value, json};
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::support::{World, refused, sha256};

const KEY: &str = "countersign_policy_decision_id";

/// A gateway, under the key of an operator.
struct Gateway {
    client: ExtMcpClient<Channel>,
    key: String,
}

impl Gateway {
    async fn of(world: &World, operator: &str) -> Self {
        let channel = Endpoint::from_shared(world.server.url()).unwrap().connect().await.unwrap();
        Self { client: ExtMcpClient::new(channel), key: world.server.operator_key(operator).unwrap() }
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.key).parse().unwrap());
        request
    }

    async fn check(&mut self, method: &str, params: &Value, token: &str) -> Result<McpRequestResult, Status> {
        let message = McpRequest {
            service_names: vec!["billing".to_owned()],
            method: method.to_owned(),
            mcp_request: Some(params.to_string().into_bytes()),
            headers: vec![McpHeader { key: "authorization".to_owned(), value: format!("Bearer {token}").into_bytes() }],
            ..McpRequest::default()
        };
        let request = self.request(message);
        self.client.check_request(request).await.map(Response::into_inner)
    }

    /// Tells of a result; `answered` is what the gateway was told before the call, and tells again.
    async fn tell(&mut self, answered: Option<&McpRequestResult>, result: &Value) -> Result<McpResponseResult, Status> {
        let message = McpResponse {
            service_names: vec!["billing".to_owned()],
            method: "tools/call".to_owned(),
            metadata_context: answered.and_then(|answer| answer.metadata.clone()),
            mcp_response: result.to_string().into_bytes(),
        };
        let request = self.request(message);
        self.client.check_response(request).await.map(Response::into_inner)
    }
}

fn passed(answer: &McpRequestResult) -> bool {
    matches!(answer.result, Some(mcp_request_result::Result::Pass(_)))
}

/// The refusal, and what it says in JSON.
fn denied(answer: McpRequestResult) -> (AuthorizationError, Value) {
    let Some(mcp_request_result::Result::Error(error)) = answer.result else { panic!("passed") };
    let said = serde_json::from_slice(error.mcp_error.as_deref().unwrap()).unwrap();
    (error, said)
}

fn decision_id(answer: &McpRequestResult) -> String {
    let metadata = answer.metadata.as_ref().unwrap();
    let Some(prost_types::value::Kind::StringValue(id)) = &metadata.fields[KEY].kind else { panic!("{metadata:?}") };
    id.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_tool_is_decided_and_its_result_recorded_for_that_decision() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    let refund = json!({ "name": "refund", "arguments": { "order": "4711", "amount_cents": 500 } });

    let allowed = gateway.check("tools/call", &refund, &run.token).await.unwrap();
    assert!(passed(&allowed), "{allowed:?}");
    let id = decision_id(&allowed);
    let mutation = allowed.header_mutation.as_ref().unwrap();
    assert_eq!(
        (mutation.set[0].key.as_str(), &mutation.set[0].value[..]),
        ("x-countersign-decision-id", id.as_bytes())
    );
    assert_eq!(mutation.remove, ["authorization"], "the tool is not to act as the run");

    let result = json!({ "content": [{ "type": "text", "text": "refunded" }], "isError": false });
    let recorded = gateway.tell(Some(&allowed), &result).await.unwrap();
    assert!(matches!(recorded.result, Some(mcp_response_result::Result::Pass(_))), "{recorded:?}");
    let request = v1::GetDecisionRequest { policy_decision_id: id.clone() };
    let decision = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((decision.tool_id.as_str(), decision.action.as_str()), ("billing", "refund"));
    assert_eq!(decision.outcome(), v1::ToolCallOutcome::Success);
    assert_eq!(decision.request_hash, sha256(r#"{"amount_cents":500,"order":"4711"}"#));
    assert_eq!(decision.response_hash, sha256(r#"{"content":[{"text":"refunded","type":"text"}],"isError":false}"#));
    assert_eq!((decision.agent_instance_id, decision.operator_id.as_str()), (run.id.clone(), "rita"));
    let chain =
        v1::GetCustodyChainRequest { subject: Some(v1::get_custody_chain_request::Subject::PolicyDecisionId(id)) };
    let chain = world.rita.custody().get_custody_chain(chain).await.unwrap().into_inner().chain.unwrap();
    assert_eq!(chain.events.last().unwrap().kind(), v1::EventKind::ToolCall);

    // A tool that failed.
    let allowed = gateway.check("tools/call", &refund, &run.token).await.unwrap();
    gateway.tell(Some(&allowed), &json!({ "content": [], "isError": true })).await.unwrap();
    let request = v1::GetDecisionRequest { policy_decision_id: decision_id(&allowed) };
    let decision = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.outcome(), v1::ToolCallOutcome::Failure);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_no_rule_can_read_is_no_way_past_a_deny_rule_and_stops_nothing_else() {
    let world = World::start().await;
    let rules = "rules:\n- {id: ok, role: support, tool: billing, allowed_actions: [refund, note]}\n\
                 - {id: no, effect: deny, tool: billing, allowed_actions: [refund], when: context has arguments && context.arguments has amount && context.arguments.amount > 500}\n";
    let version = world.policy(rules).await;
    let activate = v1::ActivatePolicyRequest { version, reason: "test".to_owned(), ..Default::default() };
    world.rita.policies().activate_policy(activate).await.unwrap();
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    let many: serde_json::Map<String, Value> = (0..65).map(|nth| (format!("a{nth}"), json!(nth))).collect();
    for unreadable in [json!(null), json!(0.5), json!("x".repeat(1025)), json!([1, null]), Value::Object(many)] {
        for (name, amount, reason) in [
            ("refund", json!(900), "DENIED_BY_RULE"),
            ("refund", unreadable.clone(), "POLICY_ERROR"),
            ("refund", json!(100), ""),
            ("note", unreadable.clone(), ""),
        ] {
            let call = json!({ "name": name, "arguments": { "amount": amount, "note": unreadable } });
            let answer = gateway.check("tools/call", &call, &run.token).await.unwrap();
            if reason.is_empty() {
                assert!(passed(&answer), "{call}: {answer:?}");
            } else {
                assert_eq!(denied(answer).1["reason"], reason, "{call}");
            }
        }
    }
    let crowded: serde_json::Map<String, Value> =
        (0..65).map(|nth| (format!("a{nth}"), json!(nth))).chain([("amount".to_owned(), json!(900))]).collect();
    let call = json!({ "name": "refund", "arguments": crowded });
    assert_eq!(denied(gateway.check("tools/call", &call, &run.token).await.unwrap()).1["reason"], "POLICY_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_document_records_of_the_arguments_is_in_the_custody_event_and_nothing_else_is() {
    let world = World::start().await;
    let document = "context:\n  arguments:\n    type: record\n    attributes:\n      amount: {type: long, record: true}\n      \
                    zone: {type: string, values: [eu, us], required: false, record: true}\n      note: {type: string}\n\
                    rules: [{id: ok, role: support, tool: billing, allowed_actions: [refund]}]\n";
    let version = world.policy(document).await;
    let activate = v1::ActivatePolicyRequest { version, reason: "test".to_owned(), ..Default::default() };
    world.rita.policies().activate_policy(activate).await.unwrap();
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    for (zone, effect) in [("eu", "ALLOW"), ("asia", "DENY")] {
        let call = json!({ "name": "refund", "arguments": { "amount": 900, "zone": zone, "note": "secret" } });
        gateway.check("tools/call", &call, &run.token).await.unwrap();
        let log = world.log().await;
        let leaf = &log.last().unwrap().leaf;
        let mut wanted = vec![json!({"name": "arguments.amount", "type": "integer", "value": "900"})];
        if effect == "ALLOW" {
            wanted.push(json!({"name": "arguments.zone", "type": "word", "value": "eu"}));
        }
        assert_eq!((&leaf["effect"], &leaf["context"]), (&json!(effect), &Value::Array(wanted)));
        assert!(!leaf.to_string().contains("secret"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_says_why_and_is_recorded_and_what_only_lists_is_let_through() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    for (method, params, token, reason) in [
        ("tools/call", json!({ "name": "delete" }), run.token.as_str(), "NO_MATCHING_RULE"),
        ("resources/read", json!({ "uri": "file:///a" }), &run.token, "NO_MATCHING_RULE"),
        ("tools/call", json!({ "name": "refund" }), "forged", "CREDENTIAL_MALFORMED"),
    ] {
        let (error, said) = denied(gateway.check(method, &params, token).await.unwrap());
        assert_eq!((error.code(), said["reason"].as_str()), (Refused::PermissionDenied, Some(reason)), "{said}");
        assert!(error.reason.contains(said["remedy"].as_str().unwrap()), "{error:?}");
        let request =
            v1::GetDecisionRequest { policy_decision_id: said["policy_decision_id"].as_str().unwrap().into() };
        let decision = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
        assert_eq!(decision.effect(), v1::Effect::Deny);
    }
    let size = world.log_size().await;
    for method in ["initialize", "tools/list", "ping"] {
        assert!(passed(&gateway.check(method, &json!({}), "").await.unwrap()), "{method}");
    }
    let (error, said) = denied(gateway.check("tools/call", &json!({ "name": "Refund It" }), &run.token).await.unwrap());
    assert_eq!((error.code(), said["reason"].as_str()), (Refused::Invalid, Some("INVALID_REQUEST")));
    assert_eq!(world.log_size().await, size);

    let mut auditor = Gateway::of(&world, "oscar").await;
    let refund = json!({ "name": "refund" });
    refused(auditor.check("tools/call", &refund, &run.token).await, Code::PermissionDenied, "ROLE_REQUIRED");
    refused(auditor.tell(None, &json!({})).await, Code::PermissionDenied, "ROLE_REQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_a_decision_or_with_one_already_is_kept_back() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    let kept_back = |answer: McpResponseResult| {
        let Some(mcp_response_result::Result::Error(error)) = answer.result else { panic!("passed") };
        assert!(error.reason.contains("do not repeat it"), "{}", error.reason);
        error
    };
    let error = kept_back(gateway.tell(None, &json!({ "content": [] })).await.unwrap());
    assert!(error.reason.contains(KEY), "{}", error.reason);

    let allowed = gateway.check("tools/call", &json!({ "name": "refund" }), &run.token).await.unwrap();
    gateway.tell(Some(&allowed), &json!({ "content": [] })).await.unwrap();
    let error = kept_back(gateway.tell(Some(&allowed), &json!({ "content": ["another"] })).await.unwrap());
    assert_eq!(error.code(), Refused::Invalid);
}
