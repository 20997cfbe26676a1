//! Who tries to change what they may not is on record, at whatever door, and cannot fill the record.

use countersign_client::v1;
use serde_json::json;
use tonic::{Code, Response};

use crate::{
    oauth::post,
    operators::{add, admin},
    support::{Event, World, approve, eventually, refused, register},
};

async fn recorded(world: &World) -> Vec<Event> {
    world.log().await.into_iter().filter(|event| event.kind() == "administration_refused").collect()
}

fn calls(event: &Event) -> u64 {
    event.leaf["figures"][0]["value"].as_str().unwrap().parse().unwrap()
}

fn about(event: &Event) -> (&str, &str, &str) {
    let subject = &event.leaf["subject"];
    assert_eq!(subject["type"], "method");
    (event.text("operator_id"), subject["id"].as_str().unwrap_or_default(), event.text("reason"))
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_administration_is_on_record_with_caller_method_and_reason() {
    let world = World::start().await;
    let (gate, key) = add(&world.server, &admin(&world.server).await, "gustav", &["gate", "approver"]).await;
    let create = v1::CreateOperatorRequest { operator_id: "mallory".to_owned(), ..Default::default() };
    for _ in 0..3 {
        let answer = gate.operators().create_operator(create.clone()).await.map(Response::into_inner);
        refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    }
    // What takes a second person; by JSON; by OAuth; by a run.
    world.rita.sponsors().register_sponsor(register("bob")).await.unwrap();
    let root = admin(&world.server).await;
    let (both, _) = add(&world.server, &root, "berta", &["registrar", "approver"]).await;
    both.sponsors().register_sponsor(register("carol")).await.unwrap();
    let own = both.sponsors().approve_sponsor(approve("carol")).await.map(Response::into_inner);
    refused(own, Code::FailedPrecondition, "FOUR_EYES");
    let rita = world.server.operator_key("rita").unwrap();
    let http = world.server.http(Some(&rita));
    let answer =
        http.call("OperatorService/RevokeApiKey", &json!({ "keyId": key.key_id, "reason": "x" })).await.unwrap();
    assert_eq!(answer.status.as_u16(), 403);
    let run = world.run_of("alice").await;
    let stop = v1::EngageKillSwitchRequest::default();
    let answer = run.connection.policies().engage_kill_switch(stop).await.map(Response::into_inner);
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    let oscar = world.server.operator_key("oscar").unwrap();
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", run.token.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    assert_eq!(post(&world.server, Some(&oscar), "token", &[], &form).await.status.as_u16(), 400);
    // No administration: a read, and a call.
    let read = v1::ListApiKeysRequest::default();
    refused(
        gate.operators().list_api_keys(read).await.map(Response::into_inner),
        Code::PermissionDenied,
        "ROLE_REQUIRED",
    );
    let answer = world.oscar.decisions().decide(v1::DecideRequest::default()).await.map(Response::into_inner);
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");

    let expected = [
        ("berta", "SponsorService/ApproveSponsor", "FOUR_EYES"),
        ("gustav", "OperatorService/CreateOperator", "ROLE_REQUIRED"),
        ("oscar", "CredentialService/DelegateCredential", "ROLE_REQUIRED"),
        ("rita", "OperatorService/RevokeApiKey", "ROLE_REQUIRED"),
    ];
    eventually("all of it is on record", async || recorded(&world).await.len() > expected.len()).await;
    let events = recorded(&world).await;
    let mut by_operators: Vec<_> =
        events.iter().filter(|event| event.leaf.get("operator_id").is_some()).map(about).collect();
    by_operators.sort_unstable();
    by_operators.dedup();
    assert_eq!(by_operators, expected);
    let of_run: Vec<_> = events.iter().filter(|event| event.text("root_instance_id") == run.id).collect();
    assert_eq!(of_run.len(), 1);
    assert_eq!((of_run[0].text("agent_instance_id"), of_run[0].text("sponsor_id")), (&*run.id, "alice"));
    assert_eq!(of_run[0].leaf["subject"]["id"], "PolicyService/EngageKillSwitch");
    let log = world.server.log();
    let line = log.lines().find(|line| line.contains("administration refused") && line.contains("gustav")).unwrap();
    for part in ["WARN", "OperatorService/CreateOperator", "ROLE_REQUIRED", "127.0.0.1"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    // An auditor finds them by their kind.
    let request = v1::ListEventsRequest { kind: v1::EventKind::AdministrationRefused.into(), ..Default::default() };
    let listed = world.rita.custody().list_events(request).await.unwrap().into_inner().events;
    assert_eq!(listed.len(), recorded(&world).await.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn repetitions_are_counted_and_the_last_ones_stated_when_the_server_stops() {
    let world = World::start().await;
    let gate = world.oscar.clone();
    let tries = 300;
    for _ in 0..tries {
        let request = v1::RotateSigningKeyRequest::default();
        refused(
            gate.signing_keys().rotate_signing_key(request).await.map(Response::into_inner),
            Code::PermissionDenied,
            "ROLE_REQUIRED",
        );
    }
    eventually("the first are on record", async || !recorded(&world).await.is_empty()).await;
    world.server.ask_to_stop().unwrap();
    eventually("the last are on record", async || recorded(&world).await.iter().map(calls).sum::<u64>() == tries).await;
    let events = recorded(&world).await;
    assert!(events.len() <= 2, "{} events", events.len());
    assert_eq!(events.iter().map(calls).sum::<u64>(), tries);
    assert_eq!(about(&events[0]), ("oscar", "KeyService/RotateSigningKey", "ROLE_REQUIRED"));
}
