//! A child is never wider than its parent, at every door: its role above all, which rules, lifetimes, kill switches and rollouts
//! go by.

mod random;

use bytes::Bytes;
use countersign_client::v1;
use http::Method;
use serde_json::{Value, json};
use tonic::Code;
use v1::{DecisionReason, Effect};

use crate::{
    approvals::activate,
    authzen::{by_id, by_token},
    envoy,
    ext_mcp::{self, Gateway},
    support::{Run, World, approve, fields, issue, register},
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Where a run asks for a child.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    Grpc,
    Json,
    OAuth,
}

pub(crate) const DOORS: [Door; 3] = [Door::Grpc, Door::Json, Door::OAuth];

/// What a child is asked to be; empty and none: as its parent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) role: String,
    pub(crate) tools: Vec<String>,
    pub(crate) purpose: String,
    pub(crate) ttl: Option<i64>,
}

/// The child, or the fields that its refusal names.
pub(crate) async fn delegate(world: &World, door: Door, parent: &str, asked: &Asked) -> Result<Run, Vec<String>> {
    let Asked { role, tools, purpose, ttl } = asked.clone();
    let (token, id) = match door {
        Door::Grpc => {
            let request = v1::DelegateCredentialRequest {
                agent: "helper".to_owned(),
                role,
                tools,
                purpose,
                ttl: ttl.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
                ..Default::default()
            };
            let connection = world.rita.with_token(parent).unwrap();
            let answer = connection.credentials().delegate_credential(request).await;
            let issued = answer.map_err(|status| {
                assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
                fields(&status)
            })?;
            let issued = issued.into_inner();
            (issued.token, issued.agent_instance_id)
        }
        Door::Json => {
            let mut request = json!({"agent": "helper", "role": role, "tools": tools, "purpose": purpose});
            if let Some(ttl) = ttl {
                request["ttl"] = json!(format!("{ttl}s"));
            }
            let http = world.server.http(Some(parent));
            let answer = http.call("CredentialService/DelegateCredential", &request).await.unwrap();
            let body = answer.json();
            if !answer.status.is_success() {
                return Err(violated(&body));
            }
            (text(&body["token"]), text(&body["agentInstanceId"]))
        }
        Door::OAuth => {
            let mut form = vec![
                format!("grant_type={EXCHANGE}"),
                format!("subject_token={parent}"),
                format!("subject_token_type={ACCESS_TOKEN}"),
                "agent=helper".to_owned(),
            ];
            let given = [("role", role), ("scope", tools.join(" ")), ("purpose", purpose)];
            let given = given.into_iter().chain([("ttl", ttl.map(|ttl| ttl.to_string()).unwrap_or_default())]);
            let given = given.filter(|(_, value)| !value.is_empty());
            form.extend(given.map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))));
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let http = world.server.http(Some(parent));
            let answer = http.send(Method::POST, "/oauth/token", &headers, Bytes::from(form.join("&"))).await.unwrap();
            let body = answer.json();
            if !answer.status.is_success() {
                return Err(vec![text(&body["error_description"])]);
            }
            (text(&body["access_token"]), text(&body["agent_instance_id"]))
        }
    };
    let connection = world.rita.with_token(&token).unwrap();
    Ok(Run { token, id, connection, log_index: 0 })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn violated(body: &Value) -> Vec<String> {
    let details = body["details"].as_array().into_iter().flatten();
    let violations = details.flat_map(|detail| detail["debug"]["fieldViolations"].as_array().into_iter().flatten());
    violations.map(|violation| text(&violation["field"])).collect()
}

/// Registered with these roles, and approved.
pub(crate) async fn sponsor_with(world: &World, id: &str, roles: &[&str]) {
    let roles = roles.iter().map(ToString::to_string).collect();
    let request = v1::RegisterSponsorRequest { roles, max_ttl: None, ..register(id) };
    world.rita.sponsors().register_sponsor(request).await.unwrap();
    world.oscar.sponsors().approve_sponsor(approve(id)).await.unwrap();
}

/// A run of carla, who has all roles.
pub(crate) async fn run_as(world: &World, role: &str, tools: &[&str]) -> Run {
    world.run_with(v1::IssueCredentialRequest { role: role.to_owned(), ..issue("carla") }, tools).await
}

/// What a run is answered.
async fn answer(run: &Run, tool: &str, action: &str) -> (Effect, DecisionReason) {
    let answer = run.decide(tool, action).await.unwrap();
    (answer.effect(), answer.reason.unwrap().code())
}

async fn introspected(world: &World, token: &str) -> v1::IntrospectCredentialResponse {
    let request = v1::IntrospectCredentialRequest { token: token.to_owned() };
    world.rita.credentials().introspect_credential(request).await.unwrap().into_inner()
}

/// Support may ask to refund, finance may refund and wire; who may become whom is put in.
fn policy(delegates: &str) -> String {
    format!(
        "roles:
  - {{id: support, tools: [billing, search]{delegates}}}
  - {{id: finance, tools: [billing, bank], max_ttl_seconds: 120}}
  - {{id: audit}}
rules:
  - {{id: read-support, role: support, tool: billing, allowed_actions: [read]}}
  - {{id: read-finance, role: finance, tool: billing, allowed_actions: [read]}}
  - {{id: ask, role: support, tool: billing, allowed_actions: [refund], require_approval: true}}
  - {{id: find, role: support, tool: search, allowed_actions: [find]}}
  - {{id: pay, role: finance, tool: billing, allowed_actions: [refund, pay]}}
  - {{id: wire, role: finance, tool: bank, allowed_actions: [wire]}}
  - {{id: look, role: audit, tool: billing, allowed_actions: [read]}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_childs_role_is_its_parents_at_every_door() {
    let world = World::start().await;
    sponsor_with(&world, "carla", &["support", "finance", "audit"]).await;
    activate(&world, &policy("")).await;
    let run = run_as(&world, "support", &["billing", "search"]).await;
    for door in DOORS {
        let asked = Asked { role: "finance".to_owned(), tools: vec!["billing".to_owned()], ..Asked::default() };
        let Err(why) = delegate(&world, door, &run.token, &asked).await else { panic!("{door:?}") };
        assert!(why.iter().all(|why| why.starts_with("role")) && !why.is_empty(), "{door:?}: {why:?}");
        for role in ["", "support"] {
            let asked = Asked { role: role.to_owned(), ..Asked::default() };
            let child = delegate(&world, door, &run.token, &asked).await.unwrap();
            assert_eq!(answer(&child, "billing", "refund").await.0, Effect::RequireApproval, "{door:?}");
            let said = introspected(&world, &child.token).await;
            assert_eq!((said.role.as_str(), said.inherited_roles.len()), ("support", 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_of_another_role_is_bound_by_both_and_so_is_all_below_it() {
    let world = World::start().await;
    sponsor_with(&world, "carla", &["support", "finance", "audit"]).await;
    activate(&world, &policy(", may_delegate_to: [finance]")).await;
    let run = run_as(&world, "support", &["billing", "search"]).await;
    let as_finance = |tools: &[&str]| Asked {
        role: "finance".to_owned(),
        tools: tools.iter().map(ToString::to_string).collect(),
        ..Asked::default()
    };
    for door in DOORS {
        // Search is no tool of finance, and 121 s no lifetime.
        let wide = Asked { ttl: Some(121), ..as_finance(&["billing", "search"]) };
        assert!(delegate(&world, door, &run.token, &wide).await.is_err(), "{door:?}");
        let child = delegate(&world, door, &run.token, &as_finance(&["billing"])).await.unwrap();
        let grandchild = delegate(&world, door, &child.token, &Asked::default()).await.unwrap();
        for run in [&child, &grandchild] {
            let said = introspected(&world, &run.token).await;
            assert_eq!((said.role.as_str(), said.inherited_roles), ("finance", vec!["support".to_owned()]));
            assert!(said.ttl_seconds <= 120, "{}", said.ttl_seconds);
            let by_rule = DecisionReason::AllowedByRule;
            assert_eq!(answer(run, "billing", "read").await, (Effect::Allow, by_rule));
            // Finance may, support only where a person says yes.
            let asks = DecisionReason::ApprovalRequired;
            assert_eq!(answer(run, "billing", "refund").await, (Effect::RequireApproval, asks));
            // Finance may, support may not.
            assert_eq!(answer(run, "billing", "pay").await, (Effect::Deny, DecisionReason::NoMatchingRule));
        }
        // It may not go back either, nor on: only support delegates to another role.
        for role in ["support", "audit"] {
            let asked = Asked { role: role.to_owned(), ..Asked::default() };
            assert!(delegate(&world, door, &child.token, &asked).await.is_err(), "{door:?}");
        }
        let request = v1::GetInstanceRequest { agent_instance_id: child.id.clone() };
        let instance = world.rita.instances().get_instance(request).await.unwrap().into_inner().instance.unwrap();
        assert_eq!((instance.role.as_str(), instance.inherited_roles), ("finance", vec!["support".to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_asks_a_policy_about_a_chain_sees_all_of_its_roles() {
    let world = World::start().await;
    sponsor_with(&world, "carla", &["support", "finance", "audit"]).await;
    activate(&world, &policy(", may_delegate_to: [finance]")).await;
    let run = run_as(&world, "support", &["billing", "search"]).await;
    let asked = Asked { role: "finance".to_owned(), tools: vec!["billing".to_owned()], ..Asked::default() };
    let child = delegate(&world, Door::Grpc, &run.token, &asked).await.unwrap();

    // AuthZEN: evaluation and search, by token and by the instance's name.
    let gate = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    for subject in [by_token(&child.token), by_id(&child.id)] {
        let resource = json!({"type": "tool", "id": "billing"});
        for (action, allowed) in [("read", true), ("pay", false)] {
            let request = json!({"subject": subject, "resource": resource, "action": {"name": action}});
            let said = gate.post("/access/v1/evaluation", request.to_string()).await.unwrap().json();
            assert_eq!(said["decision"], allowed, "{subject} {action}: {said}");
        }
        let request = json!({"subject": subject, "resource": resource});
        let found = gate.post("/access/v1/search/action", request.to_string()).await.unwrap().json();
        let names: Vec<_> = found["results"].as_array().unwrap().iter().map(|found| text(&found["name"])).collect();
        assert_eq!(names, ["read"], "{found}");
    }

    // Gateways.
    let key = world.server.operator_key("rita").unwrap();
    let mut gateway = Gateway::of(&world, "rita").await;
    for (action, reason) in [("read", None), ("pay", Some("NO_MATCHING_RULE")), ("refund", Some("APPROVAL_REQUIRED"))] {
        let asked = envoy::Asked { action, ..envoy::Asked::by(&child.token) };
        let said = envoy::denied(envoy::check(&world.server, &key, &asked).await.unwrap());
        assert_eq!(said.as_ref().map(|said| said["reason"].as_str().unwrap()), reason, "{action}: {said:?}");
        let params = json!({ "name": action }).to_string();
        let said = ext_mcp::allowed(gateway.check_text("tools/call", &params, &child.token).await.unwrap()).err();
        assert_eq!(said.as_ref().map(|said| said["reason"].as_str().unwrap()), reason, "{action}: {said:?}");
    }

    // What was decided is explained, and simulated, alike.
    let refused = child.decide("billing", "pay").await.unwrap();
    let request = v1::ExplainDecisionRequest {
        policy_decision_id: refused.policy_decision_id.clone(),
        policy_version: world.policy(&policy(", may_delegate_to: [finance, audit]")).await,
    };
    let explained = world.rita.decisions().explain_decision(request).await.unwrap().into_inner();
    assert_eq!(explained.effect(), Effect::Deny, "{explained:?}");
    let message = explained.reason.unwrap().message;
    assert!(message.contains("support"), "{message}");

    // A switch on either role stops it.
    for (role, stopped) in [("support", true), ("finance", true), ("audit", false)] {
        let request = v1::EngageKillSwitchRequest {
            scope: v1::KillSwitchScope::Role.into(),
            id: role.to_owned(),
            reason: "drill".to_owned(),
            ..Default::default()
        };
        let switch = world.rita.policies().engage_kill_switch(request).await.unwrap().into_inner().kill_switch.unwrap();
        let killed = answer(&child, "billing", "read").await == (Effect::Deny, DecisionReason::KillSwitch);
        assert_eq!(killed, stopped, "{role}");
        let (kill_switch_id, reason) = (switch.kill_switch_id, "over".to_owned());
        let request = v1::ReleaseKillSwitchRequest { kill_switch_id, reason, ..Default::default() };
        world.oscar.policies().release_kill_switch(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_of_one_role_answers_for_a_chain_that_another_one_binds_too() {
    let world = World::start().await;
    sponsor_with(&world, "carla", &["support", "finance", "audit"]).await;
    activate(&world, &policy(", may_delegate_to: [finance]")).await;
    // The candidate lets support pay and not read, and takes from finance that it may pay.
    let reads = "role: support, tool: billing, allowed_actions: [read]";
    let pays = "role: support, tool: billing, allowed_actions: [pay]";
    let candidate = policy("").replace(reads, pays).replace("[refund, pay]", "[refund]");
    let request = v1::StartRolloutRequest {
        candidate: world.policy(&candidate).await,
        percent: Some(99),
        scope: Some(v1::RolloutScope { roles: vec!["support".to_owned()], ..Default::default() }),
        reason: "support first".to_owned(),
        ..Default::default()
    };
    world.rita.rollouts().start_rollout(request).await.unwrap();
    // One that is inside.
    let run = loop {
        let run = run_as(&world, "support", &["billing", "search"]).await;
        if answer(&run, "billing", "read").await.0 == Effect::Deny {
            break run;
        }
    };
    let asked = Asked { role: "finance".to_owned(), tools: vec!["billing".to_owned()], ..Asked::default() };
    let child = delegate(&world, Door::Grpc, &run.token, &asked).await.unwrap();
    // Denied by the candidate, which answers for support, though the baseline allows it for finance.
    assert_eq!(answer(&child, "billing", "read").await.0, Effect::Deny);
    // Allowed by the candidate for support, and by the baseline for finance, which is outside.
    assert_eq!(answer(&child, "billing", "pay").await.0, Effect::Allow);
    // A run of finance is outside.
    let finance = run_as(&world, "finance", &["billing"]).await;
    assert_eq!(answer(&finance, "billing", "read").await.0, Effect::Allow);
}
