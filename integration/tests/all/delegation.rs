//! A child is never wider than its parent, at every door: its role above all, which rules, lifetimes, kill switches and rollouts
//! go by.

use std::fmt::Write as _;

use bytes::Bytes;
use countersign_client::v1;
use http::Method;
use serde_json::{Value, json};
use tonic::Code;
use v1::{DecisionReason, Effect};

use crate::{
    approvals::activate,
    authzen::{by_id, by_token},
    support::{Run, World, approve, decide, fields, issue, register},
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

/// Numbers that are the same in every run of the tests.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }

    fn one_of<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    /// Each with even chances.
    fn some_of<'t>(&mut self, of: &[&'t str]) -> Vec<&'t str> {
        of.iter().copied().filter(|_| self.below(2) == 0).collect()
    }

    /// At least one.
    fn any_of<'t>(&mut self, of: &[&'t str]) -> Vec<&'t str> {
        let some = self.some_of(of);
        if some.is_empty() { vec![self.one_of(of)] } else { some }
    }
}

const ROLES: [&str; 3] = ["support", "finance", "audit"];
const TOOLS: [&str; 3] = ["billing", "search", "file-store"];
const ACTIONS: [&str; 3] = ["read", "write", "erase"];

/// A role of a random policy.
struct Role {
    tools: Vec<&'static str>,
    ttl: i64,
    delegates: Vec<&'static str>,
}

fn random_policy(dice: &mut Dice) -> (String, Vec<Role>) {
    let mut document = "roles:\n".to_owned();
    let mut roles = Vec::new();
    for role in ROLES {
        let tools = if dice.below(3) == 0 { Vec::new() } else { dice.any_of(&TOOLS) };
        let (ttl, delegates) = ([60, 120, 300][dice.below(3)], dice.some_of(&ROLES));
        write!(document, "  - {{id: {role}, max_ttl_seconds: {ttl}").unwrap();
        if !tools.is_empty() {
            write!(document, ", tools: [{}]", tools.join(", ")).unwrap();
        }
        if !delegates.is_empty() {
            write!(document, ", may_delegate_to: [{}]", delegates.join(", ")).unwrap();
        }
        document += "}\n";
        roles.push(Role { tools, ttl, delegates });
    }
    document += "rules:\n";
    for nth in 0..10 {
        let effect = ["", "", "", ", require_approval: true", ", effect: deny"][dice.below(5)];
        // Only a rule that denies may be for every role.
        let every = effect.ends_with("deny") && dice.below(2) == 0;
        let role = if every { String::new() } else { format!("role: {}, ", dice.one_of(&ROLES)) };
        let (tool, actions) = (dice.one_of(&TOOLS), dice.any_of(&ACTIONS).join(", "));
        writeln!(document, "  - {{id: r{nth}, {role}tool: {tool}, allowed_actions: [{actions}]{effect}}}").unwrap();
    }
    (document, roles)
}

/// A run of a chain, and what is known of it.
struct Link {
    run: Run,
    roles: Vec<&'static str>,
    tools: Vec<&'static str>,
    purpose: String,
}

/// How restrictive the answer to each call is.
async fn answers(run: &Run) -> Vec<(String, i32)> {
    let calls: Vec<_> = TOOLS.iter().flat_map(|tool| ACTIONS.map(|action| (*tool, action))).collect();
    let requests = calls.iter().map(|(tool, action)| decide(tool, action)).collect();
    let request = v1::BatchDecideRequest { requests, ..Default::default() };
    let answers = run.connection.decisions().batch_decide(request).await.unwrap().into_inner().responses;
    let restricts = |effect| match effect {
        Effect::Allow => 0,
        Effect::RequireApproval => 1,
        _ => 2,
    };
    calls
        .iter()
        .zip(&answers)
        .map(|((tool, action), answer)| (format!("{tool}.{action}"), restricts(answer.effect())))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_chain_under_any_policy_at_any_door_is_allowed_more_below_than_above() {
    let world = World::start().await;
    sponsor_with(&world, "carla", &ROLES).await;
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut granted, mut refused, mut turned) = (0, 0, 0);
    for round in 0..16 {
        let (document, roles) = random_policy(&mut dice);
        activate(&world, &document).await;
        let spec = |role: &str| &roles[ROLES.iter().position(|known| *known == role).unwrap()];
        let role = dice.one_of(&ROLES);
        let of_role = if spec(role).tools.is_empty() { TOOLS.to_vec() } else { spec(role).tools.clone() };
        let run = run_as(&world, role, &of_role).await;
        let mut above = answers(&run).await;
        let mut parent = Link { run, roles: vec![role], tools: of_role, purpose: "triage ticket 4711".to_owned() };
        for _ in 0..6 {
            let door = DOORS[dice.below(3)];
            let delegates = &spec(parent.roles[0]).delegates;
            let role = match dice.below(5) {
                0 => dice.one_of(&ROLES),
                1 => parent.roles[0],
                _ if delegates.is_empty() => parent.roles[0],
                _ => dice.one_of(delegates),
            };
            let tools = if dice.below(5) == 0 { dice.any_of(&TOOLS) } else { vec![dice.one_of(&parent.tools)] };
            let purpose = ["", "", "", "", " of today", " of today", "0", "holiday"][dice.below(8)];
            let purpose = match purpose {
                "" => String::new(),
                "holiday" => purpose.to_owned(),
                more => format!("{}{more}", parent.purpose),
            };
            let ttl = [None, None, None, Some(30), Some(100), Some(200)][dice.below(6)];
            let mut binding = vec![role];
            binding.extend(parent.roles.iter().filter(|above| **above != role));
            let fits = (role == parent.roles[0] || spec(parent.roles[0]).delegates.contains(&role))
                && tools.iter().all(|tool| parent.tools.contains(tool))
                && binding.iter().all(|role| {
                    spec(role).tools.is_empty() || tools.iter().all(|tool| spec(role).tools.contains(tool))
                })
                && !purpose.ends_with('0')
                && purpose != "holiday";
            let lasts = ttl.is_none_or(|ttl| binding.iter().all(|role| ttl <= spec(role).ttl));
            let asked = Asked {
                role: role.to_owned(),
                tools: tools.iter().map(ToString::to_string).collect(),
                purpose: purpose.clone(),
                ttl,
            };
            let child = delegate(&world, door, &parent.run.token, &asked).await;
            let Ok(run) = child else {
                // A lifetime may also be longer than what is left of the parent's.
                assert!(
                    !fits || !lasts || ttl.is_some(),
                    "{round} {door:?} {asked:?} below {:?}\n{document}",
                    parent.roles
                );
                refused += 1;
                continue;
            };
            assert!(fits && lasts, "{round} {door:?} {asked:?} below {:?}\n{document}", parent.roles);
            granted += 1;
            turned += i32::from(role != parent.roles[0]);
            let below = answers(&run).await;
            for ((call, above), (_, below)) in above.iter().zip(&below) {
                assert!(
                    below >= above,
                    "{round}: {call} is {above} above and {below} below, as {binding:?}\n{document}"
                );
            }
            let said = introspected(&world, &run.token).await;
            assert!(binding.iter().all(|role| i64::from(said.ttl_seconds) <= spec(role).ttl));
            assert_eq!((said.role.as_str(), said.inherited_roles.len()), (role, binding.len() - 1));
            above = below;
            let purpose = if purpose.is_empty() { parent.purpose } else { purpose };
            parent = Link { run, roles: binding, tools, purpose };
            if said.depth >= 3 {
                break;
            }
        }
    }
    assert!(granted >= 12 && refused >= 12 && turned >= 4, "{granted} granted, {refused} refused, {turned} turned");
}
