//! Orphans: what a departed sponsor leaves behind, and who may take it over.

use std::time::Duration;

use countersign_client::v1;
use tonic::Code;
use v1::InstanceState as State;

use crate::{
    instances::{accept, ask_accept, ask_revoke, denied, depart, entries, events, get, revoke, set, state},
    support::{Run, World, approve, fields, issue, refused, register},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_goes_on_under_the_sponsor_who_accepts_it() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let root = world.run_of("bob").await;
    let child = root.child().await;
    let grandchild = child.child().await;
    assert_eq!(depart(&world.rita, "bob").await.orphaned_instance_count, 3);
    assert_eq!(entries(&world).await, 1);
    for run in [&root, &child, &grandchild] {
        assert_eq!(denied(run).await, v1::DecisionReason::SponsorNotActive);
        assert_eq!(state(&world, &run.id).await, State::Orphaned);
    }
    let orphaned = events(&world, "instance_orphaned", 3).await;
    assert_eq!(orphaned[&grandchild.id].text("sponsor_id"), "bob");

    let answer = ask_accept(&world.oscar, accept(&child.id, "alice")).await;
    assert!(answer.as_ref().unwrap_err().message().contains(&root.id), "says which root to accept");
    refused(answer, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    world.rita.sponsors().register_sponsor(register("carol")).await.unwrap();
    for sponsor in ["carol", "bob"] {
        let answer = ask_accept(&world.oscar, accept(&root.id, sponsor)).await;
        refused(answer, Code::FailedPrecondition, "SPONSOR_NOT_ACTIVE");
    }
    refused(ask_accept(&world.oscar, accept(&root.id, "nobody")).await, Code::NotFound, "NOT_FOUND");
    let narrow = v1::RegisterSponsorRequest { roles: vec!["user".to_owned()], ..register("nina") };
    world.rita.sponsors().register_sponsor(narrow).await.unwrap();
    world.oscar.sponsors().approve_sponsor(approve("nina")).await.unwrap();
    let status = ask_accept(&world.oscar, accept(&root.id, "nina")).await.unwrap_err();
    assert_eq!(fields(&status), ["role"]);
    refused::<()>(Err(status), Code::InvalidArgument, "GRANT_TOO_WIDE");

    let request = v1::AcceptInstanceRequest {
        etag: get(&world, &root.id).await.etag,
        request_id: "a-1".to_owned(),
        ..accept(&root.id, "alice")
    };
    let accepted = ask_accept(&world.oscar, request.clone()).await.unwrap();
    assert_eq!((accepted.state(), accepted.sponsor_id.as_str()), (State::Live, "alice"));
    assert_eq!(ask_accept(&world.oscar, request).await.unwrap(), accepted);
    assert_eq!(denied(&root).await, v1::DecisionReason::SponsorNotActive, "its old credential stays dead");
    let renewal = v1::IssueCredentialRequest { agent_instance_id: root.id.clone(), ..issue("alice") };
    let renewed = world.rita.credentials().issue_credential(renewal).await.unwrap().into_inner();
    assert_eq!(renewed.agent_instance_id, root.id);
    let again = Run { connection: world.rita.with_token(&renewed.token).unwrap(), token: renewed.token, ..root };
    assert_eq!(again.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    let anew = again.child().await;
    assert_eq!(anew.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    assert_eq!(state(&world, &child.id).await, State::Orphaned);
    assert_eq!(denied(&child).await, v1::DecisionReason::SponsorNotActive);

    let event = &events(&world, "instance_accepted", 1).await[&again.id];
    assert_eq!((event.text("operator_id"), event.text("sponsor_id")), ("oscar", "alice"));
    let changes = serde_json::json!([{ "before": "bob", "after": "alice", "field": "sponsor_id" }]);
    assert_eq!(event.leaf["changes"], changes);
    // The chain shows both who answered and who does.
    let subject = v1::get_custody_chain_request::Subject::AgentInstanceId(again.id.clone());
    let request = v1::GetCustodyChainRequest { subject: Some(subject) };
    let chain = world.rita.custody().get_custody_chain(request).await.unwrap().into_inner().chain.unwrap();
    assert_eq!(chain.sponsor.unwrap().sponsor_id, "alice");
    let approved: Vec<_> = chain.events.iter().filter(|event| event.kind() == v1::EventKind::SponsorApproved).collect();
    assert_eq!(approved.iter().map(|event| event.sponsor_id.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_accepted_by_somebody_who_has_no_part_in_it() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let dev = world.server.connect(None).await.unwrap();
    for id in ["oscar", "dev"] {
        world.rita.sponsors().register_sponsor(register(id)).await.unwrap();
    }
    dev.sponsors().approve_sponsor(approve("oscar")).await.unwrap();
    world.oscar.sponsors().approve_sponsor(approve("dev")).await.unwrap();
    let (of_bob, of_dev) = (world.run_of("bob").await, world.run_of("dev").await);
    depart(&world.oscar, "bob").await;
    depart(&world.rita, "dev").await;
    refused(ask_accept(&world.rita, accept(&of_bob.id, "alice")).await, Code::PermissionDenied, "ROLE_REQUIRED");
    for (by, run, to, part) in [
        (&world.oscar, &of_bob, "alice", "recorded the departure"),
        (&world.oscar, &of_dev, "oscar", "would take over"),
        (&dev, &of_dev, "alice", "who departed"),
    ] {
        let answer = ask_accept(by, accept(&run.id, to)).await;
        assert!(answer.as_ref().unwrap_err().message().contains(part), "{answer:?}");
        refused(answer, Code::FailedPrecondition, "FOUR_EYES");
    }
    assert_eq!(ask_accept(&dev, accept(&of_bob.id, "alice")).await.unwrap().state(), State::Live);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_accepts_in_14_days_is_revoked() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let (root, other) = (world.run_of("bob").await, world.run_of("bob").await);
    let child = root.child().await;
    depart(&world.rita, "bob").await;
    events(&world, "instance_orphaned", 3).await;
    ask_accept(&world.oscar, accept(&other.id, "alice")).await.unwrap();
    let mut connection = world.database.connect().await.unwrap();
    let left: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM orphans_due_at - depart_time)::float8 FROM sponsor WHERE sponsor_id = 'bob'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!((left - 14.0 * 86_400.0).abs() < 1.0);

    set(&world, "UPDATE sponsor SET orphans_due_at = now() - interval '1 second' WHERE sponsor_id = 'bob'").await;
    let revoked = events(&world, "instance_revoked", 2).await;
    for run in [&root, &child] {
        assert_eq!(revoked[&run.id].text("state_before"), "ORPHANED");
        assert_eq!(state(&world, &run.id).await, State::Revoked);
    }
    assert_eq!(state(&world, &other.id).await, State::Live);
    let log = world.log().await;
    let entry = log.iter().rfind(|event| event.kind() == "revocation").unwrap();
    assert_eq!((entry.text("reason"), entry.text("sponsor_id")), ("ORPHANS_NOT_ACCEPTED", "bob"));
    assert_eq!(entry.text("operator_id"), "");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(entries(&world).await, 2, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_departed_sponsor_who_is_revoked_takes_the_orphans_along() {
    let world = World::start().await;
    world.sponsor("bob").await;
    let (root, other) = (world.run_of("bob").await, world.run_of("bob").await);
    depart(&world.rita, "bob").await;
    let done = ask_revoke(&world.rita, revoke(&other.id)).await.unwrap();
    assert_eq!(done.instance.unwrap().state(), State::Revoked);
    let request = v1::RevokeSponsorRequest {
        sponsor_id: "bob".to_owned(),
        reason: "was a thief".to_owned(),
        ..Default::default()
    };
    world.oscar.sponsors().revoke_sponsor(request).await.unwrap();
    assert_eq!(state(&world, &root.id).await, State::Revoked);
    // Each lost its sponsor first, and was stopped then, whatever the background had come to.
    events(&world, "instance_orphaned", 2).await;
    events(&world, "instance_revoked", 2).await;
    refused(ask_accept(&world.oscar, accept(&root.id, "alice")).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
}
