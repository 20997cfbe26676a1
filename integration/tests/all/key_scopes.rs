//! API keys that are for some tools and sponsors: what else there is, they neither ask for nor read nor stop, at any door.

use countersign_client::{Connection, v1};
use countersign_integration::record;
use serde_json::json;
use tonic::{Code, Response, Status};

use crate::{
    authzen::{asks, by_id, by_token},
    envoy::refusal,
    ext_mcp::{self, Gateway},
    oauth::{exchange, introspect, post},
    operators::{add, admin},
    support::{Run, World, decide, eventually, fields, info, issue, log, refused},
};

const SCOPE: &str = "OUT_OF_SCOPE";

/// A key of `operator` for these tools and sponsors; with its connection.
async fn scoped(world: &World, operator: &str, tools: &[&str], sponsors: &[&str]) -> (Connection, String) {
    let made = key(&admin(&world.server).await, operator, &[], tools, sponsors).await.unwrap();
    record::secret(&made.secret);
    (world.server.connect(Some(&made.secret)).await.unwrap(), made.secret)
}

async fn key(
    by: &Connection,
    operator: &str,
    roles: &[&str],
    tools: &[&str],
    sponsors: &[&str],
) -> Result<v1::CreateApiKeyResponse, Status> {
    let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let request = v1::CreateApiKeyRequest {
        operator_id: operator.to_owned(),
        roles: texts(roles),
        tools: texts(tools),
        sponsors: texts(sponsors),
        ..Default::default()
    };
    by.operators().create_api_key(request).await.map(Response::into_inner)
}

fn call_of(run: &Run, tool: &str) -> v1::DecideRequest {
    v1::DecideRequest { token: run.token.clone(), ..decide(tool, "refund") }
}

async fn asked(gate: &Connection, request: v1::DecideRequest) -> Result<v1::DecideResponse, Status> {
    gate.decisions().decide(request).await.map(Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_for_billing_asks_reports_and_reads_for_billing_alone() {
    let world = World::start().await;
    add(&world.server, &admin(&world.server).await, "gina", &["gate"]).await;
    let (gate, secret) = scoped(&world, "gina", &["billing"], &[]).await;
    let who = gate.operators().who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((who.tools, who.sponsors, who.roles), (vec!["billing".to_owned()], vec![], vec!["gate".to_owned()]));

    let run = world.run_of("alice").await;
    let searcher = world.run_with(issue("alice"), &["search"]).await;
    let allowed = asked(&gate, call_of(&run, "billing")).await.unwrap();
    assert_eq!(allowed.effect(), v1::Effect::Allow);
    refused(asked(&gate, call_of(&run, "search")).await, Code::PermissionDenied, SCOPE);
    refused(asked(&gate, call_of(&run, "Billing")).await, Code::PermissionDenied, SCOPE);
    // One that is not for it, and nothing of the batch is.
    let before = world.log_size().await;
    let requests = vec![call_of(&run, "billing"), call_of(&run, "search")];
    let batch = gate.decisions().batch_decide(v1::BatchDecideRequest { requests, ..Default::default() }).await;
    refused(batch.map(Response::into_inner), Code::PermissionDenied, SCOPE);
    assert_eq!(world.log_size().await, before);

    // What the run asked for itself, on another tool.
    let found = run.decide("search", "query").await.unwrap();
    let report = |id: &str| v1::RecordToolCallRequest {
        policy_decision_id: id.to_owned(),
        outcome: v1::ToolCallOutcome::Success.into(),
        ..Default::default()
    };
    let told = async |id: &str| gate.custody().record_tool_call(report(id)).await.map(Response::into_inner);
    assert_eq!(found.effect(), v1::Effect::Allow);
    refused(told(&found.policy_decision_id).await, Code::PermissionDenied, SCOPE);
    told(&allowed.policy_decision_id).await.unwrap();
    let read = async |id: &str| {
        let request = v1::GetDecisionRequest { policy_decision_id: id.to_owned() };
        gate.decisions().get_decision(request).await.map(Response::into_inner)
    };
    read(&allowed.policy_decision_id).await.unwrap();
    refused(read(&found.policy_decision_id).await, Code::PermissionDenied, SCOPE);

    // Runs that have nothing to do with the tool.
    let instance = async |run: &Run| {
        let request = v1::GetInstanceRequest { agent_instance_id: run.id.clone() };
        gate.instances().get_instance(request).await.map(Response::into_inner)
    };
    instance(&run).await.unwrap();
    refused(instance(&searcher).await, Code::PermissionDenied, SCOPE);
    assert_eq!(introspect(&world.server, &secret, &run.token).await["active"], true);
    assert_eq!(introspect(&world.server, &secret, &searcher.token).await, json!({"active": false}));
    // What no tool bounds.
    let listed = gate.decisions().list_decisions(v1::ListDecisionsRequest::default()).await;
    refused(listed.map(Response::into_inner), Code::PermissionDenied, SCOPE);
    let listed = gate.instances().list_instances(v1::ListInstancesRequest::default()).await;
    refused(listed.map(Response::into_inner), Code::PermissionDenied, SCOPE);
    let chain = v1::GetCustodyChainRequest { subject: None };
    refused(gate.custody().get_custody_chain(chain).await.map(Response::into_inner), Code::PermissionDenied, SCOPE);
    // A cache still hears of every stop.
    gate.credentials().watch_revocations(v1::WatchRevocationsRequest::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_that_asks_holds_a_gate_to_its_tools() {
    let world = World::start().await;
    add(&world.server, &admin(&world.server).await, "gina", &["gate"]).await;
    let (_, billing) = scoped(&world, "gina", &["billing"], &[]).await;
    let (_, search) = scoped(&world, "gina", &["search"], &[]).await;
    let run = world.run_of("alice").await;
    // The doors of these tests ask for billing.
    let (status, said) = refusal(&world.server, &search, &run.token).await;
    assert_eq!((status, said["reason"].as_str()), (403, Some(SCOPE)), "{said}");
    let params = json!({"name": "refund", "arguments": {}}).to_string();
    let mut gateway = Gateway::at(&world.server, &search).await;
    let answer = gateway.check_text("tools/call", &params, &run.token).await.unwrap();
    assert_eq!(ext_mcp::denied(answer).1["reason"], SCOPE);
    let mut gateway = Gateway::at(&world.server, &billing).await;
    ext_mcp::allowed(gateway.check_text("tools/call", &params, &run.token).await.unwrap()).unwrap();

    let door = async |key: &str, subject, path: &str| {
        let question = asks(&subject, "billing", "refund").to_string();
        world.server.http(Some(key)).post(path, question).await.unwrap().status.as_u16()
    };
    for (key, status) in [(&billing, 200), (&search, 403)] {
        assert_eq!(door(key, by_token(&run.token), "/access/v1/evaluation").await, status);
        assert_eq!(door(key, by_id(&run.id), "/access/v1/evaluation").await, status);
        let search =
            json!({"subject": by_token(&run.token), "resource": {"type": "tool", "id": "billing"}}).to_string();
        let found = world.server.http(Some(key)).post("/access/v1/search/action", search).await.unwrap();
        assert_eq!(found.status.as_u16(), status, "{}", found.text());
    }
    let somebody = json!({"type": "user", "id": "alice"});
    assert_eq!(door(&billing, somebody, "/access/v1/evaluation").await, 403, "whose call it is no key for runs covers");
    let request = json!({"token": run.token, "toolId": "billing", "action": "refund"});
    let answer = world.server.http(Some(&search)).call("DecisionService/Decide", &request).await.unwrap();
    assert_eq!(answer.status.as_u16(), 403, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_for_alice_issues_delegates_and_stops_for_alice_alone() {
    let world = World::start().await;
    world.sponsor("bob").await;
    add(&world.server, &admin(&world.server).await, "ingo", &["issuer"]).await;
    let (issuer, secret) = scoped(&world, "ingo", &["billing"], &["alice"]).await;
    let grant = async |sponsor: &str, tools: &[&str]| {
        let tools = tools.iter().map(ToString::to_string).collect();
        let request = v1::IssueCredentialRequest { tools, ..issue(sponsor) };
        issuer.credentials().issue_credential(request).await.map(Response::into_inner)
    };
    let own = grant("alice", &["billing"]).await.unwrap();
    record::secret(&own.token);
    for (sponsor, tools) in [("bob", &["billing"][..]), ("alice", &["search"]), ("alice", &["billing", "search"])] {
        refused(grant(sponsor, tools).await, Code::PermissionDenied, SCOPE);
    }
    let line = json!({"tool": "billing", "sponsor_id": "bob"}).to_string();
    let answer = world.server.http(Some(&secret)).post("/issue", line).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.json()["error"]["reason"].as_str()),
        (403, Some(SCOPE)),
        "{}",
        answer.text()
    );

    // What others started: of bob, and of alice with more than billing.
    let of_bob = world.run_of("bob").await;
    let wider = world.run_of("alice").await;
    let delegate = async |parent: &str, tools: &[&str]| {
        let request = v1::DelegateCredentialRequest {
            parent_token: parent.to_owned(),
            agent: "support-bot".to_owned(),
            tools: tools.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        issuer.credentials().delegate_credential(request).await.map(Response::into_inner)
    };
    refused(delegate(&of_bob.token, &["billing"]).await, Code::PermissionDenied, SCOPE);
    refused(delegate(&wider.token, &["search"]).await, Code::PermissionDenied, SCOPE);
    refused(delegate(&wider.token, &[]).await, Code::PermissionDenied, SCOPE);
    delegate(&wider.token, &["billing"]).await.unwrap();
    let answer = post(&world.server, Some(&secret), "token", &[], &exchange(&of_bob.token, &[])).await;
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.text());

    for run in [&of_bob, &wider] {
        let (id, reason) = (run.id.clone(), "stopped".to_owned());
        let revoke = v1::RevokeInstanceRequest { agent_instance_id: id, reason, ..Default::default() };
        refused(
            issuer.instances().revoke_instance(revoke).await.map(Response::into_inner),
            Code::PermissionDenied,
            SCOPE,
        );
        let answer = post(&world.server, Some(&secret), "revoke", &[], &[("token", &run.token)]).await;
        assert_ne!(answer.status.as_u16(), 200, "{}", answer.text());
        assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow, "it lives");
    }
    let (credential_id, reason) = (own.credential_id.clone(), "stopped".to_owned());
    let by_id = v1::RevokeCredentialRequest { credential_id, reason, ..Default::default() };
    refused(
        issuer.credentials().revoke_credential(by_id).await.map(Response::into_inner),
        Code::PermissionDenied,
        SCOPE,
    );
    let answer = post(&world.server, Some(&secret), "revoke", &[], &[("token", &own.token)]).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    assert_eq!(introspect(&world.server, &secret, &own.token).await["active"], false);

    let sponsor = async |id: &str| {
        let request = v1::GetSponsorRequest { sponsor_id: id.to_owned() };
        issuer.sponsors().get_sponsor(request).await.map(Response::into_inner)
    };
    sponsor("alice").await.unwrap();
    refused(sponsor("bob").await, Code::PermissionDenied, SCOPE);
    eventually("refused administration is on record", async || {
        let events = log(&world.database).await;
        events.iter().any(|event| event.kind() == "administration_refused" && event.text("reason") == SCOPE)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_for_alice_is_refused_other_sponsors_and_calls_of_nobody() {
    let world = World::start().await;
    world.sponsor("bob").await;
    add(&world.server, &admin(&world.server).await, "gina", &["gate"]).await;
    let (gate, secret) = scoped(&world, "gina", &[], &["alice"]).await;
    let (of_alice, of_bob) = (world.run_of("alice").await, world.run_of("bob").await);
    assert_eq!(asked(&gate, call_of(&of_alice, "billing")).await.unwrap().effect(), v1::Effect::Allow);
    refused(asked(&gate, call_of(&of_bob, "billing")).await, Code::PermissionDenied, SCOPE);
    // What is no credential of anybody is denied, on record.
    let forged = v1::DecideRequest { token: "a.b.c".to_owned(), ..decide("search", "find") };
    assert_eq!(asked(&gate, forged).await.unwrap().effect(), v1::Effect::Deny);
    let (status, said) = refusal(&world.server, &secret, "").await;
    assert!(status == 403 || status == 401, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_is_for_issuers_and_gates_shown_and_on_record() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    add(&world.server, &root, "gina", &["gate", "auditor"]).await;
    for (roles, tools, field) in [
        (&[][..], &["billing"][..], "roles"),
        (&["auditor"], &["billing"], "roles"),
        (&["gate"], &["bill ing"], "tools[0]"),
    ] {
        let refusal = key(&root, "gina", roles, tools, &[]).await.unwrap_err();
        assert_eq!((refusal.code(), fields(&refusal)), (Code::InvalidArgument, vec![field.to_owned()]), "{refusal:?}");
    }
    let many: Vec<_> = (0..33).map(|nth| format!("t{nth}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(fields(&key(&root, "gina", &["gate"], &many, &[]).await.unwrap_err()), ["tools"]);

    let made = key(&root, "gina", &["gate"], &["search", "billing"], &["alice"]).await.unwrap();
    let shown = made.api_key.unwrap();
    assert_eq!(
        (shown.roles.as_slice(), shown.tools.as_slice()),
        (&["gate".to_owned()][..], &["billing".into(), "search".into()][..])
    );
    let request = v1::ListApiKeysRequest { operator_id: "gina".to_owned(), ..Default::default() };
    let listed = root.operators().list_api_keys(request).await.unwrap().into_inner().api_keys;
    assert!(listed.contains(&shown), "{listed:?}");
    let events = world.log().await;
    let event = events.iter().find(|event| event.leaf["subject"]["id"] == shown.key_id.as_str()).unwrap();
    let changed = event.leaf["changes"].as_array().unwrap();
    for (field, after) in [("scope_tools", "billing,search"), ("scope_sponsors", "alice")] {
        assert!(changed.contains(&json!({"field": field, "after": after})), "{changed:?}");
    }
    // To a server that knows no scopes the key has no role.
    let mut connection = world.database.connect().await.unwrap();
    let roles: Vec<String> = sqlx::query_scalar("SELECT roles FROM api_key WHERE key_id = $1::uuid")
        .bind(&shown.key_id)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(roles.is_empty(), "{roles:?}");
    // What is taken from its owner is taken from it.
    let set = v1::SetOperatorRolesRequest {
        operator_id: "gina".to_owned(),
        roles: vec!["auditor".to_owned()],
        reason: "a gate no more".to_owned(),
        ..Default::default()
    };
    let gate = world.server.connect(Some(&made.secret)).await.unwrap();
    root.operators().set_operator_roles(set).await.unwrap();
    let run = world.run_of("alice").await;
    let refusal = asked(&gate, call_of(&run, "billing")).await.unwrap_err();
    assert_eq!(info(&refusal).reason, "ROLE_REQUIRED");
}
