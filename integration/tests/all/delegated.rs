//! What a credential started stops with it, and what it did not start goes on.

use countersign_client::{Connection, v1};
use countersign_integration::Answer;
use tonic::{Code, Response};
use v1::DecisionReason as Reason;

use crate::{
    oauth::post,
    support::{Event, Run, World, issue, refused},
};

async fn credential_id(run: &Run) -> String {
    let request = v1::IntrospectCredentialRequest::default();
    run.connection.credentials().introspect_credential(request).await.unwrap().into_inner().credential_id
}

/// Why the run may not call billing; unspecified: it may.
async fn why_not(run: &Run) -> Reason {
    let answer = run.decide("billing", "refund").await.unwrap();
    answer
        .reason
        .filter(|_| answer.effect != i32::from(v1::Effect::Allow))
        .map_or(Reason::Unspecified, |why| why.code())
}

fn of(credential_id: &str) -> v1::RevokeCredentialRequest {
    let (credential_id, reason) = (credential_id.to_owned(), "seen in a chat log".to_owned());
    v1::RevokeCredentialRequest { credential_id, reason, ..Default::default() }
}

async fn revoke(caller: &Connection, request: v1::RevokeCredentialRequest) -> v1::RevokeCredentialResponse {
    caller.credentials().revoke_credential(request).await.unwrap().into_inner()
}

/// The same run with another credential.
async fn renewed(world: &World, run: &Run) -> Run {
    let request = v1::IssueCredentialRequest { agent_instance_id: run.id.clone(), ..issue("alice") };
    world.run_with(request, &["billing", "search"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_credential_stops_what_it_started() {
    let world = World::start().await;
    let old = world.run_of("alice").await;
    let (child, other_child) = (old.child().await, old.child().await);
    let grandchild = child.child().await;
    let new = renewed(&world, &old).await;
    let of_new = new.child().await;

    let request = v1::RevokeCredentialRequest { request_id: "once".to_owned(), ..of(&credential_id(&old).await) };
    let done = revoke(&world.rita, request.clone()).await;
    assert_eq!((done.seq, done.revoked_child_count), (1, 2));
    assert_eq!(revoke(&world.rita, request).await, done);
    assert_eq!(why_not(&old).await, Reason::CredentialRevoked);
    for stopped in [&child, &other_child, &grandchild] {
        assert_eq!(why_not(stopped).await, Reason::InstanceNotLive);
    }
    for alive in [&new, &of_new] {
        assert_eq!(why_not(alive).await, Reason::Unspecified);
    }

    // Entry and event of each follow those of the credential, in the same transaction.
    let log = world.log().await;
    let at = usize::try_from(done.log_index).unwrap();
    let kinds: Vec<_> = log[at..at + 3].iter().map(Event::kind).collect();
    assert_eq!(kinds, ["revocation", "instance_revoked", "instance_revoked"]);
    for (event, seq) in log[at + 1..at + 3].iter().zip(["2", "3"]) {
        assert_eq!((event.text("operator_id"), event.text("revocation_seq")), ("rita", seq));
        assert_eq!((event.text("reason"), event.text("state_after")), ("CREDENTIAL_REVOKED", "REVOKED"));
        assert_eq!(event.text("parent_agent_id"), old.id);
    }
    let request = v1::GetInstanceRequest { agent_instance_id: child.id.clone() };
    let instance = world.rita.instances().get_instance(request).await.unwrap().into_inner().instance.unwrap();
    assert_eq!(instance.state(), v1::InstanceState::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spared_can_be_stopped_later_by_the_same_id() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let child = run.child().await;
    let id = credential_id(&run).await;
    let spared = revoke(&world.oscar, v1::RevokeCredentialRequest { spare_delegated: true, ..of(&id) }).await;
    assert_eq!((spared.revoked_child_count, why_not(&child).await), (0, Reason::Unspecified));
    assert_eq!(revoke(&world.oscar, of(&id)).await.revoked_child_count, 1);
    assert_eq!(why_not(&child).await, Reason::InstanceNotLive);
    assert_eq!(revoke(&world.oscar, of(&id)).await.revoked_child_count, 0, "nothing is left to stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_stops_what_its_own_credential_started() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let child = run.child().await;
    let done = revoke(&run.connection, of(&credential_id(&run).await)).await;
    assert_eq!((done.revoked_child_count, why_not(&child).await), (1, Reason::InstanceNotLive));
    let log = world.log().await;
    let event = &log[usize::try_from(done.log_index).unwrap() + 1];
    let by = &event.leaf["changes"][0];
    assert_eq!((by["field"].as_str(), by["after"].as_str()), (Some("revoked_by"), Some(&*run.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth_revocation_stops_what_the_token_started() {
    let world = World::start().await;
    let (server, rita) = (&world.server, world.server.operator_key("rita").unwrap());
    let form = async |token: &str, more: &[(&str, &str)]| -> Answer {
        post(server, Some(&rita), "revoke", &[], &[&[("token", token)], more].concat()).await
    };
    let (run, spared) = (world.run_of("alice").await, world.run_of("alice").await);
    let (child, lives) = (run.child().await, spared.child().await);
    assert_eq!(form(&spared.token, &[("spare_delegated", "true")]).await.status.as_u16(), 200);
    assert_eq!(form(&run.token, &[]).await.status.as_u16(), 200);
    assert_eq!((why_not(&spared).await, why_not(&run).await), (Reason::CredentialRevoked, Reason::CredentialRevoked));
    assert_eq!((why_not(&lives).await, why_not(&child).await), (Reason::Unspecified, Reason::InstanceNotLive));
    let answer = form(&lives.token, &[("spare_delegated", "yes")]).await;
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.json());
}

/// Children that could as well have been started one by one.
async fn start_many(world: &World, child: &Run, many: i32) {
    let mut connection = world.database.connect().await.unwrap();
    sqlx::query(
        "INSERT INTO instance SELECT copy.* FROM instance, generate_series(1, $2) AS n,
             LATERAL jsonb_populate_record(instance, jsonb_build_object('instance_id', gen_random_uuid(), 'depth', 1 + 0 * n)) AS copy
         WHERE instance.instance_id = $1::uuid",
    )
    .bind(child.id.strip_prefix("inst_").unwrap())
    .bind(many)
    .execute(&mut connection)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_children_stop_and_one_more_is_refused_whole() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let child = run.child().await;
    let id = credential_id(&run).await;
    start_many(&world, &child, 1_000).await;
    let size = world.log_size().await;
    let request = v1::RevokeCredentialRequest { request_id: "many".to_owned(), ..of(&id) };
    let answer = world.rita.credentials().revoke_credential(request.clone()).await;
    let message = answer.as_ref().unwrap_err().message().to_owned();
    assert!(message.contains(&format!("RevokeInstance {}", run.id)), "{message}");
    refused(answer.map(Response::into_inner), Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    assert_eq!((why_not(&run).await, why_not(&child).await), (Reason::Unspecified, Reason::Unspecified));
    assert_eq!(world.log_size().await, size + 2, "two decisions, and nothing of the refusal");

    let mut connection = world.database.connect().await.unwrap();
    let one_less = "DELETE FROM instance WHERE instance_id =
        (SELECT instance_id FROM instance WHERE parent_credential_id IS NOT NULL AND instance_id <> $1::uuid LIMIT 1)";
    sqlx::query(one_less).bind(child.id.strip_prefix("inst_").unwrap()).execute(&mut connection).await.unwrap();
    let done = revoke(&world.rita, request).await;
    assert_eq!(done.revoked_child_count, 1_000);
    assert_eq!((why_not(&run).await, why_not(&child).await), (Reason::CredentialRevoked, Reason::InstanceNotLive));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_before_the_column_are_found_by_the_log() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let child = run.child().await;
    let (grandchild, other) = (child.child().await, renewed(&world, &run).await.child().await);
    let mut connection = world.database.connect().await.unwrap();
    let known = "SELECT instance_id::text, parent_credential_id::text FROM instance ORDER BY instance_id";
    let before: Vec<(String, Option<String>)> = sqlx::query_as(known).fetch_all(&mut connection).await.unwrap();
    for child in [&child, &grandchild, &other] {
        let row = before.iter().find(|(id, _)| child.id.ends_with(id.as_str())).unwrap();
        assert!(row.1.is_some(), "{before:?}");
    }
    let forget = "UPDATE instance SET parent_credential_id = NULL";
    sqlx::query(forget).execute(&mut connection).await.unwrap();
    let migration = include_str!("../../../migrations/0060_granted_by.sql");
    let fill = &migration[migration.find("UPDATE instance AS child").unwrap()..];
    sqlx::raw_sql(fill).execute(&mut connection).await.unwrap();
    let after: Vec<(String, Option<String>)> = sqlx::query_as(known).fetch_all(&mut connection).await.unwrap();
    assert_eq!(after, before);
}
