//! Revocation: what an entry ends, what it leaves alone, and what it writes.

use countersign_client::{Connection, v1};
use tonic::{Code, Response};
use v1::{DecisionReason, revoke_credentials_request::Scope};

use crate::support::{Event, Run, World, fields, issue, log, refused, tables};

fn one(credential_id: &str) -> v1::RevokeCredentialRequest {
    let (credential_id, reason) = (credential_id.to_owned(), "seen in a chat log".to_owned());
    v1::RevokeCredentialRequest { credential_id, reason, ..Default::default() }
}

fn many(scope: Scope) -> v1::RevokeCredentialsRequest {
    v1::RevokeCredentialsRequest {
        scope: Some(scope),
        reason: "the vendor was broken into".to_owned(),
        ..Default::default()
    }
}

async fn revoke_one(caller: &Connection, run: &Run) -> v1::RevokeCredentialResponse {
    caller.credentials().revoke_credential(one(&credential_id(run).await)).await.unwrap().into_inner()
}

async fn credential_id(run: &Run) -> String {
    let request = v1::IntrospectCredentialRequest::default();
    run.connection.credentials().introspect_credential(request).await.unwrap().into_inner().credential_id
}

/// Why the run may not call billing; unspecified: it may.
async fn why_not(run: &Run) -> DecisionReason {
    let answer = run.decide("billing", "refund").await.unwrap();
    match answer.effect() {
        v1::Effect::Allow => DecisionReason::Unspecified,
        _ => answer.reason.unwrap().code(),
    }
}

fn only(log: Vec<Event>, kind: &str) -> Event {
    let mut found: Vec<_> = log.into_iter().filter(|event| event.kind() == kind).collect();
    assert_eq!(found.len(), 1, "events of kind {kind}");
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_dies_by_its_id_and_where_asked_alone() {
    let world = World::start().await;
    let parent = world.run_of("alice").await;
    let (child, other) = (parent.child().await, world.run_of("alice").await);
    let credential_id = credential_id(&parent).await;
    let request =
        v1::RevokeCredentialRequest { request_id: "r-1".to_owned(), spare_delegated: true, ..one(&credential_id) };
    let done = world.rita.credentials().revoke_credential(request.clone()).await.unwrap().into_inner();
    let again = world.rita.credentials().revoke_credential(request).await.unwrap().into_inner();
    assert_eq!((done.seq, again), (1, done));

    assert_eq!(why_not(&parent).await, DecisionReason::CredentialRevoked);
    assert_eq!(why_not(&child).await, DecisionReason::Unspecified, "it was to be spared");
    assert_eq!(why_not(&other).await, DecisionReason::Unspecified);

    let event = only(world.log().await, "revocation");
    assert_eq!((event.index, event.text("operator_id")), (done.log_index, "rita"));
    assert_eq!((event.text("revocation_seq"), event.leaf["subject"]["id"].as_str()), ("1", Some(&*credential_id)));
    assert!(event.leaf["authority_epoch"].is_string() && event.leaf["reason_commitment"].is_string());

    // Nobody keeps a list of credentials: an id that none has is taken as it is.
    let unknown = one("cred_01890a5d-ac96-774b-bcce-b302099a8057");
    assert_eq!(world.rita.credentials().revoke_credential(unknown).await.unwrap().into_inner().seq, 2);
    let malformed = v1::RevokeCredentialRequest { reason: String::new(), ..one("cred_1") };
    let status = world.rita.credentials().revoke_credential(malformed).await.unwrap_err();
    assert_eq!(
        (status.code(), fields(&status)),
        (Code::InvalidArgument, vec!["credential_id".into(), "reason".into()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_credential_that_names_a_tool_dies_and_what_is_issued_later_lives() {
    let world = World::start().await;
    let (first, searching) = (world.run_of("alice").await, world.run_with(issue("alice"), &["search"]).await);
    let done = world.oscar.credentials().revoke_credentials(many(Scope::ToolId("billing".to_owned()))).await;
    let done = done.unwrap().into_inner();
    assert_eq!(why_not(&first).await, DecisionReason::CredentialRevoked);
    let answer = searching.decide("search", "query").await.unwrap();
    assert_eq!(answer.effect(), v1::Effect::Allow, "{answer:?}");
    let later = world.run_of("alice").await;
    assert_eq!(why_not(&later).await, DecisionReason::Unspecified);
    let event = only(world.log().await, "revocation");
    assert_eq!((event.index, event.leaf["subject"]["type"].as_str()), (done.log_index, Some("tool")));

    let done = world.oscar.credentials().revoke_credentials(many(Scope::All(true))).await.unwrap().into_inner();
    assert_eq!(done.seq, 2);
    for run in [&later, &searching] {
        let answer = run.decide("search", "query").await.unwrap();
        assert_eq!(answer.reason.unwrap().code(), DecisionReason::CredentialRevoked);
    }
    assert_eq!(why_not(&world.run_of("alice").await).await, DecisionReason::Unspecified);

    let answer = world.rita.credentials().revoke_credentials(many(Scope::All(true))).await.map(Response::into_inner);
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    let unsaid = v1::RevokeCredentialsRequest { scope: Some(Scope::All(false)), ..Default::default() };
    let status = world.oscar.credentials().revoke_credentials(unsaid).await.unwrap_err();
    assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["all".into(), "reason".into()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_entry_and_one_event_end_a_tree_of_any_size() {
    let world = World::start().await;
    let mut tree = vec![world.run_of("alice").await];
    for _ in 0..3 {
        let child = tree[0].child().await;
        tree.extend([child.child().await, child.child().await, child]);
    }
    let (before, length) = (tables(&world.database).await, world.log_size().await);
    let request =
        v1::RevokeSponsorRequest { sponsor_id: "alice".to_owned(), reason: "left".to_owned(), ..Default::default() };
    let done = world.oscar.sponsors().revoke_sponsor(request).await.unwrap().into_inner();
    assert_eq!(done.revoked_instance_count, 10);

    // In the transaction: the sponsor's row, the head's, one entry, one event, and no row of any instance.
    let after = tables(&world.database).await;
    let changed: Vec<_> = after.iter().filter(|row| !before.contains(row)).collect();
    let of = |table: &str| changed.iter().filter(|row| row.starts_with(&format!("{table}("))).count();
    assert_eq!((of("sponsor"), of("log_head"), of("revocation")), (1, 1, 1), "{changed:#?}");
    let written = &log(&world.database).await[usize::try_from(length).unwrap()..];
    let kinds: Vec<_> = written.iter().map(Event::kind).filter(|kind| *kind != "instance_revoked").collect();
    assert_eq!(kinds, ["sponsor_revoked"]);
    for run in &tree {
        assert_eq!(why_not(run).await, DecisionReason::SponsorNotActive);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_on_one_server_is_a_refusal_on_the_other_from_its_index_on() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let run = world.run_of("alice").await;
    let there = run.on(&elsewhere);
    assert_eq!(why_not(&there).await, DecisionReason::Unspecified);
    let done = revoke_one(&world.rita, &run).await;
    let answer = there.decide("billing", "refund").await.unwrap();
    assert_eq!(answer.reason.unwrap().code(), DecisionReason::CredentialRevoked);
    assert!(answer.log_index > done.log_index);
}
