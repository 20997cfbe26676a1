//! Tools and actions under the names that others gave them, at every door.

use bytes::Bytes;
use countersign_client::v1;
use countersign_proto::third_party::{
    agentgateway::dev::ext_mcp::{McpHeader, McpRequest, ext_mcp_client::ExtMcpClient, mcp_request_result},
    envoy::service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Request as Attributes},
        authorization_client::AuthorizationClient,
    },
};
use http::Method;
use serde_json::json;
use tonic::{Code, Request, transport::Endpoint};

use crate::{
    approvals::activate,
    authzen::{EVALUATION, SEARCH, asks, by_id, gate, post, said},
    support::{World, decide, fields, issue, refused},
};

const TOOL: &str = "Orders/Lookup:v2";
const ACTION: &str = "view:Public.Orders/get-One_2@eu";

fn document() -> String {
    format!(
        "types:\n- id: User\n- id: Album\ntools:\n- id: {TOOL}\n- id: {long}\nrules:\n- id: lookups\n  role: support\n  tool: {TOOL}\n  \
         allowed_actions: [{ACTION}, getWeather]\n- id: long\n  role: support\n  tool: {long}\n  allowed_actions: [{long}]\n",
        long = "x".repeat(128)
    )
}

/// A world whose token service knows these tools.
async fn with_tools(tools: &[String]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("token-service-config.yml");
    let listed = tools.join("\n- ");
    std::fs::write(&config, format!("issuer: agent-token-svc\nsupported_tools:\n- {listed}\n")).unwrap();
    World::start_with(|launch| launch.arg("--token-service-config").arg(config.to_str().unwrap())).await
}

async fn world() -> World {
    let world = with_tools(&[TOOL.to_owned(), "x".repeat(128)]).await;
    activate_with(
        &world,
        &document(),
        "@id(\"albums\") permit(principal is User, action == Action::\"VIEW\", resource is Album);",
    )
    .await;
    world
}

async fn activate_with(world: &World, document: &str, cedar: &str) {
    let request =
        v1::CreatePolicyRequest { document: document.to_owned(), cedar: cedar.to_owned(), ..Default::default() };
    let created = world.rita.policies().create_policy(request).await.unwrap().into_inner();
    let version = created.policy.unwrap().version;
    let request = v1::ActivatePolicyRequest { version, reason: "names".to_owned(), ..Default::default() };
    world.oscar.policies().activate_policy(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_others_are_kept_and_compared_exactly() {
    let world = world().await;
    let long = "x".repeat(128);
    let run = world.run_with(issue("alice"), &[TOOL, &long]).await;
    for (tool, action, effect) in [
        (TOOL, ACTION, v1::Effect::Allow),
        (&long, &*long, v1::Effect::Allow),
        (TOOL, &ACTION.to_lowercase(), v1::Effect::Deny),
        (TOOL, &ACTION.to_uppercase(), v1::Effect::Deny),
        (&TOOL.to_lowercase(), ACTION, v1::Effect::Deny),
    ] {
        let answer = run.decide(tool, action).await.unwrap();
        assert_eq!(answer.effect(), effect, "{tool} {action}: {answer:?}");
        let request = v1::GetDecisionRequest { policy_decision_id: answer.policy_decision_id };
        let recorded = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
        assert_eq!((recorded.tool_id.as_str(), recorded.action.as_str()), (tool, action));
    }
    for (tool, action, field) in [
        (&*"x".repeat(129), "get", "tool_id"),
        (TOOL, &*"x".repeat(129), "action"),
        ("orders lookup", "get", "tool_id"),
        (TOOL, "get*", "action"),
        (TOOL, "pr\u{fc}fen", "action"),
    ] {
        let wrong = run.decide(tool, action).await;
        assert_eq!(fields(wrong.as_ref().unwrap_err()), [field]);
        refused(wrong, Code::InvalidArgument, "INVALID_REQUEST");
    }

    // A filter takes a name, and takes it exactly.
    for (tool, action, found) in [(TOOL, ACTION, 1), (TOOL, "", 3), (&TOOL.to_lowercase(), "", 1), (TOOL, "x", 0)] {
        let request =
            v1::ListDecisionsRequest { tool_id: tool.to_owned(), action: action.to_owned(), ..Default::default() };
        let listed = world.rita.decisions().list_decisions(request).await.unwrap().into_inner().decisions;
        assert_eq!(listed.len(), found, "{tool} {action}");
    }
    let request = v1::ListEventsRequest { tool_id: TOOL.to_owned(), ..Default::default() };
    assert_eq!(world.rita.custody().list_events(request).await.unwrap().into_inner().events.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_of_a_tool_take_its_name_exactly() {
    let world = world().await;
    let run = world.run_with(issue("alice"), &[TOOL]).await;
    for (tool, reason) in
        [(TOOL.to_lowercase(), v1::DecisionReason::AllowedByRule), (TOOL.to_owned(), v1::DecisionReason::KillSwitch)]
    {
        let request = v1::EngageKillSwitchRequest {
            scope: v1::KillSwitchScope::Tool.into(),
            id: tool,
            reason: "drill".to_owned(),
            ..Default::default()
        };
        let engaged = world.oscar.policies().engage_kill_switch(request).await.unwrap().into_inner();
        let answer = run.decide(TOOL, ACTION).await.unwrap();
        assert_eq!(answer.reason.unwrap().code(), reason);
        let request = v1::ReleaseKillSwitchRequest {
            kill_switch_id: engaged.kill_switch.unwrap().kill_switch_id,
            reason: "over".to_owned(),
            ..Default::default()
        };
        world.rita.policies().release_kill_switch(request).await.unwrap();
    }
    let request = v1::RevokeCredentialsRequest {
        scope: Some(v1::revoke_credentials_request::Scope::ToolId(TOOL.to_owned())),
        reason: "leaked".to_owned(),
        ..Default::default()
    };
    world.oscar.credentials().revoke_credentials(request).await.unwrap();
    let answer = run.decide(TOOL, ACTION).await.unwrap();
    assert_eq!(answer.reason.unwrap().code(), v1::DecisionReason::CredentialRevoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_takes_the_same_names() {
    let world = world().await;
    let rita = world.server.operator_key("rita").unwrap();
    let http = world.server.http(Some(&rita));

    let issued = http.post("/issue", json!({"tool": TOOL, "sponsor_id": "alice", "role": "support"}).to_string()).await;
    let issued = issued.unwrap().json();
    assert_eq!(issued["tools"], json!([TOOL]), "{issued}");
    let (token, id) = (issued["token"].as_str().unwrap(), issued["agent_instance_id"].as_str().unwrap());
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}\
         &subject_token_type=urn:ietf:params:oauth:token-type:access_token&scope={}",
        TOOL.replace('/', "%2F")
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let child = http.send(Method::POST, "/oauth/token", &headers, Bytes::from(form)).await.unwrap().json();
    assert_eq!(child["scope"], TOOL, "{child}");

    let asked = json!({"token": token, "tool_id": TOOL, "action": ACTION, "want_receipt": true});
    let answer = http.call("DecisionService/Decide", &asked).await.unwrap().json();
    assert_eq!(answer["effect"], "EFFECT_ALLOW", "{answer}");

    // AuthZEN: of a run, and of what is no run.
    let gate = gate(&world);
    assert!(said(&post(&gate, EVALUATION, &asks(&by_id(id), TOOL, ACTION)).await).0);
    assert!(!said(&post(&gate, EVALUATION, &asks(&by_id(id), TOOL, &ACTION.to_lowercase())).await).0);
    for (action, allowed) in [("VIEW", true), ("view", false)] {
        let asked = json!({
            "subject": {"type": "User", "id": "anne"}, "action": {"name": action},
            "resource": {"type": "Album", "id": "1"},
        });
        let answer = post(&gate, EVALUATION, &asked).await;
        assert_eq!(said(&answer).0, allowed, "{answer}");
    }
    let search = post(&gate, SEARCH, &json!({"subject": by_id(id), "resource": {"type": "tool", "id": TOOL}})).await;
    assert_eq!(search["results"], json!([{"name": "getWeather"}, {"name": ACTION}]), "{search}");

    let channel = Endpoint::from_shared(world.server.url()).unwrap().connect().await.unwrap();
    let mut check = Request::new(CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Attributes {
                http: Some(HttpRequest {
                    method: "GET".to_owned(),
                    headers: [("authorization".to_owned(), format!("Bearer {token}"))].into(),
                    ..HttpRequest::default()
                }),
                ..Attributes::default()
            }),
            context_extensions: [("tool_id".to_owned(), TOOL.to_owned()), ("action".to_owned(), ACTION.to_owned())]
                .into(),
            ..AttributeContext::default()
        }),
    });
    check.metadata_mut().insert("authorization", format!("Bearer {rita}").parse().unwrap());
    let checked = AuthorizationClient::new(channel.clone()).check(check).await.unwrap().into_inner();
    assert_eq!(checked.status.unwrap().code, 0);

    let mut call = Request::new(McpRequest {
        service_names: vec![TOOL.to_owned()],
        method: "tools/call".to_owned(),
        mcp_request: Some(json!({"name": "getWeather", "arguments": {}}).to_string().into_bytes()),
        headers: vec![McpHeader { key: "authorization".to_owned(), value: format!("Bearer {token}").into_bytes() }],
        ..McpRequest::default()
    });
    call.metadata_mut().insert("authorization", format!("Bearer {rita}").parse().unwrap());
    let passed = ExtMcpClient::new(channel).check_request(call).await.unwrap().into_inner();
    // As it came, or with its arguments in canonical form.
    let on =
        matches!(passed.result, Some(mcp_request_result::Result::Pass(_) | mcp_request_result::Result::Mutated(_)));
    assert!(on, "{passed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_long_names_fit_or_are_refused_with_what_is_too_long() {
    let names: Vec<String> = (0..32).map(|n| format!("{n:02}/{}", "X".repeat(125))).collect();
    let world = with_tools(&names).await;
    activate(&world, "rules:\n- {id: all, role: support, tool: billing, allowed_actions: [refund]}\n").await;
    let request = v1::IssueCredentialRequest { tools: names.clone(), ..issue("alice") };
    let issued = world.rita.credentials().issue_credential(request.clone()).await.unwrap().into_inner();
    let run = world.rita.with_token(&issued.token).unwrap();
    let answer = run.decisions().decide(decide(&names[31], "refund")).await.unwrap().into_inner();
    assert_eq!(answer.reason.unwrap().code(), v1::DecisionReason::NoMatchingRule, "the credential names it");

    let labels = (0..8).map(|n| (format!("label-{n}"), "v".repeat(128))).collect();
    let too_long = v1::IssueCredentialRequest { labels, purpose: "p".repeat(512), ..request };
    let before = world.log_size().await;
    let status = world.rita.credentials().issue_credential(too_long).await.unwrap_err();
    assert_eq!(fields(&status), ["tools"], "{}", status.message());
    assert!(status.message().contains("5800 are the most"), "{}", status.message());
    assert_eq!(world.log_size().await, before);
    let many =
        v1::IssueCredentialRequest { tools: names.iter().map(|name| format!("{name}Y")).collect(), ..issue("alice") };
    let refused = world.rita.credentials().issue_credential(many).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_differ_by_case_only_are_refused_with_their_line() {
    let world = World::start().await;
    let document = "tools:\n- id: Billing\n- id: billing\nrules:\n- {id: r, role: support, tool: Billing, allowed_actions: [Get, get]}\n";
    let request = v1::ValidatePolicyRequest { document: document.to_owned(), ..Default::default() };
    let found = world.rita.policies().validate_policy(request).await.unwrap().into_inner();
    let found: Vec<_> = found.violations.iter().map(|one| (one.line, one.path.as_str())).collect();
    assert_eq!(found, [(3, "document.tools[1].id"), (5, "document.rules[0].allowed_actions[1]")]);
}
