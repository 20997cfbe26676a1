//! What an approval is bound to beside the call's hash, and what it shows to who answers: context and arguments.

use countersign_client::v1;
use prost_types::{Struct, Value, value::Kind};
use serde_json::json;
use tonic::{Code, Response};

use crate::{
    approvals::{ALLOWS, ASKS, MISMATCH, approve, ask, events, get, said, wait, with, world, yes},
    support::{World, decide, fields, info, sha256},
};

fn value(json: &serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(*flag),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(value).collect() })
        }
        serde_json::Value::Object(_) => Kind::StructValue(context(json)),
    };
    Value { kind: Some(kind) }
}

fn context(json: &serde_json::Value) -> Struct {
    let fields = json.as_object().unwrap().iter().map(|(name, json)| (name.clone(), value(json)));
    Struct { fields: fields.collect() }
}

/// A refund with these attributes, and no hash.
fn refund(attributes: &serde_json::Value) -> v1::DecideRequest {
    v1::DecideRequest { context: Some(context(attributes)), ..decide("billing", "refund") }
}

/// A refund with these arguments, which a person is to see.
fn with_arguments(arguments: &str) -> v1::DecideRequest {
    v1::DecideRequest {
        request_hash: sha256(arguments),
        arguments: arguments.to_owned(),
        ..decide("billing", "refund")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_is_for_exactly_the_context_it_was_asked_for() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let asked = json!({"amount": 500, "to": {"name": "a", "tags": ["x", "y"]}, "urgent": true});
    let id = ask(&run, refund(&asked)).await.approval_id;
    // Lists are sets, and an object has no order: the same call, the same approval.
    let same = json!({"urgent": true, "to": {"tags": ["y", "x", "x"], "name": "a"}, "amount": 500.0});
    assert_eq!(ask(&run, refund(&same)).await.approval_id, id);
    let others = [
        json!({"amount": 99_999_999, "to": {"name": "a", "tags": ["x", "y"]}, "urgent": true}),
        json!({"amount": 500, "to": {"name": "b", "tags": ["x", "y"]}, "urgent": true}),
        json!({"amount": 500, "to": {"name": "a", "tags": ["x", "z"]}, "urgent": true}),
        json!({"amount": 500, "to": {"name": "a", "tags": ["x", "y"]}, "urgent": true, "more": 1}),
        json!({"amount": "500", "to": {"name": "a", "tags": ["x", "y"]}, "urgent": true}),
        json!({"amount": 500, "urgent": true}),
        json!({}),
    ];
    for other in &others {
        let asks = ask(&run, refund(other)).await;
        assert!(said(&asks) == ASKS && asks.approval_id != id, "another context waits for its own answer: {other}");
    }
    let shown = get(&world.oscar, &id).await.unwrap();
    assert_eq!(shown.context, r#"{"amount":500,"to":{"name":"a","tags":["x","y"]},"urgent":true}"#);
    assert_eq!(shown.arguments, "");
    approve(&world.oscar, yes(&id)).await.unwrap();
    for other in &others {
        assert_eq!(said(&with(&run, refund(other), &id).await), MISMATCH, "{other}");
    }
    assert_eq!(said(&with(&run, decide("billing", "refund"), &id).await), MISMATCH, "no context at all");
    assert_eq!(said(&with(&run, refund(&same), &id).await), ALLOWS);

    // An auditor's chain has it: who was asked, what they saw, and what they said.
    let subject = Some(v1::get_custody_chain_request::Subject::AgentInstanceId(run.id.clone()));
    let chain = world.oscar.custody().get_custody_chain(v1::GetCustodyChainRequest { subject }).await.unwrap();
    let seen = chain.into_inner().chain.unwrap().approvals.into_iter().find(|seen| seen.approval_id == id).unwrap();
    assert_eq!((seen.context.as_str(), seen.answered_by.as_str()), (shown.context.as_str(), "oscar"));

    // The leaf holds a salted commitment to it and nothing of it.
    let of_it = events(&world, &id).await;
    let requested = of_it.iter().find(|event| event.kind() == "approval_requested").unwrap();
    assert_eq!(requested.text("context_commitment").len(), 64);
    assert_ne!(requested.text("context_commitment"), hex::encode(sha256(&shown.context)), "it is salted");
    let none = ask(&run, v1::DecideRequest { request_hash: sha256("none"), ..decide("billing", "refund") }).await;
    let of_none = events(&world, &none.approval_id).await;
    assert!(of_none.iter().all(|event| event.text("context_commitment").is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_the_arguments_that_the_hash_is_of_and_nobody_else_does() {
    let secret = "DE89370400440532013000";
    let arguments = format!(r#"{{"amount":500,"iban":"{secret}","note":"{}"}}"#, "a\u{202e}b");
    let world = world().await;
    let run = world.run_of("alice").await;
    let call = with_arguments(&arguments);
    let id = ask(&run, call.clone()).await.approval_id;
    let hashed = v1::DecideRequest { arguments: String::new(), ..call.clone() };
    assert_eq!(ask(&run, hashed.clone()).await.approval_id, id, "the hash says which call it is");
    let shown = get(&world.oscar, &id).await.unwrap();
    assert_eq!(shown.arguments, format!(r#"{{"amount":500,"iban":"{secret}","note":"a\u202eb"}}"#));
    let listed =
        world.oscar.approvals().list_approvals(v1::ListApprovalsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.approvals[0].arguments, shown.arguments);
    assert_eq!(wait(&run.connection, &id, 1).await.unwrap().arguments, "", "who waits asked");
    let request = v1::ApproveRequest { request_id: "y".to_owned(), ..yes(&id) };
    for _ in 0..2 {
        assert_eq!(approve(&world.oscar, request.clone()).await.unwrap().arguments, shown.arguments);
    }
    assert_eq!(said(&with(&run, hashed, &id).await), ALLOWS);

    // Kept in one place, and nowhere else.
    let mut connection = world.database.connect().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
         WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut holds = Vec::new();
    for table in tables {
        let statement = format!(
            "SELECT count(*) FROM {table} t WHERE t::text LIKE '%{secret}%' OR t::text LIKE '%{}%'",
            hex::encode(secret.as_bytes())
        );
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(&mut connection).await.unwrap();
        if found > 0 {
            holds.push(table);
        }
    }
    assert_eq!(holds, ["approval"]);
    assert!(!world.server.log().contains(secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_must_be_canonical_and_hash_to_the_request_hash() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let bad = [
        v1::DecideRequest { request_hash: Vec::new(), ..with_arguments("{}") },
        v1::DecideRequest { request_hash: sha256("other"), ..with_arguments("{}") },
        with_arguments(r#"{"b":1,"a":2}"#),
        with_arguments(r#"{"a": 1}"#),
        with_arguments(r#"{"a":1,"a":1}"#),
        with_arguments(r#"{"a":9007199254740993}"#),
        with_arguments("no json"),
        with_arguments(&format!("\"{}\"", "x".repeat(8 << 10))),
    ];
    for call in bad {
        let status = run.connection.decisions().decide(call.clone()).await.map(Response::into_inner).unwrap_err();
        assert_eq!((status.code(), info(&status).reason.as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(fields(&status), ["arguments"], "{call:?}");
    }
    let good = with_arguments(r#"{"amount":500}"#);
    assert_eq!(run.connection.decisions().decide(good).await.unwrap().into_inner().effect(), v1::Effect::Allow);
}
