//! How long an ALLOW may be served again, and what is recorded of a call that was.

use countersign_client::v1;
use tonic::{Code, Response};

use crate::support::{Run, World, decide, document, issue, refused, seconds, sha256};

async fn ttl(run: &Run, request: v1::DecideRequest) -> i64 {
    run.connection.decisions().decide(request).await.unwrap().into_inner().cache_ttl.unwrap().seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allow_is_cacheable_for_30_s_or_as_long_as_its_credential_lives_and_nothing_else_is() {
    let world = World::start().await;
    let text = document("charge, refund") + "tools:\n  - {id: billing}\n  - {id: search, cacheable: false}\n";
    let text =
        text.replace("rules:\n", "rules:\n  - {id: look, role: support, tool: search, allowed_actions: [query]}\n");
    let version = world.policy(&text).await;
    let request = v1::ActivatePolicyRequest { version, reason: "go".to_owned(), ..Default::default() };
    world.rita.policies().activate_policy(request).await.unwrap();

    let run = world.run_of("alice").await;
    assert_eq!(ttl(&run, decide("billing", "refund")).await, 30);
    assert_eq!(ttl(&run, decide("search", "query")).await, 0, "the tool says so");
    assert_eq!(ttl(&run, decide("billing", "erase")).await, 0, "a refusal");
    let short = v1::IssueCredentialRequest { ttl: Some(seconds(10)), ..issue("alice") };
    let left = ttl(&world.run_with(short, &["billing"]).await, decide("billing", "refund")).await;
    assert!((1..=10).contains(&left), "{left}");
    let once = v1::IssueCredentialRequest { single_use: true, ..issue("alice") };
    assert_eq!(ttl(&world.run_with(once, &["billing"]).await, decide("billing", "refund")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_served_from_a_cache_is_recorded_with_the_allow_that_it_stood_on() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let call = v1::DecideRequest { request_hash: sha256("ticket 4711"), ..decide("billing", "refund") };
    let allow = run.connection.decisions().decide(call.clone()).await.unwrap().into_inner();
    assert_eq!(allow.effect(), v1::Effect::Allow);
    let report = v1::DecideRequest { cached_from: allow.policy_decision_id.clone(), ..call.clone() };
    let reported = run.connection.decisions().decide(report.clone()).await.unwrap().into_inner();
    assert_ne!(reported.policy_decision_id, allow.policy_decision_id);
    let event = world.log().await.into_iter().find(|event| event.index == reported.log_index).unwrap();
    assert_eq!(event.text("cached_from"), allow.policy_decision_id);

    // Many at once, as a client does that reports now and then.
    let batch = v1::BatchDecideRequest { requests: vec![report.clone(), call.clone()], ..Default::default() };
    let answers = run.connection.decisions().batch_decide(batch).await.unwrap().into_inner().responses;
    assert!(answers.iter().all(|answer| answer.effect() == v1::Effect::Allow));

    // What cannot have been its ground is not stated as one.
    let size = world.log_size().await;
    let refusal = run.connection.decisions().decide(decide("billing", "erase")).await.unwrap().into_inner();
    let other = world.run_of("alice").await;
    let others = other.connection.decisions().decide(call.clone()).await.unwrap().into_inner();
    let unknown = "dec_01890a5d-ac96-774b-bcce-b302099a8057".to_owned();
    let wrong = [
        v1::DecideRequest { cached_from: unknown, ..call.clone() },
        v1::DecideRequest { cached_from: others.policy_decision_id, ..call.clone() },
        v1::DecideRequest { cached_from: refusal.policy_decision_id, ..decide("billing", "erase") },
        v1::DecideRequest { action: "charge".to_owned(), ..report.clone() },
        v1::DecideRequest { request_hash: sha256("ticket 4712"), ..report.clone() },
        v1::DecideRequest { request_hash: Vec::new(), ..report },
    ];
    for request in wrong {
        let answer = run.connection.decisions().decide(request.clone()).await.map(Response::into_inner);
        let fields = crate::support::fields(answer.as_ref().unwrap_err());
        assert_eq!(fields, ["cached_from"], "{request:?}");
        refused(answer, Code::InvalidArgument, "INVALID_REQUEST");
    }
    assert_eq!(world.log_size().await, size + 3, "the refusal, the other run and its ALLOW");
}
