//! Operators and their API keys: who may grant what, how long keys live, and that a revoked one admits nobody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Server};
use futures::future::join_all;
use tokio::time::sleep;
use tonic::{Code, Response, Status};

use crate::{
    configuration::plain,
    support::{World, approve, eventually, fields, issue, log, refused, register, room},
};

const DAY: i64 = 24 * 3600;

fn operator(id: &str, roles: &[&str]) -> v1::CreateOperatorRequest {
    v1::CreateOperatorRequest {
        operator_id: id.to_owned(),
        display_name: format!("{id} of the tests"),
        roles: roles.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

fn key_for(id: &str, roles: &[&str]) -> v1::CreateApiKeyRequest {
    v1::CreateApiKeyRequest {
        operator_id: id.to_owned(),
        roles: roles.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

fn revoke(key_id: &str) -> v1::RevokeApiKeyRequest {
    v1::RevokeApiKeyRequest { key_id: key_id.to_owned(), reason: "seen in a chat".to_owned(), ..Default::default() }
}

async fn create(by: &Connection, request: v1::CreateOperatorRequest) -> Result<v1::Operator, Status> {
    Ok(by.operators().create_operator(request).await?.into_inner().operator.unwrap())
}

async fn create_key(by: &Connection, request: v1::CreateApiKeyRequest) -> Result<(v1::ApiKey, String), Status> {
    let made = by.operators().create_api_key(request).await?.into_inner();
    Ok((made.api_key.unwrap(), made.secret))
}

async fn end_key(by: &Connection, request: v1::RevokeApiKeyRequest) -> Result<v1::ApiKey, Status> {
    Ok(by.operators().revoke_api_key(request).await?.into_inner().api_key.unwrap())
}

async fn who(connection: &Connection) -> Result<v1::WhoAmIResponse, Status> {
    connection.operators().who_am_i(v1::WhoAmIRequest {}).await.map(Response::into_inner)
}

/// Adds an operator, of whom a dev server believes that they are a person of their own; and answers with a connection under a
/// key of theirs, with the key.
pub(crate) async fn add(server: &Server, by: &Connection, id: &str, roles: &[&str]) -> (Connection, v1::ApiKey) {
    create(by, operator(id, roles)).await.unwrap();
    let (operator_id, person_id, reason) = (id.to_owned(), id.to_owned(), "a test".to_owned());
    let confirm = v1::ConfirmPersonRequest { operator_id, person_id, reason, ..Default::default() };
    // Anybody on this machine may; elsewhere it takes two.
    drop(server.connect(None).await.unwrap().operators().confirm_person(confirm).await);
    let (key, secret) = create_key(by, key_for(id, &[])).await.unwrap();
    let key = confirm_key(&server.connect(None).await.unwrap(), &key.key_id).await.unwrap_or(key);
    (server.connect(Some(&secret)).await.unwrap(), key)
}

pub(crate) async fn confirm_key(by: &Connection, key_id: &str) -> Result<v1::ApiKey, Status> {
    let (key_id, reason) = (key_id.to_owned(), "handed over in person".to_owned());
    let request = v1::ConfirmApiKeyRequest { key_id, reason, ..Default::default() };
    Ok(by.operators().confirm_api_key(request).await?.into_inner().api_key.unwrap())
}

pub(crate) async fn admin(server: &Server) -> Connection {
    server.connect(Some(&server.admin_key().unwrap())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_admits_nobody_also_where_the_database_has_just_cut_everybody_off() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    let mut gates = Vec::new();
    for nth in 0..5 {
        gates.push(add(&world.server, &root, &format!("gate-{nth}"), &["gate"]).await);
    }
    let mut database = world.database.connect().await.unwrap();
    for (gate, key) in gates {
        eventually("the gate gets in", async || who(&gate).await.is_ok()).await;
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::raw_sql(others).execute(&mut database).await.unwrap();
        // A connection may be ended while it commits: with a request id it is done once all the same.
        let request = v1::RevokeApiKeyRequest { request_id: format!("end-{}", key.key_id), ..revoke(&key.key_id) };
        end_key(&root, request).await.unwrap();
        refused(who(&gate).await, Code::Unauthenticated, "UNAUTHENTICATED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_grants_a_role_they_do_not_hold() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    let (amy, _) = add(&world.server, &root, "amy", &["admin", "auditor"]).await;
    create(&root, operator("ivan", &["issuer", "auditor"])).await.unwrap();

    let answer = create(&amy, operator("eve", &["auditor", "gate", "issuer"])).await;
    assert_eq!(refused(answer, Code::PermissionDenied, "ROLE_REQUIRED").metadata["roles"], "issuer,gate");
    // All that ivan may do is more than amy may.
    for roles in [&[][..], &["issuer"]] {
        let answer = create_key(&amy, key_for("ivan", roles)).await;
        assert_eq!(refused(answer, Code::PermissionDenied, "ROLE_REQUIRED").metadata["roles"], "issuer");
    }
    let (key, _) = create_key(&amy, key_for("ivan", &["auditor"])).await.unwrap();
    assert_eq!(key.roles, ["auditor"]);
    assert_eq!(create(&amy, operator("zoe", &["admin"])).await.unwrap().roles, ["admin"]);
    // A key that may less than its operator grants less, too.
    let (key, secret) = create_key(&root, key_for("amy", &["admin"])).await.unwrap();
    confirm_key(&world.oscar, &key.key_id).await.unwrap();
    let narrow = world.server.connect(Some(&secret)).await.unwrap();
    let answer = create_key(&narrow, key_for("ivan", &["auditor"])).await;
    assert_eq!(refused(answer, Code::PermissionDenied, "ROLE_REQUIRED").metadata["roles"], "auditor");

    refused(create(&root, operator("ivan", &["issuer"])).await, Code::AlreadyExists, "ALREADY_EXISTS");
    refused(create_key(&root, key_for("nobody", &[])).await, Code::NotFound, "NOT_FOUND");
    let wrong = create_key(&root, key_for("ivan", &["gate"])).await.unwrap_err();
    assert_eq!(fields(&wrong), ["roles"], "not one of his");
    for id in ["bootstrap", "dev", "oidc.corp.alice"] {
        let wrong = create(&root, operator(id, &["auditor"])).await.unwrap_err();
        assert_eq!(fields(&wrong), ["operator_id"], "{id} is reserved");
    }
    let wrong = create(&root, operator("Not An Id", &["root"])).await.unwrap_err();
    assert_eq!(fields(&wrong), ["operator_id", "roles[0]"]);
}

fn disable(id: &str) -> v1::DisableOperatorRequest {
    v1::DisableOperatorRequest { operator_id: id.to_owned(), reason: "has left".to_owned(), ..Default::default() }
}

fn enable(id: &str) -> v1::EnableOperatorRequest {
    v1::EnableOperatorRequest { operator_id: id.to_owned(), reason: "is back".to_owned(), ..Default::default() }
}

fn delete(id: &str) -> v1::DeleteOperatorRequest {
    v1::DeleteOperatorRequest { operator_id: id.to_owned(), reason: "was a trial".to_owned(), ..Default::default() }
}

fn set_roles(id: &str, roles: &[&str]) -> v1::SetOperatorRolesRequest {
    v1::SetOperatorRolesRequest {
        operator_id: id.to_owned(),
        roles: roles.iter().map(ToString::to_string).collect(),
        reason: "a new job".to_owned(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_operator_gets_in_nowhere_and_a_deleted_one_never_again() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    let second = world.second().await;
    let (gina, _) = add(&world.server, &root, "gina", &["gate", "admin"]).await;
    let (key, secret) = create_key(&root, key_for("gina", &[])).await.unwrap();
    confirm_key(&world.oscar, &key.key_id).await.unwrap();
    let there = second.connect(Some(&secret)).await.unwrap();
    who(&there).await.unwrap();

    let first = root.operators().disable_operator(disable("gina")).await.unwrap().into_inner();
    assert!(first.operator.unwrap().disable_time.is_some());
    let gone = who(&gina).await.unwrap_err();
    assert!(gone.code() == Code::Unauthenticated && gone.message().contains("EnableOperator"), "{gone}");
    sleep(Duration::from_millis(600)).await;
    assert_eq!(who(&there).await.unwrap_err().code(), Code::Unauthenticated, "at every server");
    let event = world.log().await.remove(usize::try_from(first.log_index).unwrap());
    assert_eq!((event.kind(), event.leaf["subject"]["id"].as_str()), ("operator_changed", Some("gina")));
    assert_eq!(event.leaf["changes"][0]["after"], "DISABLED");
    refused(create_key(&root, key_for("gina", &[])).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    // Said again, it stands, and is no event.
    let size = world.log_size().await;
    root.operators().disable_operator(disable("gina")).await.unwrap();
    assert_eq!(world.log_size().await, size);

    let stale = v1::EnableOperatorRequest { etag: "1".to_owned(), ..enable("gina") };
    let answer = root.operators().enable_operator(stale).await.map(Response::into_inner);
    refused(answer, Code::Aborted, "ETAG_MISMATCH");
    root.operators().enable_operator(enable("gina")).await.unwrap();
    who(&gina).await.unwrap();
    // She disables herself, and lets herself in no more, nor does the other login that she has.
    gina.operators().disable_operator(disable("gina")).await.unwrap();
    root.operators().enable_operator(enable("gina")).await.unwrap();

    root.operators().delete_operator(delete("gina")).await.unwrap();
    assert!(who(&gina).await.is_err());
    let answer = root.operators().enable_operator(enable("gina")).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    refused(create(&root, operator("gina", &["gate"])).await, Code::AlreadyExists, "ALREADY_EXISTS");
    let answer = root.operators().delete_operator(delete("nobody")).await.map(Response::into_inner);
    refused(answer, Code::NotFound, "NOT_FOUND");
    for (include_deleted, listed) in [(false, false), (true, true)] {
        let request = v1::ListOperatorsRequest { include_deleted, ..Default::default() };
        let page = root.operators().list_operators(request).await.unwrap().into_inner();
        assert_eq!(page.operators.iter().any(|operator| operator.operator_id == "gina"), listed);
    }
    for reserved in ["dev", "bootstrap"] {
        assert_eq!(fields(&root.operators().disable_operator(disable(reserved)).await.unwrap_err()), ["operator_id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_set_at_once_and_the_last_admin_stays() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().database().await.unwrap();
    let (launch, _folder) = plain();
    let server = launch.database(&database).start().await.unwrap();
    let root = admin(&server).await;
    for answer in [
        root.operators().disable_operator(disable("admin")).await.map(drop),
        root.operators().delete_operator(delete("admin")).await.map(drop),
        root.operators().set_operator_roles(set_roles("admin", &["auditor"])).await.map(drop),
    ] {
        refused(answer, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    }
    let (ivan, _) = add(&server, &root, "ivan", &["auditor", "issuer", "approver"]).await;
    root.operators().set_operator_roles(set_roles("ivan", &["issuer", "gate", "approver"])).await.unwrap();
    assert_eq!(who(&ivan).await.unwrap().roles, ["approver", "issuer"], "a key may no more than it was made for");
    let (amy, _) = add(&server, &root, "amy", &["auditor"]).await;
    // Whose login comes to be an admin's, two persons have said: ivan was the second one, and nobody has confirmed amy.
    create(&root, operator("zoe", &["admin"])).await.unwrap();
    refused(create_key(&root, key_for("zoe", &[])).await, Code::FailedPrecondition, "FOUR_EYES");
    let answer = root.operators().set_operator_roles(set_roles("amy", &["admin"])).await.map(Response::into_inner);
    refused(answer, Code::FailedPrecondition, "FOUR_EYES");
    let confirm = v1::ConfirmPersonRequest {
        operator_id: "amy".to_owned(),
        person_id: "amy".to_owned(),
        reason: "seen".to_owned(),
        ..Default::default()
    };
    ivan.operators().confirm_person(confirm).await.unwrap();
    root.operators().set_operator_roles(set_roles("amy", &["admin"])).await.unwrap();
    assert_eq!(who(&amy).await.unwrap().roles, [""; 0], "what her key was made for, she may not any more");
    let (key, secret) = create_key(&root, key_for("amy", &[])).await.unwrap();
    // What only the admin knows to be amy's counts for no second admin, and lets in nobody.
    let alone = root.operators().set_operator_roles(set_roles("admin", &["auditor"])).await.map(Response::into_inner);
    refused(alone, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    let waits = who(&server.connect(Some(&secret)).await.unwrap()).await.unwrap_err();
    assert!(waits.code() == Code::Unauthenticated && waits.message().contains("ConfirmApiKey"), "{waits}");
    refused(confirm_key(&root, &key.key_id).await, Code::FailedPrecondition, "FOUR_EYES");
    let confirmed = confirm_key(&ivan, &key.key_id).await.unwrap();
    assert!(confirmed.confirmed && confirmed.made_by == "admin" && confirmed.etag != key.etag);
    // There are two now.
    root.operators().set_operator_roles(set_roles("admin", &["auditor"])).await.unwrap();
    let wrong = root.operators().set_operator_roles(set_roles("amy", &[])).await.map(Response::into_inner);
    refused(wrong, Code::PermissionDenied, "ROLE_REQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_lives_90_days_and_may_what_it_says() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    create(&root, operator("ivan", &["issuer", "auditor"])).await.unwrap();
    let request = v1::CreateApiKeyRequest { request_id: "k-1".to_owned(), ..key_for("ivan", &["auditor"]) };
    let (key, secret) = create_key(&root, request.clone()).await.unwrap();
    assert!(secret.starts_with(&format!("csk_{}_", key.key_id)), "the id is the part before the secret");
    let life = key.expire_time.unwrap().seconds - key.create_time.unwrap().seconds;
    assert_eq!((life, key.revoke_time), (90 * DAY, None));

    let (again, nothing) = create_key(&root, request.clone()).await.unwrap();
    assert_eq!((again, nothing.as_str()), (key.clone(), ""), "shown once");
    let other = v1::CreateApiKeyRequest { roles: Vec::new(), ..request };
    refused(create_key(&root, other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");

    let ivan = world.server.connect(Some(&secret)).await.unwrap();
    let said = who(&ivan).await.unwrap();
    assert_eq!((said.operator_id.as_str(), said.roles), ("ivan", vec!["auditor".to_owned()]));
    ivan.custody().list_events(v1::ListEventsRequest::default()).await.unwrap();
    let answer = ivan.credentials().issue_credential(issue("alice")).await;
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");

    let now = key.create_time.unwrap().seconds;
    let until = |seconds| v1::CreateApiKeyRequest {
        expire_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..key_for("ivan", &[])
    };
    for end in [now - 1, now + 401 * DAY] {
        assert_eq!(fields(&create_key(&root, until(end)).await.unwrap_err()), ["expire_time"]);
    }
    let (brief, secret) = create_key(&root, until(now + 3)).await.unwrap();
    assert_eq!(brief.roles, ["issuer", "auditor"], "none named: all that ivan has");
    let soon = world.server.connect(Some(&secret)).await.unwrap();
    while who(&soon).await.is_ok() {
        sleep(Duration::from_millis(100)).await;
        assert!(key.create_time.unwrap().seconds + 20 > now, "the key does not end");
    }
    refused(end_key(&root, revoke(&brief.key_id)).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");

    let log = world.log().await;
    let of = |kind: &str| log.iter().rfind(|event| event.kind() == kind).unwrap().clone();
    let created = of("operator_created");
    assert_eq!((created.text("operator_id"), created.leaf["subject"]["id"].as_str()), ("admin", Some("ivan")));
    assert_eq!(created.leaf["changes"][0]["after"], "issuer,auditor");
    let made = of("operator_key_created");
    assert_eq!(made.leaf["subject"]["id"], brief.key_id.as_str());
    let fields: Vec<_> = made.leaf["changes"].as_array().unwrap().iter().map(|change| &change["field"]).collect();
    assert_eq!(fields, ["expire_time", "operator_id", "roles"]);
    let mut connection = world.database.connect().await.unwrap();
    for table in ["custody_event", "idempotency", "api_key"] {
        let statement = sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(statement).fetch_all(&mut connection).await.unwrap();
        let secret = secret.rsplit('_').next().unwrap();
        assert!(rows.iter().all(|row| !row.contains(secret)), "{table} holds a secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_admits_nobody_here_at_once_and_elsewhere_within_the_poll() {
    let world = World::start().await;
    let second = world.second().await;
    let root = admin(&world.server).await;
    let (here, key) = add(&world.server, &root, "ivan", &["auditor"]).await;
    let (_, secret) = create_key(&root, key_for("ivan", &[])).await.unwrap();
    let elsewhere = second.connect(Some(&secret)).await.unwrap();

    for round in 0..3 {
        let (key, secret) = create_key(&root, key_for("ivan", &[])).await.unwrap();
        let revoked = Arc::new(AtomicBool::new(false));
        let callers = (0..20).map(|number| {
            let server = if number % 2 == 0 { &here } else { &elsewhere };
            let (connection, revoked) = (server.with_token(&secret).unwrap(), revoked.clone());
            tokio::spawn(async move {
                let mut last = Instant::now();
                while last.elapsed() < Duration::from_secs(2) {
                    let (after, began) = (revoked.load(Ordering::SeqCst), Instant::now());
                    if who(&connection).await.is_err() {
                        break;
                    }
                    assert!(!after || number % 2 == 1, "admitted at the server that had answered the revocation");
                    last = began;
                }
                last
            })
        });
        let callers: Vec<_> = callers.collect();
        sleep(Duration::from_millis(200)).await;
        let ended = end_key(&root, revoke(&key.key_id)).await.unwrap();
        revoked.store(true, Ordering::SeqCst);
        let done = Instant::now();
        assert!(ended.revoke_time.is_some() && ended.etag != key.etag);
        for last in join_all(callers).await.into_iter().map(Result::unwrap) {
            let late = last.saturating_duration_since(done);
            // The poll is 250 ms; the API key cache alone would be 5 s.
            assert!(late < Duration::from_millis(1500), "round {round}: admitted {late:?} after the revocation");
        }
    }

    refused(
        end_key(&root, v1::RevokeApiKeyRequest { etag: "stale".to_owned(), ..revoke(&key.key_id) }).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    let request = v1::RevokeApiKeyRequest { etag: key.etag, request_id: "r".to_owned(), ..revoke(&key.key_id) };
    let ended = end_key(&root, request.clone()).await.unwrap();
    assert_eq!(end_key(&root, request).await.unwrap(), ended, "a repeated request id");
    refused(who(&here).await, Code::Unauthenticated, "UNAUTHENTICATED");
    refused(end_key(&root, revoke(&key.key_id)).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    refused(end_key(&root, revoke(&"0".repeat(32))).await, Code::NotFound, "NOT_FOUND");
    assert_eq!(fields(&end_key(&root, revoke("csk_x")).await.unwrap_err()), ["key_id"]);

    let event = world.log().await.pop().unwrap();
    assert_eq!((event.kind(), event.text("operator_id")), ("operator_key_revoked", "admin"));
    assert_eq!(event.leaf["subject"]["id"], key.key_id.as_str());
    assert!(!event.text("reason_commitment").is_empty() && !event.text("authority_epoch").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_key_that_admits_an_admin_stays() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    let keys = async |by: &Connection| {
        let request = v1::ListApiKeysRequest { operator_id: "admin".to_owned(), ..Default::default() };
        by.operators().list_api_keys(request).await.unwrap().into_inner().api_keys
    };
    let first = keys(&root).await.remove(0);
    // Keys that admit somebody else, or an admin no longer, do not count.
    let (ada, ada_key) = add(&world.server, &root, "ada", &["admin", "auditor"]).await;
    create_key(&root, key_for("ada", &["auditor"])).await.unwrap();
    end_key(&root, revoke(&ada_key.key_id)).await.unwrap();
    refused(who(&ada).await, Code::Unauthenticated, "UNAUTHENTICATED");
    let status = end_key(&root, revoke(&first.key_id)).await.unwrap_err();
    assert!(status.message().contains("countersign operator recover"), "{}", status.message());
    refused::<()>(Err(status), Code::FailedPrecondition, "ILLEGAL_TRANSITION");

    let (_, secret) = create_key(&root, key_for("admin", &[])).await.unwrap();
    end_key(&root, revoke(&first.key_id)).await.unwrap();
    refused(who(&root).await, Code::Unauthenticated, "UNAUTHENTICATED");
    let heir = world.server.connect(Some(&secret)).await.unwrap();
    assert_eq!(keys(&heir).await.len(), 1);

    // Two admins who end each other's key at once: one stays.
    let (rival, rival_key) = add(&world.server, &heir, "rival", &["admin"]).await;
    let heir_key = keys(&heir).await.remove(0);
    let (one, two) = tokio::join!(end_key(&heir, revoke(&rival_key.key_id)), end_key(&rival, revoke(&heir_key.key_id)));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_keys_are_listed_by_page_and_filter() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    for number in 0..3 {
        add(&world.server, &root, &format!("svc-{number}"), &["gate"]).await;
    }
    let mut request = v1::ListOperatorsRequest { page_size: 2, ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let page = world.rita.operators().list_operators(request.clone()).await.unwrap().into_inner();
        seen.extend(page.operators.into_iter().map(|operator| operator.operator_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ["admin", "oscar", "rita", "svc-0", "svc-1", "svc-2"]);
    let filtered = v1::ListOperatorsRequest { role: "approver".to_owned(), ..Default::default() };
    let page = world.rita.operators().list_operators(filtered.clone()).await.unwrap().into_inner();
    assert_eq!(page.operators.iter().map(|one| one.operator_id.as_str()).collect::<Vec<_>>(), ["admin", "oscar"]);
    let stale = v1::ListOperatorsRequest { page_token: request.page_token, ..filtered };
    assert_eq!(fields(&world.rita.operators().list_operators(stale).await.unwrap_err()), ["page_token"]);

    let keys = async |request: v1::ListApiKeysRequest| {
        let page = world.rita.operators().list_api_keys(request).await.unwrap().into_inner();
        (page.api_keys, page.next_page_token)
    };
    let of = |id: &str| v1::ListApiKeysRequest { operator_id: id.to_owned(), ..Default::default() };
    assert_eq!(keys(of("nobody")).await, (Vec::new(), String::new()));
    let (first, _) = keys(of("svc-0")).await;
    let (second, _) = create_key(&root, key_for("svc-0", &[])).await.unwrap();
    end_key(&root, revoke(&first[0].key_id)).await.unwrap();
    assert_eq!(keys(of("svc-0")).await.0, std::slice::from_ref(&second), "the dead only on demand");
    let all = v1::ListApiKeysRequest { include_dead: true, page_size: 1, ..of("svc-0") };
    let (page, token) = keys(all.clone()).await;
    assert!(page[0].key_id == first[0].key_id && page[0].revoke_time.is_some(), "oldest first");
    let (page, token) = keys(v1::ListApiKeysRequest { page_token: token, ..all }).await;
    assert_eq!((page, token.as_str()), (vec![second], ""));
}

/// Outside of dev there are real people: the first admin adds them, hands them their keys, and is not needed any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_becomes_an_installation_with_four_eyes() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let (launch, folder) = plain();
    let policy = folder.path().join("policy-config.yaml");
    std::fs::write(&policy, crate::support::document("refund")).unwrap();
    let server = launch.arg("--policy").arg(policy.to_str().unwrap()).database(&database).start().await.unwrap();
    server.ready().await.unwrap();
    let root = admin(&server).await;
    let (rosa, _) = add(&server, &root, "rosa", &["registrar"]).await;
    let (albert, _) = add(&server, &root, "albert", &["approver"]).await;
    let (tickets, _) = add(&server, &root, "ticket-system", &["issuer"]).await;

    // There were no two before albert came; now there are, and he says that the ticket system is nobody's alias.
    let confirm = v1::ConfirmPersonRequest {
        operator_id: "ticket-system".to_owned(),
        person_id: "ticket-system".to_owned(),
        reason: "runs in the service room".to_owned(),
        ..Default::default()
    };
    albert.operators().confirm_person(confirm).await.unwrap();
    rosa.sponsors().register_sponsor(register("bob")).await.unwrap();
    refused(rosa.sponsors().approve_sponsor(approve("bob")).await, Code::PermissionDenied, "ROLE_REQUIRED");
    albert.sponsors().approve_sponsor(approve("bob")).await.unwrap();
    let issued = tickets.credentials().issue_credential(issue("bob")).await.unwrap().into_inner();
    let run = tickets.with_token(&issued.token).unwrap();
    let answer = run.decisions().decide(crate::support::decide("billing", "refund")).await.unwrap().into_inner();
    assert_eq!(answer.effect(), v1::Effect::Allow);

    let story: Vec<(String, String)> = log(&database)
        .await
        .iter()
        .filter(|event| ["sponsor_registered", "sponsor_approved", "credential_issued"].contains(&event.kind()))
        .map(|event| (event.kind().to_owned(), event.text("operator_id").to_owned()))
        .collect();
    let expected =
        [("sponsor_registered", "rosa"), ("sponsor_approved", "albert"), ("credential_issued", "ticket-system")];
    assert_eq!(story, expected.map(|(kind, by)| (kind.to_owned(), by.to_owned())));
}
