//! AuthZEN about entities of types that a policy declares: the published scenarios over the wire.
//!
//! "AuthZEN Authorization API 1.0 - Certification Scenario" of the OpenID AuthZEN working group is followed section by
//! section (Basic, Batch, Discovery); its Todo scenario by the roles that it gives its people.

use bytes::Bytes;
use countersign_client::v1;
use countersign_integration::{Answer, Http};
use http::Method;
use serde_json::{Value, json};

use crate::{
    authzen::{EVALUATION, EVALUATIONS, SEARCH},
    support::World,
};

const DOCUMENT: &str = include_str!("../../../server/policy/tests/documents/authzen.yaml");
const CEDAR: &str = include_str!("../../../server/policy/tests/documents/authzen.cedar");

/// A world in which the scenarios' policy answers, and its gate.
async fn scenario() -> (World, Http) {
    let world = World::start().await;
    let request =
        v1::CreatePolicyRequest { document: DOCUMENT.to_owned(), cedar: CEDAR.to_owned(), ..Default::default() };
    let created = world.rita.policies().create_policy(request).await.unwrap().into_inner().policy.unwrap();
    let version = created.version;
    let request = v1::ActivatePolicyRequest { version, reason: "the scenario".to_owned(), ..Default::default() };
    world.oscar.policies().activate_policy(request).await.unwrap();
    let gate = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    (world, gate)
}

fn user(id: &str) -> Value {
    json!({"type": "user", "id": id})
}

fn record(id: &str) -> Value {
    json!({"type": "record", "id": id})
}

fn with(mut entity: Value, properties: Value) -> Value {
    entity["properties"] = properties;
    entity
}

fn asks(subject: &Value, action: &str, resource: &Value) -> Value {
    json!({"subject": subject, "action": {"name": action}, "resource": resource})
}

async fn post(http: &Http, path: &str, request: &Value) -> Value {
    let answer = http.post(path, request.to_string()).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200, "{request}: {}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.json()
}

async fn decided(http: &Http, request: &Value) -> bool {
    let answer = post(http, EVALUATION, request).await;
    assert!(answer["context"].is_object());
    answer["decision"].as_bool().unwrap()
}

async fn all_decided(http: &Http, request: &Value) -> Vec<bool> {
    let answer = post(http, EVALUATIONS, request).await;
    answer["evaluations"].as_array().unwrap().iter().map(|one| one["decision"].as_bool().unwrap()).collect()
}

fn is_bad_request(answer: &Answer) {
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.text());
    assert!(!answer.text().is_empty());
}

/// With this value in this place the request is malformed.
async fn is_bad_with(http: &Http, path: &str, request: &Value, place: &str, value: Value) {
    let mut request = request.clone();
    *request.pointer_mut(place).unwrap() = value;
    is_bad_request(&http.post(path, request.to_string()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certification_scenario_basic() {
    let (_world, gate) = scenario().await;
    let (alice, bob, record_1) = (user("alice"), user("bob"), record("record-1"));
    let archived = with(record("record-2"), json!({"status": "archived"}));
    let read = asks(&alice, "read", &record_1);
    // 4.2.1, 4.2.2, and 4.6: the same request, the same decision.
    for _ in 0..3 {
        assert!(decided(&gate, &read).await);
        assert!(!decided(&gate, &asks(&bob, "write", &record_1)).await);
    }
    // 4.2.3: a context changes nothing.
    let mut request = read.clone();
    request["context"] = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
    assert!(decided(&gate, &request).await);
    // 4.2.4 to 4.2.7: properties of resource, subject and action.
    assert!(!decided(&gate, &asks(&alice, "write", &archived)).await);
    assert!(decided(&gate, &asks(&with(bob, json!({"role": "admin"})), "write", &archived)).await);
    for soft in [true, false] {
        let mut request = asks(&alice, "delete", &record_1);
        request["action"]["properties"] = json!({"soft": soft});
        assert_eq!(decided(&gate, &request).await, soft);
    }
    // 4.2.8 and 4.2.9: more properties than are needed, and fields that nobody knows.
    let mut request = asks(
        &with(alice.clone(), json!({"department": "Sales", "role": "manager"})),
        "read",
        &with(record_1.clone(), json!({"status": "active", "owner": "bob"})),
    );
    request["action"]["properties"] = json!({"method": "GET"});
    request["foo"] = json!("bar");
    request["futureField"] = json!({"nested": true});
    assert!(decided(&gate, &request).await);
    // 4.4: whatever is missing or of another type is a bad request.
    for (place, value) in [
        ("/subject", Value::Null),
        ("/action", Value::Null),
        ("/resource", Value::Null),
        ("/subject/type", Value::Null),
        ("/subject/id", Value::Null),
        ("/action", json!({})),
        ("/resource/type", Value::Null),
        ("/resource/id", Value::Null),
        ("/subject", json!("alice")),
        ("/action/name", json!(123)),
    ] {
        is_bad_with(&gate, EVALUATION, &read, place, value).await;
    }
    for body in ["{\"subject\":", ""] {
        is_bad_request(&gate.post(EVALUATION, body).await.unwrap());
    }
    let (headers, body) = ([("content-type", "text/plain")], Bytes::from(read.to_string()));
    is_bad_request(&gate.send(Method::POST, EVALUATION, &headers, body.clone()).await.unwrap());
    // 4.5: the request's id comes back.
    let headers = [("content-type", "application/json"), ("x-request-id", "bfe9eb29-ab87-4ca3-be83-a1d5d8305716")];
    let answer = gate.send(Method::POST, EVALUATION, &headers, body).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.headers["x-request-id"].to_str().unwrap()), (200, headers[1].1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certification_scenario_action_search() {
    let (_world, gate) = scenario().await;
    let search = |subject: &Value, resource: &Value| json!({"subject": subject, "resource": resource});
    let (alice, record_1) = (user("alice"), record("record-1"));
    let read_and_write = json!({"results": [{"name": "read"}, {"name": "write"}]});
    // 4.4.1, and the same answer each time; 8.6.1 with a context; what nobody knows, and an action, are passed over.
    for _ in 0..3 {
        assert_eq!(post(&gate, SEARCH, &search(&alice, &record_1)).await, read_and_write);
    }
    for (name, value) in [
        ("context", json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"})),
        ("foo", json!("bar")),
        ("futureField", json!({"nested": true})),
        ("action", json!({"name": "read"})),
        ("action", json!(7)),
    ] {
        let mut request = search(&alice, &record_1);
        request[name] = value;
        assert_eq!(post(&gate, SEARCH, &request).await, read_and_write, "{name}");
    }
    // 4.6.1: who is not known can do nothing, which is no error.
    assert_eq!(post(&gate, SEARCH, &search(&user("nonexistent-user"), &record_1)).await, json!({"results": []}));
    // With properties: an administrator may write what is archived, and others may not.
    let archived = with(record("record-2"), json!({"status": "archived"}));
    let bob = with(user("bob"), json!({"role": "admin"}));
    assert_eq!(post(&gate, SEARCH, &search(&bob, &archived)).await, read_and_write);
    assert_eq!(post(&gate, SEARCH, &search(&alice, &archived)).await, json!({"results": [{"name": "read"}]}));
    // Whatever is missing or of another type is a bad request.
    for (place, value) in [
        ("/subject", Value::Null),
        ("/resource", Value::Null),
        ("/subject/type", Value::Null),
        ("/subject/id", Value::Null),
        ("/resource/type", Value::Null),
        ("/resource/id", Value::Null),
        ("/subject", json!("alice")),
    ] {
        is_bad_with(&gate, SEARCH, &search(&alice, &record_1), place, value).await;
    }
    for body in ["", "{", "[]"] {
        is_bad_request(&gate.post(SEARCH, body.to_owned()).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certification_scenario_batch() {
    let (_world, gate) = scenario().await;
    let (alice, bob) = (user("alice"), user("bob"));
    let active = with(record("record-1"), json!({"status": "active"}));
    let archived = with(record("record-2"), json!({"status": "archived"}));
    let read_write = json!([{"action": {"name": "read"}}, {"action": {"name": "write"}}]);
    for (request, expected) in [
        // 5.2.2: values and order.
        (json!({"subject": bob, "resource": record("record-1"), "evaluations": read_write}), [true, false]),
        // 5.2.3 and 5.2.4: properties, each evaluation's own.
        (
            json!({"subject": alice, "action": {"name": "write"}, "evaluations": [{"resource": active}, {"resource": archived}]}),
            [true, false],
        ),
        (
            json!({"action": {"name": "write"}, "resource": archived, "evaluations": [
                {"subject": alice}, {"subject": with(bob.clone(), json!({"role": "admin"}))},
            ]}),
            [false, true],
        ),
        // 5.2.5: no defaults.
        (
            json!({"evaluations": [asks(&alice, "read", &record("record-1")), asks(&bob, "write", &record("record-1"))]}),
            [true, false],
        ),
        // 5.2.7: a default is taken whole, or replaced whole.
        (
            json!({"subject": alice, "action": {"name": "write"}, "resource": active, "evaluations": [{}, {"resource": archived}]}),
            [true, false],
        ),
        // 5.4.1: an evaluation that is not whole denies itself.
        (
            json!({"subject": alice, "action": {"name": "read"}, "options": {"evaluations_semantic": "execute_all"},
                   "evaluations": [{"resource": record("record-1")}, {}]}),
            [true, false],
        ),
    ] {
        assert_eq!(all_decided(&gate, &request).await, expected, "{request}");
    }
    // 5.2.1 and 5.2.6: as many answers as questions, whatever they are.
    let mut request = json!({
        "subject": alice, "action": {"name": "read"}, "context": {"time": "2025-06-27T18:03-07:00"},
        "evaluations": [{"resource": record("record-1")}, {"resource": record("record-2"), "context": {"source": "batch-override"}}],
    });
    assert_eq!(all_decided(&gate, &request).await.len(), 2);
    // 5.4.2 and 5.4.3: without evaluations it is a single one.
    request["resource"] = record("record-1");
    for none in [Value::Null, json!([])] {
        request["evaluations"] = none;
        assert_eq!(post(&gate, EVALUATIONS, &request).await["decision"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_todo_scenario() {
    let (_world, gate) = scenario().await;
    let todo = |owner: &str| json!({"type": "todo", "id": "7240d0db", "properties": {"ownerID": owner}});
    let (rick, morty, beth) = ("rick@the-citadel.com", "morty@the-citadel.com", "beth@the-smiths.com");
    for (id, mine, others, creates, changes_own, changes_others) in [
        ("rick", rick, morty, true, true, true),
        ("morty", morty, rick, true, true, false),
        ("beth", beth, rick, false, false, false),
    ] {
        let request = json!({
            "subject": user(id), "resource": todo(mine),
            "evaluations": [
                {"action": {"name": "can_read_user"}, "resource": user("beth")},
                {"action": {"name": "can_read_user"}, "resource": user(id)},
                {"action": {"name": "can_read_todos"}},
                {"action": {"name": "can_create_todo"}},
                {"action": {"name": "can_update_todo"}},
                {"action": {"name": "can_delete_todo"}},
                {"action": {"name": "can_update_todo"}, "resource": todo(others)},
                {"action": {"name": "can_delete_todo"}, "resource": todo(others)},
            ],
        });
        let expected = [true, true, true, creates, changes_own, changes_own, changes_others, changes_others];
        assert_eq!(all_decided(&gate, &request).await, expected, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_about_an_entity_is_on_record_as_nobodys_and_names_its_subject() {
    let (world, gate) = scenario().await;
    let answer = post(&gate, EVALUATION, &asks(&user("alice"), "read", &record("record-1"))).await;
    let id = answer["context"]["policy_decision_id"].as_str().unwrap();
    let request = v1::GetDecisionRequest { policy_decision_id: id.to_owned() };
    let decision = world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((decision.effect(), decision.rule_ids), (v1::Effect::Allow, vec!["users-read".to_owned()]));
    assert_eq!(
        (decision.tool_id.as_str(), decision.action.as_str(), decision.operator_id.as_str()),
        ("record", "read", "rita")
    );
    assert_eq!((decision.sponsor_id.as_str(), decision.agent_instance_id.as_str()), ("", ""));
    assert_eq!((decision.policy_version.as_str(), decision.request_hash.len()), ("pv_2", 32));
    let log = world.log().await;
    let event = log.iter().find(|event| event.text("policy_decision_id") == id).unwrap();
    assert_eq!((event.kind(), event.text("sponsor_state")), ("unattributed", "unknown"));
    assert_eq!(event.leaf["subject"], json!({"id": "alice", "type": "user"}));
    assert!(!String::from_utf8_lossy(&event.bytes).contains("record-1"), "which record is bound by the hash only");
    // No tool call stands on it, and it is no missing sponsor.
    let report = v1::RecordToolCallRequest {
        policy_decision_id: id.to_owned(),
        outcome: v1::ToolCallOutcome::Success.into(),
        ..Default::default()
    };
    assert!(world.rita.custody().record_tool_call(report).await.is_err());

    // Types that nothing declares are denied, and a run asks about no others.
    for (subject, resource) in [
        (json!({"type": "spaceship", "id": "x"}), record("record-1")),
        (user("alice"), json!({"type": "tool", "id": "billing"})),
    ] {
        let answer = post(&gate, EVALUATION, &asks(&subject, "read", &resource)).await;
        assert_eq!(
            (&answer["decision"], &answer["context"]["reason"]["code"]),
            (&json!(false), &json!("TYPE_UNKNOWN"))
        );
    }
    let run = world.run_with(crate::support::issue("alice"), &["billing"]).await;
    let own = world.server.http(Some(&run.token));
    let refused = own.post(EVALUATION, asks(&user("alice"), "read", &record("record-1")).to_string()).await.unwrap();
    assert_eq!(refused.status.as_u16(), 403, "{}", refused.text());
    // Runs are answered by the same document's rules, as ever.
    let tool = json!({"type": "tool", "id": "billing"});
    assert!(decided(&gate, &asks(&json!({"type": "instance", "id": run.id}), "refund", &tool)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_baseline_lets_through_are_runs_and_nobody_else() {
    let world = World::start().await;
    let gate = world.server.http(Some(&world.server.operator_key("rita").unwrap()));
    let read = asks(&user("alice"), "read", &record("record-1"));
    assert!(!decided(&gate, &read).await, "the dev policy declares no types");
    let request =
        v1::CreatePolicyRequest { document: DOCUMENT.to_owned(), cedar: CEDAR.to_owned(), ..Default::default() };
    let candidate = world.rita.policies().create_policy(request).await.unwrap().into_inner().policy.unwrap().version;
    let request = v1::StartRolloutRequest {
        candidate,
        baseline: "observe".to_owned(),
        percent: Some(0),
        reason: "to see".to_owned(),
        ..Default::default()
    };
    let rollout = world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap();
    let answer = post(&gate, EVALUATION, &read).await;
    assert_eq!((&answer["decision"], &answer["context"]["reason"]["code"]), (&json!(false), &json!("TYPE_UNKNOWN")));
    assert_eq!(
        (&answer["context"]["enforcement"], &answer["context"]["rollout_id"]),
        (&json!("ENFORCED"), &json!(rollout.rollout_id))
    );
    let request = v1::AdvanceRolloutRequest {
        rollout_id: rollout.rollout_id,
        percent: 100,
        reason: "on".to_owned(),
        force: true,
        ..Default::default()
    };
    world.rita.rollouts().advance_rollout(request).await.unwrap();
    assert!(decided(&gate, &read).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_switch_stops_who_is_no_run_too() {
    let (world, gate) = scenario().await;
    let read = asks(&user("alice"), "read", &record("record-1"));
    assert!(decided(&gate, &read).await);
    for (scope, id) in [(v1::KillSwitchScope::All, ""), (v1::KillSwitchScope::Tool, "record")] {
        let request = v1::EngageKillSwitchRequest {
            scope: scope.into(),
            id: id.to_owned(),
            reason: "drill".to_owned(),
            ..Default::default()
        };
        let engaged = world.rita.policies().engage_kill_switch(request).await.unwrap().into_inner();
        assert!(!decided(&gate, &read).await, "{scope:?}");
        let last = world.log().await.pop().unwrap();
        assert_eq!((last.text("reason"), last.text("enforcement")), ("KILL_SWITCH", "enforced"), "{scope:?}");
        assert!(last.index > engaged.log_index);
        let kill_switch_id = engaged.kill_switch.unwrap().kill_switch_id;
        let request = v1::ReleaseKillSwitchRequest { kill_switch_id, reason: "over".to_owned(), ..Default::default() };
        world.rita.policies().release_kill_switch(request).await.unwrap();
        assert!(decided(&gate, &read).await, "{scope:?}");
    }
}
