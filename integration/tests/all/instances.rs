//! Instances: stopped one by one, by tree and by the thousand, and the events that follow in the background.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use countersign_client::{Connection, v1};
use countersign_ledger::{leaf::Digest, merkle::leaf_hash};
use tonic::{Code, Response, Status};
use v1::InstanceState as State;

use crate::support::{Event, Run, World, approve, eventually, refused, register};

pub(crate) async fn get(world: &World, id: &str) -> v1::Instance {
    let request = v1::GetInstanceRequest { agent_instance_id: id.to_owned() };
    world.rita.instances().get_instance(request).await.unwrap().into_inner().instance.unwrap()
}

pub(crate) async fn state(world: &World, id: &str) -> State {
    get(world, id).await.state()
}

pub(crate) fn revoke(id: &str) -> v1::RevokeInstanceRequest {
    let (agent_instance_id, reason) = (id.to_owned(), "runs wild".to_owned());
    v1::RevokeInstanceRequest { agent_instance_id, reason, ..Default::default() }
}

pub(crate) fn accept(id: &str, sponsor_id: &str) -> v1::AcceptInstanceRequest {
    v1::AcceptInstanceRequest {
        agent_instance_id: id.to_owned(),
        sponsor_id: sponsor_id.to_owned(),
        reason: "takes over".to_owned(),
        ..Default::default()
    }
}

pub(crate) async fn ask_revoke(
    by: &Connection,
    request: v1::RevokeInstanceRequest,
) -> Result<v1::RevokeInstanceResponse, Status> {
    by.instances().revoke_instance(request).await.map(Response::into_inner)
}

async fn ask_end(by: &Connection, id: &str) -> Result<v1::Instance, Status> {
    let request = v1::EndInstanceRequest { agent_instance_id: id.to_owned(), ..Default::default() };
    by.instances().end_instance(request).await.map(|answer| answer.into_inner().instance.unwrap())
}

pub(crate) async fn ask_accept(by: &Connection, request: v1::AcceptInstanceRequest) -> Result<v1::Instance, Status> {
    by.instances().accept_instance(request).await.map(|answer| answer.into_inner().instance.unwrap())
}

pub(crate) async fn depart(by: &Connection, id: &str) -> v1::DepartSponsorResponse {
    let request =
        v1::DepartSponsorRequest { sponsor_id: id.to_owned(), reason: "left".to_owned(), ..Default::default() };
    by.sponsors().depart_sponsor(request).await.unwrap().into_inner()
}

/// The events of this kind, by instance; waits until there are as many. Each instance has one.
pub(crate) async fn events(world: &World, kind: &str, count: usize) -> BTreeMap<String, Event> {
    let of_kind = async || world.log().await.into_iter().filter(|event| event.kind() == kind).collect::<Vec<_>>();
    eventually(&format!("{count} events {kind}"), async || of_kind().await.len() >= count).await;
    let found = of_kind().await;
    let by_instance: BTreeMap<_, _> =
        found.iter().map(|event| (event.text("agent_instance_id").to_owned(), event.clone())).collect();
    assert_eq!((found.len(), by_instance.len()), (count, count), "one {kind} for each instance");
    by_instance
}

/// How many revocation entries there are.
pub(crate) async fn entries(world: &World) -> i64 {
    let mut connection = world.database.connect().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM revocation").fetch_one(&mut connection).await.unwrap()
}

pub(crate) async fn set(world: &World, statement: &'static str) {
    let mut connection = world.database.connect().await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

pub(crate) async fn denied(run: &Run) -> v1::DecisionReason {
    let answer = run.decide("billing", "refund").await.unwrap();
    assert_eq!(answer.effect(), v1::Effect::Deny);
    answer.reason.unwrap().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_entry_stops_a_tree_and_every_instance_of_it_gets_its_event() {
    let world = World::start().await;
    let root = world.run_of("alice").await;
    let child = root.child().await;
    let grandchild = child.child().await;
    let (deepest, other) = (grandchild.child().await, world.run_of("alice").await);
    let seen = get(&world, &root.id).await;
    refused(
        ask_revoke(&world.rita, v1::RevokeInstanceRequest { etag: "9-LIVE".to_owned(), ..revoke(&root.id) }).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );

    let request = v1::RevokeInstanceRequest { etag: seen.etag, request_id: "r-1".to_owned(), ..revoke(&root.id) };
    let done = ask_revoke(&world.rita, request.clone()).await.unwrap();
    let stopped = done.instance.clone().unwrap();
    assert_eq!((done.revoked_instance_count, stopped.state()), (3, State::Revoked));
    assert!(stopped.end_time.is_some());
    assert_eq!(ask_revoke(&world.rita, request).await.unwrap(), done, "once for a request id");
    assert_eq!(entries(&world).await, 1);
    for run in [&root, &child, &grandchild, &deepest] {
        assert_eq!(denied(run).await, v1::DecisionReason::InstanceNotLive);
        assert_eq!(state(&world, &run.id).await, State::Revoked);
    }
    let below = get(&world, &deepest.id).await;
    assert_eq!(other.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);

    let events = events(&world, "instance_revoked", 4).await;
    let log = world.log().await;
    for run in [&root, &child, &grandchild, &deepest] {
        let event = &events[&run.id];
        let grant = &log[usize::try_from(run.log_index).unwrap()];
        let hash = Digest(leaf_hash(&grant.bytes)).to_string();
        assert_eq!(event.text("custody_ref"), hash, "stands on its last grant");
        assert_eq!((event.text("revocation_seq"), event.text("state_before")), ("1", "LIVE"));
        let operator = if run.id == root.id { "rita" } else { "" };
        assert_eq!(event.text("operator_id"), operator, "only the order itself was a person's");
    }
    // What was seen before its row followed still stands.
    let settled = get(&world, &deepest.id).await;
    assert_eq!((settled.etag, settled.end_time), (below.etag, below.end_time));
    for run in [&root, &deepest] {
        let answer = ask_revoke(&world.rita, revoke(&run.id)).await;
        refused(answer, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
        refused(ask_end(&world.rita, &run.id).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_takes_what_it_started_along() {
    let world = World::start().await;
    let root = world.run_of("alice").await;
    let child = root.child().await;
    let grandchild = child.child().await;
    let ended = ask_end(&world.rita, &child.id).await.unwrap();
    assert_eq!(ended.state(), State::Ended);
    assert_eq!(denied(&child).await, v1::DecisionReason::InstanceNotLive);
    assert_eq!(denied(&grandchild).await, v1::DecisionReason::InstanceNotLive);
    assert_eq!(state(&world, &grandchild.id).await, State::Revoked);
    assert_eq!(root.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    let below = events(&world, "instance_revoked", 1).await;
    assert!(below.contains_key(&grandchild.id));
    let ended = events(&world, "instance_ended", 1).await;
    assert_eq!(ended[&child.id].text("operator_id"), "rita");
    for id in [&child.id, &grandchild.id] {
        refused(ask_end(&world.rita, id).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    }
    refused(ask_accept(&world.oscar, accept(&root.id, "alice")).await, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
}

/// Instances that could as well have been started one by one.
const MANY: i32 = 3_000;

async fn start_many(world: &World, sponsor: &str) {
    let mut connection = world.database.connect().await.unwrap();
    sqlx::query(
        "INSERT INTO instance (instance_id, root_instance_id, chain, sponsor_id, agent, role, tools, purpose, depth, state,
             labels, create_time, expire_time, rev, custody_ref)
         SELECT id, id, '{}', $1, 'support-assistant', 'support', '{billing}', 'triage', 0, 'LIVE', '{}', now(),
             now() + interval '10 minutes', 0, decode(repeat('ab', 32), 'hex')
         FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) AS fresh",
    )
    .bind(sponsor)
    .bind(MANY)
    .execute(&mut connection)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_stop_with_one_write_and_two_servers_give_each_its_event_once() {
    let world = World::start().await;
    let _second = world.second().await;
    world.sponsor("bob").await;
    start_many(&world, "bob").await;
    let (started, size) = (Instant::now(), world.log_size().await);
    let request =
        v1::RevokeSponsorRequest { sponsor_id: "bob".to_owned(), reason: "stop".to_owned(), ..Default::default() };
    let done = world.oscar.sponsors().revoke_sponsor(request).await.unwrap().into_inner();
    let replied = started.elapsed();
    assert_eq!((done.revoked_instance_count, entries(&world).await), (i64::from(MANY), 1));
    // The reply waits for no instance: a fraction of what their events take, on however busy a machine.
    assert!(replied < Duration::from_secs(3), "replied after {replied:?}");
    let request =
        v1::ListInstancesRequest { sponsor_id: "bob".to_owned(), state: State::Live.into(), ..Default::default() };
    let live = world.rita.instances().list_instances(request).await.unwrap().into_inner();
    assert!(live.instances.is_empty(), "nothing is shown as live while the events follow");

    let count = usize::try_from(MANY).unwrap();
    let all = events(&world, "instance_revoked", count).await;
    assert!(all.values().all(|event| event.text("revocation_seq") == "1" && event.text("state_after") == "REVOKED"));
    // And no more than these, with both servers looking.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.log_size().await, size + i64::from(MANY) + 1);
    let mut connection = world.database.connect().await.unwrap();
    let settled: i64 =
        sqlx::query_scalar("SELECT count(*) FROM instance WHERE sponsor_id = 'bob' AND state = 'REVOKED'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(settled, i64::from(MANY));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_server_left_undone_the_next_one_gives() {
    let world = World::start().await;
    world.sponsor("bob").await;
    // As a server leaves it that dies between the reply and the events.
    start_many(&world, "bob").await;
    set(&world, "UPDATE settled_revocation SET seq = 1000").await;
    let request =
        v1::RevokeSponsorRequest { sponsor_id: "bob".to_owned(), reason: "stop".to_owned(), ..Default::default() };
    world.oscar.sponsors().revoke_sponsor(request).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.log().await.iter().all(|event| event.kind() != "instance_revoked"));
    set(&world, "UPDATE settled_revocation SET seq = 0").await;
    events(&world, "instance_revoked", usize::try_from(MANY).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sponsor_may_stop_their_own_instances_without_a_role() {
    let world = World::start().await;
    world.rita.sponsors().register_sponsor(register("rita")).await.unwrap();
    world.oscar.sponsors().approve_sponsor(approve("rita")).await.unwrap();
    let (own, ended, other) = (world.run_of("rita").await, world.run_of("rita").await, world.run_of("alice").await);
    // A second server that has never seen rita's key with more roles.
    set(&world, "UPDATE api_key SET roles = '{auditor}' WHERE operator_id = 'rita'").await;
    set(&world, "UPDATE operator SET roles = '{auditor}' WHERE operator_id = 'rita'").await;
    let second = world.second().await;
    let rita = second.connect(Some(&world.server.operator_key("rita").unwrap())).await.unwrap();

    let unknown = "inst_01890a5d-ac96-774b-bcce-000000000001";
    for id in [other.id.as_str(), unknown] {
        let info = refused(ask_revoke(&rita, revoke(id)).await, Code::PermissionDenied, "ROLE_REQUIRED");
        assert_eq!(info.metadata["roles"], "admin,approver,issuer");
        refused(ask_end(&rita, id).await, Code::PermissionDenied, "ROLE_REQUIRED");
    }
    assert_eq!(ask_revoke(&rita, revoke(&own.id)).await.unwrap().instance.unwrap().state(), State::Revoked);
    assert_eq!(ask_end(&rita, &ended.id).await.unwrap().state(), State::Ended);
    assert_eq!(other.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
    refused(ask_accept(&rita, accept(&own.id, "alice")).await, Code::PermissionDenied, "ROLE_REQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_listed_by_every_state_page_by_page() {
    let world = World::start().await;
    for sponsor in ["bob", "carol"] {
        world.sponsor(sponsor).await;
    }
    let mut wanted: BTreeMap<State, Vec<String>> = BTreeMap::new();
    for _ in 0..3 {
        let live = world.run_of("alice").await;
        wanted.entry(State::Live).or_default().insert(0, live.id);
        let ended = world.run_of("alice").await;
        ask_end(&world.rita, &ended.id).await.unwrap();
        wanted.entry(State::Ended).or_default().insert(0, ended.id);
        let revoked = world.run_of("alice").await;
        ask_revoke(&world.rita, revoke(&revoked.id)).await.unwrap();
        wanted.entry(State::Revoked).or_default().insert(0, revoked.id);
        wanted.entry(State::Orphaned).or_default().insert(0, world.run_of("bob").await.id);
        wanted.entry(State::Expired).or_default().insert(0, world.run_of("carol").await.id);
    }
    set(&world, "UPDATE instance SET expire_time = now() - interval '1 minute' WHERE sponsor_id = 'carol'").await;
    depart(&world.rita, "bob").await;
    // What had expired is not what a revocation stops.
    let request =
        v1::RevokeSponsorRequest { sponsor_id: "carol".to_owned(), reason: "stop".to_owned(), ..Default::default() };
    let done = world.oscar.sponsors().revoke_sponsor(request).await.unwrap().into_inner();
    assert_eq!(done.revoked_instance_count, 0);
    for settled in [false, true] {
        if settled {
            events(&world, "instance_orphaned", 3).await;
        }
        for (state, ids) in &wanted {
            let (mut token, mut seen) = (String::new(), Vec::new());
            loop {
                let request = v1::ListInstancesRequest {
                    page_size: 2,
                    page_token: token,
                    state: (*state).into(),
                    ..Default::default()
                };
                let page = world.rita.instances().list_instances(request).await.unwrap().into_inner();
                assert!(page.instances.len() <= 2 && page.instances.iter().all(|i| i.state() == *state));
                seen.extend(page.instances.into_iter().map(|instance| instance.agent_instance_id));
                token = page.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(&seen, ids, "{state:?}, settled: {settled}");
        }
    }
}
