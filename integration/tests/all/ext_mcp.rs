//! An MCP gateway that asks before a call and tells of its result: agentgateway's published service, from outside.

use countersign_client::v1;
use countersign_integration::Server;
use countersign_proto::third_party::agentgateway::dev::ext_mcp::{
    AuthorizationError, McpHeader, McpRequest, McpRequestResult, McpResponse, McpResponseResult,
    authorization_error::Code as Refused, ext_mcp_client::ExtMcpClient, mcp_request_result, mcp_response_result,
};
use serde_json::{Value, json};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::support::{World, sha256};

const KEY: &str = "countersign_policy_decision_id";

/// A gateway, under the key of an operator.
pub(crate) struct Gateway {
    client: ExtMcpClient<Channel>,
    key: String,
}

impl Gateway {
    pub(crate) async fn of(world: &World, operator: &str) -> Self {
        Self::at(&world.server, &world.server.operator_key(operator).unwrap()).await
    }

    pub(crate) async fn at(server: &Server, key: &str) -> Self {
        let channel = Endpoint::from_shared(server.url()).unwrap().connect().await.unwrap();
        Self { client: ExtMcpClient::new(channel), key: key.to_owned() }
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.key).parse().unwrap());
        request
    }

    async fn check(&mut self, method: &str, params: &Value, token: &str) -> Result<McpRequestResult, Status> {
        self.check_text(method, &params.to_string(), token).await
    }

    pub(crate) async fn check_text(
        &mut self,
        method: &str,
        params: &str,
        token: &str,
    ) -> Result<McpRequestResult, Status> {
        let message = McpRequest {
            service_names: vec!["billing".to_owned()],
            method: method.to_owned(),
            mcp_request: Some(params.as_bytes().to_vec()),
            headers: vec![McpHeader { key: "authorization".to_owned(), value: format!("Bearer {token}").into_bytes() }],
            ..McpRequest::default()
        };
        let request = self.request(message);
        self.client.check_request(request).await.map(Response::into_inner)
    }

    /// Tells of a result; `answered` is what the gateway was told before the call, and tells again.
    async fn tell(&mut self, answered: Option<&McpRequestResult>, result: &Value) -> Result<McpResponseResult, Status> {
        self.tell_text(answered, &result.to_string()).await
    }

    async fn tell_text(
        &mut self,
        answered: Option<&McpRequestResult>,
        result: &str,
    ) -> Result<McpResponseResult, Status> {
        let message = McpResponse {
            service_names: vec!["billing".to_owned()],
            method: "tools/call".to_owned(),
            metadata_context: answered.and_then(|answer| answer.metadata.clone()),
            mcp_response: result.as_bytes().to_vec(),
        };
        let request = self.request(message);
        self.client.check_response(request).await.map(Response::into_inner)
    }
}

/// Whether the call goes on to the tool as it is.
fn passed(answer: &McpRequestResult) -> bool {
    matches!(answer.result, Some(mcp_request_result::Result::Pass(_)))
}

/// The refusal, and what it says in JSON.
pub(crate) fn denied(answer: McpRequestResult) -> (AuthorizationError, Value) {
    let Some(mcp_request_result::Result::Error(error)) = answer.result else { panic!("passed") };
    let said = serde_json::from_slice(error.mcp_error.as_deref().unwrap()).unwrap();
    (error, said)
}

/// Whether the call goes on to the tool; else what it was told.
pub(crate) fn allowed(answer: McpRequestResult) -> Result<(), Value> {
    match answer.result {
        Some(mcp_request_result::Result::Error(_)) => Err(denied(answer).1),
        _ => Ok(()),
    }
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
    let refund = r#"{"arguments":{"amount_cents":500,"order":"4711"},"name":"refund"}"#;

    let allowed = gateway.check_text("tools/call", refund, &run.token).await.unwrap();
    assert!(passed(&allowed), "{allowed:?}");
    let id = decision_id(&allowed);
    let mutation = allowed.header_mutation.as_ref().unwrap();
    assert_eq!(
        (mutation.set[0].key.as_str(), &mutation.set[0].value[..]),
        ("x-countersign-decision-id", id.as_bytes())
    );
    assert_eq!(mutation.remove, ["authorization"], "the tool is not to act as the run");

    let result = r#"{"content":[{"text":"refunded","type":"text"}],"isError":false}"#;
    let recorded = gateway.tell_text(Some(&allowed), result).await.unwrap();
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
    let allowed = gateway.check_text("tools/call", refund, &run.token).await.unwrap();
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
                assert!(allowed(answer).is_ok(), "{call}");
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
    for method in ["initialize", "server/discover", "tools/list", "ping", "notifications/initialized"] {
        let answer = gateway.check(method, &json!({}), &run.token).await.unwrap();
        assert!(passed(&answer), "{method}");
        assert_eq!(answer.header_mutation.unwrap().remove, ["authorization"], "{method} shows the tool the credential");
    }
    for (method, name) in [("tools/call", "Refund It"), ("tools/call", ""), ("", "refund"), ("tools call", "refund")] {
        let (error, said) = denied(gateway.check(method, &json!({ "name": name }), &run.token).await.unwrap());
        assert_eq!((error.code(), said["reason"].as_str()), (Refused::Invalid, Some("INVALID_REQUEST")), "{method}");
        assert!(error.reason.contains("action"), "{error:?}");
    }
    assert_eq!(world.log_size().await, size);

    let mut auditor = Gateway::of(&world, "oscar").await;
    let (error, said) = denied(auditor.check("tools/list", &json!({}), &run.token).await.unwrap());
    assert_eq!((error.code(), said["reason"].as_str()), (Refused::PermissionDenied, Some("ROLE_REQUIRED")));
    assert!(error.reason.contains("the gateway in front of the tool may not ask"), "{error:?}");
    kept_back(auditor.tell(None, &json!({})).await.unwrap());
    let mut stranger = Gateway::at(&world.server, "csk_wrong").await;
    for method in ["initialize", "tools/call", "tools/new"] {
        let (error, said) = denied(stranger.check(method, &json!({ "name": "refund" }), &run.token).await.unwrap());
        assert_eq!((error.code(), said["reason"].as_str()), (Refused::PermissionDenied, Some("UNAUTHENTICATED")));
    }
    kept_back(stranger.tell(None, &json!({})).await.unwrap());
    assert_eq!(world.log_size().await, size);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_nobody_knows_is_denied_on_record_whatever_the_policy_allows() {
    let world = World::start().await;
    let names = ["tools.new", "Tools.Call", "notifications.new", "sampling.createMessage"];
    let document = format!("rules: [{{id: ok, role: support, tool: billing, allowed_actions: {names:?}}}]");
    let activate = v1::ActivatePolicyRequest {
        version: world.policy(&document).await,
        reason: "test".to_owned(),
        ..Default::default()
    };
    world.rita.policies().activate_policy(activate).await.unwrap();
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    for name in names {
        let size = world.log().await.len();
        let method = name.replace('.', "/");
        let (error, said) = denied(gateway.check(&method, &json!({}), &run.token).await.unwrap());
        assert_eq!((error.code(), &said["reason"]), (Refused::PermissionDenied, &json!("METHOD_UNKNOWN")), "{method}");
        let log = world.log().await;
        assert_eq!(log.len(), size + 1);
        let leaf = &log[size].leaf;
        assert_eq!(
            (&leaf["action"], &leaf["effect"], &leaf["reason"]),
            (&json!(name), &json!("DENY"), &json!("METHOD_UNKNOWN"))
        );
        assert_eq!((&leaf["agent_instance_id"], &leaf["operator_id"]), (&json!(run.id), &json!("rita")));
        let (_, said) = denied(gateway.check(&method, &json!({}), "forged").await.unwrap());
        assert_eq!(said["reason"], "CREDENTIAL_MALFORMED", "who calls comes first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_a_tool_is_called_with_and_each_leg_of_a_call_takes_its_own_yes() {
    let world = World::start().await;
    let document =
        "rules: [{id: ask, role: support, tool: billing, allowed_actions: [refund], require_approval: true}]";
    let activate = v1::ActivatePolicyRequest {
        version: world.policy(document).await,
        reason: "test".to_owned(),
        ..Default::default()
    };
    world.rita.policies().activate_policy(activate).await.unwrap();
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    let call = |extra: Value| {
        let mut params = json!({ "name": "refund", "arguments": { "cents": 500, "to": "a\u{202e}b" } });
        params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        params
    };
    let approve = async |id: &str| {
        let request =
            v1::ApproveRequest { approval_id: id.to_owned(), reason: "known".to_owned(), ..Default::default() };
        world.oscar.approvals().approve(request).await.unwrap().into_inner().approval.unwrap()
    };
    let yes = |id: &Value, extra: Value| {
        let mut params = call(extra);
        params["_meta"] = json!({ "countersign/approval_id": id });
        params
    };

    let said = denied(gateway.check("tools/call", &call(json!({})), &run.token).await.unwrap()).1;
    assert_eq!(said["reason"], "APPROVAL_REQUIRED");
    let id = said["approval_id"].clone();
    let shown = approve(id.as_str().unwrap()).await;
    assert_eq!(shown.arguments, r#"{"cents":500,"to":"a\u202eb"}"#);
    let other = json!({ "inputResponses": { "sure": { "action": "accept" } } });
    let said = denied(gateway.check("tools/call", &yes(&id, other.clone()), &run.token).await.unwrap()).1;
    assert_eq!(said["reason"], "APPROVAL_MISMATCH", "the next leg is another call");
    assert!(allowed(gateway.check("tools/call", &yes(&id, json!({})), &run.token).await.unwrap()).is_ok());

    let said = denied(gateway.check("tools/call", &call(other.clone()), &run.token).await.unwrap()).1;
    let shown = approve(said["approval_id"].as_str().unwrap()).await;
    assert_eq!(
        shown.arguments,
        r#"{"arguments":{"cents":500,"to":"a\u202eb"},"inputResponses":{"sure":{"action":"accept"}},"name":"refund"}"#
    );
    let declined = json!({ "inputResponses": { "sure": { "action": "decline" } } });
    let said = denied(gateway.check("tools/call", &yes(&said["approval_id"], declined), &run.token).await.unwrap()).1;
    assert_eq!(said["reason"], "APPROVAL_MISMATCH");
}

/// The error in place of a result.
fn kept_back(answer: McpResponseResult) -> AuthorizationError {
    let Some(mcp_response_result::Result::Error(error)) = answer.result else { panic!("passed") };
    assert!(error.reason.contains("do not repeat it"), "{}", error.reason);
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_read_two_ways_reach_no_tool() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    let size = world.log_size().await;
    for (params, field) in [
        (r#"{"name":"refund","arguments":{"to":"attacker","to":"b"}}"#, "arguments.to"),
        (r#"{"name":"delete","arguments":{},"name":"refund"}"#, "mcp_request.name"),
        (r#"{"name":"refund","arguments":{"to":1234567890123456789}}"#, "arguments.to"),
        (r#"{"name":"refund","arguments":{"to":1234567890123456800}}"#, "arguments.to"),
        (r#"[{"jsonrpc":"2.0","method":"tools/call"}]"#, "mcp_request"),
        ("", "mcp_request"),
    ] {
        let (error, said) = denied(gateway.check_text("tools/call", params, &run.token).await.unwrap());
        assert_eq!((error.code(), said["reason"].as_str()), (Refused::Invalid, Some("INVALID_REQUEST")), "{params}");
        assert!(error.reason.contains(field), "{params}: {}", error.reason);
    }
    assert_eq!(world.log_size().await, size, "what cannot be hashed asks nothing");

    // What has one reading goes on in the form that was hashed.
    let spaced = r#"{ "name": "refund", "arguments": { "to": "\u0062", "cents": 5e2 } }"#;
    let allowed = gateway.check_text("tools/call", spaced, &run.token).await.unwrap();
    let Some(mcp_request_result::Result::Mutated(sent)) = &allowed.result else { panic!("{allowed:?}") };
    assert_eq!(sent, br#"{"arguments":{"cents":500,"to":"b"},"name":"refund"}"#);
    let request = v1::GetDecisionRequest { policy_decision_id: decision_id(&allowed) };
    let decision = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.request_hash, sha256(r#"{"cents":500,"to":"b"}"#));

    // Nor does a result that reads two ways reach the agent.
    let error = kept_back(gateway.tell_text(Some(&allowed), r#"{"isError":true,"isError":false}"#).await.unwrap());
    assert!(error.reason.contains("isError"), "{}", error.reason);
    let answer = gateway.tell_text(Some(&allowed), r#"{"isError": false}"#).await.unwrap();
    let Some(mcp_response_result::Result::Mutated(result)) = answer.result else { panic!("{answer:?}") };
    assert_eq!(result, br#"{"isError":false}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_a_decision_or_with_one_already_is_kept_back() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let mut gateway = Gateway::of(&world, "rita").await;
    let error = kept_back(gateway.tell(None, &json!({ "content": [] })).await.unwrap());
    assert!(error.reason.contains(KEY), "{}", error.reason);

    let allowed = gateway.check("tools/call", &json!({ "name": "refund" }), &run.token).await.unwrap();
    gateway.tell(Some(&allowed), &json!({ "content": [] })).await.unwrap();
    let error = kept_back(gateway.tell(Some(&allowed), &json!({ "content": ["another"] })).await.unwrap());
    assert_eq!(error.code(), Refused::Invalid);
}
