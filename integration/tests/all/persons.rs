//! Persons: that a name is no right, that what takes two persons takes two, and that one alone says so.

use std::fs;

use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Database, Server};
use tempfile::TempDir;
use tonic::{Code, Response, Status};

use crate::{
    configuration::plain,
    operators::{add, admin, confirm_key},
    support::{World, approve, decide, fields, issue, log, refused, register, room},
};

async fn server(settings: &str) -> (Server, Database, TempDir) {
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, folder) = plain();
    let file = folder.path().join("countersign.yaml");
    fs::write(&file, settings).unwrap();
    let server = launch.arg("--config").arg(file.to_str().unwrap()).database(&database).start().await.unwrap();
    (server, database, folder)
}

/// An operator with a key, as an admin makes one; says whether it is confirmed whose login it is.
async fn newcomer(server: &Server, by: &Connection, id: &str, person: &str, roles: &[&str]) -> (Connection, bool) {
    let request = v1::CreateOperatorRequest {
        operator_id: id.to_owned(),
        display_name: format!("{id} of the tests"),
        roles: roles.iter().map(ToString::to_string).collect(),
        person_id: person.to_owned(),
        ..Default::default()
    };
    let made = by.operators().create_operator(request).await.unwrap().into_inner().person.unwrap();
    let key = v1::CreateApiKeyRequest { operator_id: id.to_owned(), ..Default::default() };
    let secret = by.operators().create_api_key(key).await.unwrap().into_inner().secret;
    (server.connect(Some(&secret)).await.unwrap(), !made.confirmed_by.is_empty())
}

async fn bind(by: &Connection, login: &str, person: &str) -> Result<v1::PersonBinding, Status> {
    let request = v1::BindPersonRequest {
        operator_id: login.to_owned(),
        person_id: person.to_owned(),
        reason: "known in person".to_owned(),
        ..Default::default()
    };
    Ok(by.operators().bind_person(request).await?.into_inner().person.unwrap())
}

async fn confirm(by: &Connection, login: &str, person: &str) -> Result<v1::PersonBinding, Status> {
    let request = v1::ConfirmPersonRequest {
        operator_id: login.to_owned(),
        person_id: person.to_owned(),
        reason: "seen at the same desk".to_owned(),
        ..Default::default()
    };
    Ok(by.operators().confirm_person(request).await?.into_inner().person.unwrap())
}

async fn approved(by: &Connection, id: &str) -> Result<v1::ApproveSponsorResponse, Status> {
    by.sponsors().approve_sponsor(approve(id)).await.map(Response::into_inner)
}

async fn bindings(by: &Connection, unconfirmed: bool) -> Vec<String> {
    let request = v1::ListPersonBindingsRequest { unconfirmed, ..Default::default() };
    let page = by.operators().list_person_bindings(request).await.unwrap().into_inner();
    page.persons.into_iter().map(|binding| format!("{}={}", binding.operator_id, binding.person_id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_admin_alone_is_one_person_whatever_logins_they_make() {
    let _room = room().await;
    let (server, database, _folder) = server("").await;
    let root = admin(&server).await;
    // The first person needs nobody to say who the others are, until there is one who could confirm it.
    let (rita, sure) = newcomer(&server, &root, "rita", "", &["registrar", "issuer"]).await;
    assert!(sure, "there was nobody who could have confirmed it");
    let (oscar, sure) = newcomer(&server, &root, "oscar", "", &["approver"]).await;
    assert!(sure, "rita confirms nobody");
    let (pia, sure) = newcomer(&server, &root, "pia", "", &["approver"]).await;
    assert!(!sure, "oscar could");
    assert_eq!(bindings(&root, true).await, ["pia=pia"]);

    rita.sponsors().register_sponsor(register("alice")).await.unwrap();
    let why = approved(&pia, "alice").await;
    assert!(why.as_ref().unwrap_err().message().contains("ConfirmPerson"), "{why:?}");
    refused(why, Code::FailedPrecondition, "FOUR_EYES");
    // Not who said so, not whose login it is, and nobody who could be a service.
    for by in [&root, &pia] {
        refused(confirm(by, "pia", "pia").await, Code::FailedPrecondition, "FOUR_EYES");
    }
    refused(confirm(&rita, "pia", "pia").await, Code::PermissionDenied, "ROLE_REQUIRED");
    refused(confirm(&oscar, "pia", "somebody-else").await, Code::Aborted, "ETAG_MISMATCH");
    refused(confirm(&oscar, "nobody", "nobody").await, Code::NotFound, "NOT_FOUND");
    assert_eq!(confirm(&oscar, "pia", "pia").await.unwrap().confirmed_by, "oscar");
    approved(&pia, "alice").await.unwrap();

    // A second login of one's own is made by others, and is no second person.
    refused(bind(&root, "oidc.corp.root", "admin").await, Code::FailedPrecondition, "FOUR_EYES");
    refused(bind(&root, "admin", "somebody").await, Code::FailedPrecondition, "FOUR_EYES");
    for reserved in ["bootstrap", "dev"] {
        assert_eq!(fields(&bind(&root, reserved, "rita").await.unwrap_err()), ["operator_id"]);
    }
    let (rita_too, _) = newcomer(&server, &root, "rosa", "rita", &["approver"]).await;
    confirm(&oscar, "rosa", "rita").await.unwrap();
    rita.sponsors().register_sponsor(register("bob")).await.unwrap();
    refused(approved(&rita_too, "bob").await, Code::FailedPrecondition, "FOUR_EYES");
    approved(&oscar, "bob").await.unwrap();

    // A key for oscar, which the admin knows, admits nobody until somebody else says that oscar has it.
    let again = v1::CreateApiKeyRequest { operator_id: "oscar".to_owned(), ..Default::default() };
    let made = root.operators().create_api_key(again).await.unwrap().into_inner();
    let known = server.connect(Some(&made.secret)).await.unwrap();
    refused(approved(&known, "bob").await, Code::Unauthenticated, "UNAUTHENTICATED");
    let key_id = made.api_key.unwrap().key_id;
    refused(confirm_key(&root, &key_id).await, Code::FailedPrecondition, "FOUR_EYES");
    confirm_key(&pia, &key_id).await.unwrap();
    known.operators().who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    // One's own, one makes alone; and one that vouches for nothing.
    let own = v1::CreateApiKeyRequest { operator_id: "admin".to_owned(), ..Default::default() };
    assert!(root.operators().create_api_key(own).await.unwrap().into_inner().api_key.unwrap().confirmed);
    let plain = v1::CreateApiKeyRequest { operator_id: "rita".to_owned(), ..Default::default() };
    assert!(root.operators().create_api_key(plain).await.unwrap().into_inner().api_key.unwrap().confirmed);

    // Whoever takes the others' logins away is not the first person again.
    for login in ["rita", "oscar", "rosa"] {
        assert!(bind(&root, login, "a-stranger").await.unwrap().confirmed_by.is_empty());
    }
    let (_, sure) = newcomer(&server, &root, "eve", "", &["approver", "registrar"]).await;
    assert!(!sure, "the admin alone makes no second person");

    let events = log(&database).await;
    let said = events.iter().rev().find(|event| event.kind() == "operator_changed").unwrap();
    assert_eq!((said.text("operator_id"), said.leaf["subject"]["id"].as_str()), ("admin", Some("eve")));
    assert_eq!(said.leaf["changes"][0]["after"], "UNCONFIRMED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_sponsor_is_no_right_and_a_binding_is() {
    let _room = room().await;
    let (server, _database, _folder) = server("").await;
    let root = admin(&server).await;
    let (rita, _) = newcomer(&server, &root, "rita", "", &["registrar", "issuer"]).await;
    let (oscar, _) = newcomer(&server, &root, "oscar", "", &["approver"]).await;
    // Two sponsors: nobody says who the first is, the second is ann.
    let unknown = v1::RegisterSponsorRequest { person_id: String::new(), ..register("alice") };
    rita.sponsors().register_sponsor(unknown).await.unwrap();
    let ann = v1::RegisterSponsorRequest { person_id: "ann".to_owned(), ..register("anna") };
    rita.sponsors().register_sponsor(ann).await.unwrap();
    for sponsor in ["alice", "anna"] {
        let shown = approved(&oscar, sponsor).await.unwrap().sponsor.unwrap();
        assert_eq!(shown.person_confirmed, sponsor == "anna");
    }
    let suspend = async |by: &Connection, id: &str| {
        let request = v1::SuspendSponsorRequest {
            sponsor_id: id.to_owned(),
            reason: "on holiday".to_owned(),
            ..Default::default()
        };
        by.sponsors().suspend_sponsor(request).await.map(Response::into_inner)
    };
    let list = async |by: &Connection| {
        let request = v1::ListApprovalsRequest::default();
        by.approvals().list_approvals(request).await.map(Response::into_inner)
    };
    let (alice, _) = newcomer(&server, &root, "alice", "", &[]).await;
    confirm(&oscar, "alice", "alice").await.unwrap();
    refused(suspend(&alice, "alice").await, Code::PermissionDenied, "ROLE_REQUIRED");

    // Whoever is said to be the sponsor stops at once what is theirs, and answers for it once that is confirmed.
    let (login, sure) = newcomer(&server, &root, "login-of-ann", "ann", &[]).await;
    assert!(!sure);
    refused(list(&login).await, Code::PermissionDenied, "ROLE_REQUIRED");
    refused(suspend(&login, "alice").await, Code::PermissionDenied, "ROLE_REQUIRED");
    suspend(&login, "anna").await.unwrap();
    confirm(&oscar, "login-of-ann", "ann").await.unwrap();
    assert_eq!(list(&login).await.unwrap().approvals, []);
    let me = login.operators().who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((me.person_id.as_str(), me.person_confirmed, me.roles), ("ann", true, vec![]));
    // And never approves herself, under whichever name.
    let (approver, _) = newcomer(&server, &root, "opaque-7f3a", "ann", &["approver"]).await;
    confirm(&oscar, "opaque-7f3a", "ann").await.unwrap();
    let reinstate =
        v1::ReinstateSponsorRequest { sponsor_id: "anna".to_owned(), reason: "back".to_owned(), ..Default::default() };
    let answer = approver.sponsors().reinstate_sponsor(reinstate).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "FOUR_EYES");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_started_a_run_does_not_say_yes_to_its_calls() {
    const ASKS: &str =
        "rules: [{id: refunds, role: support, tool: billing, allowed_actions: [refund], require_approval: true}]";
    let world = World::start().await;
    let version = world.policy(ASKS).await;
    let activate =
        v1::ActivatePolicyRequest { version, reason: "people decide on refunds".to_owned(), ..Default::default() };
    world.rita.policies().activate_policy(activate).await.unwrap();
    let root = admin(&world.server).await;
    let (ian, _) = add(&world.server, &root, "ian", &["issuer", "approver"]).await;
    let issued = ian.credentials().issue_credential(issue("alice")).await.unwrap().into_inner();
    let run = ian.with_token(&issued.token).unwrap();
    let child = v1::DelegateCredentialRequest { agent: "helper".to_owned(), ..Default::default() };
    let child = run.credentials().delegate_credential(child).await.unwrap().into_inner();
    let yes = async |by: &Connection, id: &str| {
        let request = v1::ApproveRequest {
            approval_id: id.to_owned(),
            reason: "I know the customer".to_owned(),
            ..Default::default()
        };
        by.approvals().approve(request).await.map(Response::into_inner)
    };
    for token in [&issued.token, &child.token] {
        let run = ian.with_token(token).unwrap();
        let asked = run.decisions().decide(decide("billing", "refund")).await.unwrap().into_inner();
        refused(yes(&ian, &asked.approval_id).await, Code::FailedPrecondition, "FOUR_EYES");
        yes(&world.oscar, &asked.approval_id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_of_the_terms_that_were_seen_and_of_nobody_who_changed_them() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    let (carl, _) = add(&world.server, &root, "carl", &["registrar", "approver"]).await;
    let (dora, _) = add(&world.server, &root, "dora", &["registrar", "approver"]).await;
    world.sponsor("bob").await;
    let change = async |by: &Connection, seconds: i64| {
        let request = v1::UpdateSponsorRequest {
            sponsor_id: "bob".to_owned(),
            max_ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
            reason: "shorter".to_owned(),
            ..Default::default()
        };
        by.sponsors().update_sponsor(request).await.unwrap().into_inner().sponsor.unwrap().etag
    };
    change(&carl, 60).await;
    let seen = change(&dora, 61).await;
    let unseen = v1::ApproveSponsorRequest { etag: String::new(), ..approve("bob") };
    let answer = world.oscar.sponsors().approve_sponsor(unseen).await;
    assert_eq!(fields(&answer.unwrap_err()), ["etag"]);
    refused(approved(&world.oscar, "bob").await, Code::Aborted, "ETAG_MISMATCH");
    let approve = v1::ApproveSponsorRequest { etag: seen, ..approve("bob") };
    // Not only who changed them last.
    for writer in [&carl, &dora] {
        let answer = writer.sponsors().approve_sponsor(approve.clone()).await.map(Response::into_inner);
        refused(answer, Code::FailedPrecondition, "FOUR_EYES");
    }
    world.oscar.sponsors().approve_sponsor(approve).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_four_eyes_one_person_does_everything_and_it_is_said_each_time() {
    let _room = room().await;
    let (server, database, _folder) = server("four_eyes: none\n").await;
    let root = admin(&server).await;
    let said = root.status().get_readiness(v1::GetReadinessRequest {}).await.unwrap().into_inner();
    assert!(said.warnings.iter().any(|warning| warning.contains("four_eyes")), "{:?}", said.warnings);
    root.sponsors().register_sponsor(register("alice")).await.unwrap();
    approved(&root, "alice").await.unwrap();
    let event = log(&database).await.pop().unwrap();
    assert_eq!((event.kind(), &event.leaf["changes"][0]["after"]), ("sponsor_approved", &"none".into()));
    assert_eq!(event.leaf["changes"][0]["field"], "four_eyes");
    assert!(!bind(&root, "oidc.corp.7f3a", "admin").await.unwrap().confirmed_by.is_empty());
    let bound = log(&database).await.pop().unwrap();
    let said: Vec<_> =
        bound.leaf["changes"].as_array().unwrap().iter().map(|change| change["field"].as_str().unwrap()).collect();
    assert_eq!((bound.kind(), said), ("operator_changed", vec!["binding", "four_eyes", "person_id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_releases_take_two_where_the_configuration_says_so() {
    const REFUNDS: &str = "rules: [{id: refunds, role: support, tool: billing, allowed_actions: [refund]}]";
    let _room = room().await;
    let (server, _database, _folder) = server("four_eyes: [policies, kill_switch_release]\n").await;
    let root = admin(&server).await;
    let (paul, _) = newcomer(&server, &root, "paul", "", &["policy-admin"]).await;
    let create = v1::CreatePolicyRequest { document: REFUNDS.to_owned(), ..Default::default() };
    let version = paul.policies().create_policy(create).await.unwrap().into_inner().policy.unwrap().version;
    let activate = v1::ActivatePolicyRequest {
        version: version.clone(),
        reason: "refunds are routine".to_owned(),
        ..Default::default()
    };
    let start = v1::StartRolloutRequest { candidate: version, reason: "slowly".to_owned(), ..Default::default() };
    let own = paul.policies().activate_policy(activate.clone()).await.map(Response::into_inner);
    refused(own, Code::FailedPrecondition, "FOUR_EYES");
    let own = paul.rollouts().start_rollout(start).await.map(Response::into_inner);
    refused(own, Code::FailedPrecondition, "FOUR_EYES");
    root.policies().activate_policy(activate).await.unwrap();

    let engage = v1::EngageKillSwitchRequest {
        scope: v1::KillSwitchScope::All.into(),
        reason: "an incident".to_owned(),
        ..Default::default()
    };
    let engaged = paul.policies().engage_kill_switch(engage).await.unwrap().into_inner();
    let release = v1::ReleaseKillSwitchRequest {
        kill_switch_id: engaged.kill_switch.unwrap().kill_switch_id,
        reason: "it is over".to_owned(),
        ..Default::default()
    };
    let own = paul.policies().release_kill_switch(release.clone()).await.map(Response::into_inner);
    refused(own, Code::FailedPrecondition, "FOUR_EYES");
    root.policies().release_kill_switch(release).await.unwrap();
}
