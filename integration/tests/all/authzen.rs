//! AuthZEN over the wire, request by request, about runs of agents and their tools.

use std::time::Duration;

use countersign_client::v1;
use countersign_integration::{Answer, Http};
use serde_json::{Value, json};

use crate::support::{Run, World, document, issue};

pub(crate) const EVALUATION: &str = "/access/v1/evaluation";
pub(crate) const EVALUATIONS: &str = "/access/v1/evaluations";
pub(crate) const SEARCH: &str = "/access/v1/search/action";

/// As the gate rita.
pub(crate) fn gate(world: &World) -> Http {
    world.server.http(Some(&world.server.operator_key("rita").unwrap()))
}

pub(crate) fn by_id(id: &str) -> Value {
    json!({"type": "instance", "id": id})
}

pub(crate) fn by_token(token: &str) -> Value {
    json!({"type": "credential", "id": token})
}

pub(crate) fn asks(subject: &Value, tool: &str, action: &str) -> Value {
    json!({"subject": subject, "action": {"name": action}, "resource": {"type": "tool", "id": tool}})
}

pub(crate) async fn post(http: &Http, path: &str, request: &Value) -> Value {
    let answer = http.post(path, request.to_string()).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200, "{request}: {}", answer.text());
    assert_eq!(
        (&answer.headers["content-type"], &answer.headers["cache-control"]),
        (&"application/json".parse().unwrap(), &"no-store".parse().unwrap())
    );
    answer.json()
}

/// The decision and why, of one evaluation's answer.
pub(crate) fn said(answer: &Value) -> (bool, &str) {
    (answer["decision"].as_bool().unwrap(), answer["context"]["reason"]["code"].as_str().unwrap_or_default())
}

async fn recorded(world: &World, answer: &Value) -> v1::Decision {
    let id = answer["context"]["policy_decision_id"].as_str().unwrap().to_owned();
    let request = v1::GetDecisionRequest { policy_decision_id: id };
    world.rita.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap()
}

#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, why: &str) {
    let text = answer.text();
    assert_eq!(answer.status.as_u16(), status, "{text}");
    assert!(text.contains(why), "{text}");
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert!(answer.json().is_null(), "an error is a sentence, and no decision: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_answered_for_alike_by_its_credential_and_by_its_id_and_both_are_on_record() {
    let world = World::start().await;
    let gate = gate(&world);
    let run = world.run_of("alice").await;
    for (subject, credential) in [(by_token(&run.token), true), (by_id(&run.id), false)] {
        for (tool, action, expected) in [
            ("billing", "refund", (true, "ALLOWED_BY_RULE")),
            ("billing", "erase", (false, "NO_MATCHING_RULE")),
            ("file-store", "read", (false, "TOOL_NOT_GRANTED")),
        ] {
            let answer = post(&gate, EVALUATION, &asks(&subject, tool, action)).await;
            assert_eq!(said(&answer), expected, "{answer}");
            let decision = recorded(&world, &answer).await;
            assert_eq!((decision.effect() == v1::Effect::Allow, decision.operator_id.as_str()), (expected.0, "rita"));
            assert_eq!((decision.tool_id.as_str(), decision.action.as_str()), (tool, action));
            assert_eq!((decision.agent_instance_id.as_str(), decision.sponsor_id.as_str()), (run.id.as_str(), "alice"));
            assert_eq!(decision.purpose, "triage ticket 4711");
            assert_eq!(!decision.credential_id.is_empty(), credential, "none was shown where the run was only named");
        }
    }
    // Both stand on the same grant, and the outcome of either is recorded as of any decision.
    let log = world.log().await;
    let decisions: Vec<_> = log.iter().filter(|event| event.kind() == "decision").collect();
    assert_eq!(decisions.len(), 6);
    assert!(decisions.iter().all(|event| event.leaf["custody_ref"] == decisions[0].leaf["custody_ref"]));
    let allowed = post(&gate, EVALUATION, &asks(&by_id(&run.id), "billing", "refund")).await;
    let request = v1::ExplainDecisionRequest {
        policy_decision_id: allowed["context"]["policy_decision_id"].as_str().unwrap().to_owned(),
        policy_version: world.policy(&document("charge")).await,
    };
    let explained = world.rita.decisions().explain_decision(request).await.unwrap().into_inner();
    assert_eq!(explained.effect(), v1::Effect::Deny, "another policy is asked about the same run: {explained:?}");
    let report = v1::RecordToolCallRequest {
        policy_decision_id: allowed["context"]["policy_decision_id"].as_str().unwrap().to_owned(),
        outcome: v1::ToolCallOutcome::Success.into(),
        ..Default::default()
    };
    world.rita.custody().record_tool_call(report).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_context_of_an_answer_says_what_an_enforcement_point_needs() {
    let world = World::start().await;
    let gate = gate(&world);
    let run = world.run_of("alice").await;
    let mut asked = asks(&by_id(&run.id), "billing", "charge");
    asked["action"]["properties"] = json!({"amount_cents": 400});
    asked["subject"]["properties"] = json!({"purpose": "triage ticket 4711: one invoice"});
    asked["resource"]["properties"] = json!({"request_hash": "ab".repeat(32), "want_receipt": true});
    let answer = post(&gate, EVALUATION, &asked).await;
    let context = &answer["context"];
    assert_eq!((&context["effect"], &context["enforcement"]), (&json!("ALLOW"), &json!("ENFORCED")));
    assert_eq!((&context["rule_ids"], &context["policy_version"]), (&json!(["allow-support-billing"]), &json!("pv_1")));
    assert!(context["log_index"].as_i64().unwrap() > 0 && context["cache_ttl_seconds"].is_u64());
    assert_eq!(context["receipt"].as_str().unwrap().split('.').count(), 3);
    assert!(context["reason_user"].is_null());
    let decision = recorded(&world, &answer).await;
    assert_eq!((decision.request_hash, decision.purpose.as_str()), (vec![0xab; 32], "triage ticket 4711: one invoice"));

    for (amount, place) in [(50_001, "action"), (50_001, "context")] {
        let mut asked = asks(&by_id(&run.id), "billing", "charge");
        match place {
            "action" => asked["action"]["properties"] = json!({"amount_cents": amount}),
            _ => asked["context"] = json!({"amount_cents": amount, "time": "2025-06-27T18:03-07:00"}),
        }
        let answer = post(&gate, EVALUATION, &asked).await;
        assert_eq!(said(&answer), (false, "DENIED_BY_RULE"), "{answer}");
        let context = &answer["context"];
        assert_eq!(context["rule_ids"], json!(["no-large-charges"]));
        assert!(context["reason_user"]["403"].as_str().unwrap().contains("policy-admin"), "{context}");
        assert!(context["reason_admin"]["403"].as_str().unwrap().starts_with("DENIED_BY_RULE: "), "{context}");
        assert!(context["receipt"].is_null() && context["cache_ttl_seconds"].is_null());
    }
    let mut widened = asks(&by_id(&run.id), "billing", "charge");
    widened["subject"]["properties"] = json!({"purpose": "something else"});
    assert_eq!(said(&post(&gate, EVALUATION, &widened).await), (false, "PURPOSE_WIDENED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_named_has_what_its_newest_credential_has_and_no_more() {
    let world = World::start().await;
    let gate = gate(&world);
    let first = world.run_of("alice").await;
    let again = v1::IssueCredentialRequest { agent_instance_id: first.id.clone(), ..issue("alice") };
    let narrower = world.run_with(again, &["search"]).await;
    assert_eq!(narrower.id, first.id);
    let ask = async |id: &str, tool: &str, action: &str| post(&gate, EVALUATION, &asks(&by_id(id), tool, action)).await;
    assert_eq!(said(&ask(&first.id, "billing", "refund").await), (false, "TOOL_NOT_GRANTED"));
    assert_eq!(said(&ask(&first.id, "search", "query").await), (true, "ALLOWED_BY_RULE"));

    let child = first.child().await;
    let decision = recorded(&world, &ask(&child.id, "billing", "refund").await).await;
    assert_eq!(
        (decision.parent_agent_id.as_str(), decision.root_instance_id.as_str()),
        (first.id.as_str(), first.id.as_str())
    );

    // A single-use credential is used up by whichever question comes first.
    let single = v1::IssueCredentialRequest { single_use: true, ..issue("alice") };
    let (one, other) = (world.run_with(single.clone(), &["billing"]).await, world.run_with(single, &["billing"]).await);
    assert_eq!(said(&ask(&one.id, "billing", "refund").await), (true, "ALLOWED_BY_RULE"));
    assert_eq!(said(&ask(&one.id, "billing", "refund").await), (false, "CREDENTIAL_ALREADY_USED"));
    let by_token = post(&gate, EVALUATION, &asks(&by_token(&one.token), "billing", "refund")).await;
    assert_eq!(said(&by_token), (false, "CREDENTIAL_ALREADY_USED"));
    assert_eq!(other.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    assert_eq!(said(&ask(&other.id, "billing", "refund").await), (false, "CREDENTIAL_ALREADY_USED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_dead_is_allowed_by_its_name() {
    let world = World::start().await;
    let gate = gate(&world);
    let ask = async |run: &Run| {
        let by_name = post(&gate, EVALUATION, &asks(&by_id(&run.id), "billing", "refund")).await;
        let by_token = post(&gate, EVALUATION, &asks(&by_token(&run.token), "billing", "refund")).await;
        assert_eq!(said(&by_name), said(&by_token));
        said(&by_name).1.to_owned()
    };
    let (revoked, ended, parent) =
        (world.run_of("alice").await, world.run_of("alice").await, world.run_of("alice").await);
    let child = parent.child().await;
    for run in [&revoked, &ended, &parent, &child] {
        assert_eq!(ask(run).await, "ALLOWED_BY_RULE");
    }
    let shown = post(&gate, EVALUATION, &asks(&by_token(&revoked.token), "billing", "refund")).await;
    let credential_id = recorded(&world, &shown).await.credential_id;
    let request = v1::RevokeCredentialRequest { credential_id, reason: "lost".to_owned(), ..Default::default() };
    revoked.connection.credentials().revoke_credential(request).await.unwrap();
    assert_eq!(ask(&revoked).await, "CREDENTIAL_REVOKED");
    let request = v1::EndInstanceRequest { agent_instance_id: ended.id.clone(), ..Default::default() };
    world.rita.instances().end_instance(request).await.unwrap();
    assert_eq!(ask(&ended).await, "INSTANCE_NOT_LIVE");
    let request = v1::EndInstanceRequest { agent_instance_id: parent.id.clone(), ..Default::default() };
    world.rita.instances().end_instance(request).await.unwrap();
    assert_eq!(ask(&child).await, "INSTANCE_NOT_LIVE");

    world.sponsor("bob").await;
    let run = world.run_of("bob").await;
    assert_eq!(ask(&run).await, "ALLOWED_BY_RULE");
    let request =
        v1::SuspendSponsorRequest { sponsor_id: "bob".to_owned(), reason: "away".to_owned(), ..Default::default() };
    world.oscar.sponsors().suspend_sponsor(request).await.unwrap();
    assert_eq!(ask(&run).await, "SPONSOR_NOT_ACTIVE");
    // A run that nobody knows.
    let unknown = asks(&by_id("inst_01890a5d-ac96-774b-bcce-b302099a8057"), "billing", "refund");
    let answer = post(&gate, EVALUATION, &unknown).await;
    assert_eq!(said(&answer), (false, "INSTANCE_NOT_LIVE"));
    assert_eq!(recorded(&world, &answer).await.agent_instance_id, "", "on record, and nobody's");
    for token in ["garbage", "a.b.c"] {
        assert!(!said(&post(&gate, EVALUATION, &asks(&by_token(token), "billing", "refund")).await).0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_run_is_not_allowed_by_its_name() {
    let world = World::start().await;
    let gate = gate(&world);
    let short = v1::IssueCredentialRequest { ttl: Some(crate::support::seconds(1)), ..issue("alice") };
    let id = world.rita.credentials().issue_credential(short).await.unwrap().into_inner().agent_instance_id;
    // And the leeway that every verifier allows.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(
        said(&post(&gate, EVALUATION, &asks(&by_id(&id), "billing", "refund")).await),
        (false, "CREDENTIAL_EXPIRED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_evaluations_are_answered_by_the_semantic_that_is_asked_for() {
    let world = World::start().await;
    let gate = gate(&world);
    let run = world.run_of("alice").await;
    let (yes, no) = (json!({"action": {"name": "refund"}}), json!({"action": {"name": "erase"}}));
    for (semantic, items, expected) in [
        (None, vec![&yes, &no, &yes], &[true, false, true][..]),
        (Some("execute_all"), vec![&no, &no, &yes], &[false, false, true]),
        (Some("deny_on_first_deny"), vec![&yes, &no, &yes], &[true, false]),
        (Some("deny_on_first_deny"), vec![&yes, &yes], &[true, true]),
        (Some("deny_on_first_deny"), vec![&no, &yes], &[false]),
        (Some("permit_on_first_permit"), vec![&yes, &no], &[true]),
        (Some("permit_on_first_permit"), vec![&no, &no, &yes, &yes], &[false, false, true]),
        (Some("permit_on_first_permit"), vec![&no, &no], &[false, false]),
    ] {
        let before = world.log_size().await;
        let mut request = asks(&by_id(&run.id), "billing", "nothing");
        request["evaluations"] = json!(items);
        if let Some(semantic) = semantic {
            request["options"] = json!({"evaluations_semantic": semantic});
        }
        let answer = post(&gate, EVALUATIONS, &request).await;
        assert!(answer["decision"].is_null());
        let decisions: Vec<_> = answer["evaluations"].as_array().unwrap().iter().map(|one| said(one).0).collect();
        assert_eq!(decisions, expected, "{semantic:?}");
        assert_eq!(
            world.log_size().await - before,
            i64::try_from(expected.len()).unwrap(),
            "only what was evaluated is on record"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluations_take_defaults_whole_and_one_that_cannot_be_read_denies_itself_only() {
    let world = World::start().await;
    let gate = gate(&world);
    let run = world.run_of("alice").await;
    let child = run.child().await;
    let mut request = asks(&by_id(&run.id), "billing", "charge");
    request["context"] = json!({"amount_cents": 60_000});
    request["evaluations"] = json!([
        {},
        {"context": {"amount_cents": 1}},
        {"action": {"name": "refund"}},
        {"resource": {"type": "tool", "id": "search"}, "action": {"name": "query"}},
        {"resource": {"id": "search"}},
        {"subject": by_id(&child.id), "context": {"amount_cents": 2}},
        {"subject": by_token("garbage")},
        "charge",
    ]);
    let before = world.log_size().await;
    let answer = post(&gate, EVALUATIONS, &request).await;
    let answers = answer["evaluations"].as_array().unwrap();
    let decisions: Vec<_> = answers.iter().map(|one| said(one).0).collect();
    assert_eq!(decisions, [false, true, true, true, false, true, false, false]);
    for nth in [4, 7] {
        let error = &answers[nth]["context"]["error"];
        assert_eq!(error["status"], 400, "{error}");
        assert!(
            error["message"].as_str().unwrap().contains(if nth == 4 { "resource.type" } else { "an object" }),
            "{error}"
        );
    }
    assert_eq!(world.log_size().await - before, 6, "what cannot be read asks nothing");
    let log = world.log().await;
    let indices: Vec<_> = answers.iter().filter_map(|one| one["context"]["log_index"].as_i64()).collect();
    assert!(
        indices.is_sorted() && indices.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "in one transaction: {indices:?}"
    );
    assert!(log.iter().filter(|event| indices.contains(&event.index)).all(|event| event.text("operator_id") == "rita"));

    request["evaluations"] = json!([{"resource": {}}, 1]);
    let answer = post(&gate, EVALUATIONS, &request).await;
    assert!(answer["evaluations"].as_array().unwrap().iter().all(|one| !said(one).0), "{answer}");
    for none in [json!([]), Value::Null] {
        request["evaluations"] = none;
        assert_eq!(said(&post(&gate, EVALUATIONS, &request).await), (false, "DENIED_BY_RULE"));
    }
    request["evaluations"] = json!(vec![json!({"action": {"name": "refund"}}); 100]);
    let answer = post(&gate, EVALUATIONS, &request).await;
    assert!(answer["evaluations"].as_array().unwrap().iter().all(|one| said(one).0));
    request["evaluations"] = json!(vec![json!({}); 101]);
    refused(&gate.post(EVALUATIONS, request.to_string()).await.unwrap(), 400, "1 to 100 items, are 101");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_baseline_lets_through_is_permitted_and_said_to_be_a_shadow() {
    let world = World::start().await;
    let gate = gate(&world);
    let run = world.run_of("alice").await;
    let candidate = world.policy(&document("charge")).await;
    let request = v1::StartRolloutRequest {
        candidate,
        baseline: "observe".to_owned(),
        percent: Some(0),
        reason: "to see what it would say".to_owned(),
        ..Default::default()
    };
    world.rita.rollouts().start_rollout(request).await.unwrap();
    let answer = post(&gate, EVALUATION, &asks(&by_id(&run.id), "billing", "refund")).await;
    assert_eq!(said(&answer), (true, "OBSERVED"), "{answer}");
    assert_eq!(answer["context"]["enforcement"], "SHADOW");
    assert!(answer["context"]["rollout_id"].as_str().unwrap().starts_with("roll_"));
    assert_eq!(recorded(&world, &answer).await.shadow_effect(), v1::Effect::Deny);
}
