//! Nobody keeps a stop from working: neither large batches on two servers, nor reads that look through the whole log, nor
//! changes that wait for something else while they hold the head of the log.

use std::time::{Duration, Instant};

use countersign_client::{Connection, v1};
use countersign_integration::{Database, Server};
use futures::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, Executor as _};
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::sleep,
};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::support::{Run, World, decide, info, register};

/// The longest that a stop may take here: far below its deadline. `make soak` holds it to a second, where nothing else runs.
const SOON: Duration = Duration::from_secs(4);

/// Ends its task when dropped.
struct Load(AbortHandle);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Decides in batches of 100 without end.
fn batches(run: &Run) -> Load {
    let connection = run.connection.clone();
    let task = tokio::spawn(async move {
        loop {
            let request =
                v1::BatchDecideRequest { requests: vec![decide("billing", "refund"); 100], ..Default::default() };
            let _answer = connection.decisions().batch_decide(request).await;
        }
    });
    Load(task.abort_handle())
}

/// So many more decisions in the log, past the server: of an action that nobody asks for.
async fn seed(database: &Database, count: i32) {
    let mut connection = database.connect().await.unwrap();
    let rows = sqlx::query(
        "INSERT INTO custody_event (log_index, event_id, kind, tool_id, effect, leaf_bytes)
         SELECT -n, (substr(event_id::text, 1, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid, kind, tool_id, effect,
                leaf_bytes
         FROM (SELECT * FROM custody_event WHERE kind = 'decision' ORDER BY log_index DESC LIMIT 1) AS event,
              generate_series(1, $1) AS n",
    );
    assert_eq!(
        rows.bind(count).execute(&mut connection).await.unwrap().rows_affected(),
        u64::from(count.unsigned_abs())
    );
}

type Listed = Result<usize, Status>;

/// Lists what there is none of, so often at once.
fn scans(connection: &Connection, times: usize) -> Vec<JoinHandle<Listed>> {
    let scan = |_| {
        let connection = connection.clone();
        tokio::spawn(async move {
            let request = v1::ListDecisionsRequest { action: "nothing".to_owned(), ..Default::default() };
            let listed = connection.decisions().list_decisions(request).await;
            listed.map(|page| page.into_inner().decisions.len())
        })
    };
    (0..times).map(scan).collect()
}

async fn engage(operator: &Connection) -> Result<(), Status> {
    let request = v1::EngageKillSwitchRequest {
        scope: v1::KillSwitchScope::Tool.into(),
        id: format!("tool-{}", rand_id()),
        reason: "drill".to_owned(),
        ..Default::default()
    };
    operator.policies().engage_kill_switch(request).await.map(drop)
}

fn rand_id() -> u128 {
    Instant::now().elapsed().as_nanos() ^ std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()
}

async fn revoke(operator: &Connection, id: &str) -> Result<(), Status> {
    let request = v1::RevokeInstanceRequest {
        agent_instance_id: id.to_owned(),
        reason: "drill".to_owned(),
        ..Default::default()
    };
    operator.instances().revoke_instance(request).await.map(drop)
}

/// How long it took; it must have been done.
async fn took(what: &str, stop: impl Future<Output = Result<(), Status>>) -> Duration {
    let begun = Instant::now();
    stop.await.unwrap_or_else(|status| panic!("{what}: {status:?}"));
    let took = begun.elapsed();
    println!("{what}: {took:?}");
    took
}

async fn operator(server: &Server, world: &World, id: &str) -> Connection {
    server.connect(Some(&world.server.operator_key(id).unwrap())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_pass_large_batches_and_reads_of_the_whole_log_on_two_servers() {
    let world = World::start().await;
    let second = world.second().await;
    let elsewhere = second.connect(None).await.unwrap();
    let (here, there) = (world.run_of("alice").await, world.run_of("alice").await.on(&elsewhere));
    here.decide("billing", "refund").await.unwrap();
    seed(&world.database, 40_000).await;
    let mut doomed = Vec::new();
    for _ in 0..4 {
        doomed.push(world.run_of("alice").await);
    }
    let _load: Vec<_> = (0..6).flat_map(|_| [batches(&here), batches(&there)]).collect();
    let reads = scans(&world.rita, 40);
    sleep(Duration::from_millis(500)).await;
    let oscar_there = operator(&second, &world, "oscar").await;
    let mut slowest = Duration::ZERO;
    for (n, pair) in doomed.chunks(2).enumerate() {
        for (operator, run, place) in [(&world.rita, &pair[0], "here"), (&oscar_there, &pair[1], "there")] {
            // Oscar may revoke as an approver, rita as an issuer.
            slowest = slowest.max(took(&format!("EngageKillSwitch {place} {n}"), engage(operator)).await);
            slowest = slowest.max(took(&format!("RevokeInstance {place} {n}"), revoke(operator, &run.id)).await);
        }
    }
    for read in reads {
        match read.await.unwrap() {
            Ok(found) => assert_eq!(found, 0),
            Err(status) => {
                let reason = info(&status).reason;
                assert!(["RATE_LIMITED", "OVERLOADED", "QUERY_TOO_SLOW"].contains(&reason.as_str()), "{status:?}");
                assert_eq!(status.get_details_retry_info().is_some(), reason != "QUERY_TOO_SLOW", "{status:?}");
            }
        }
    }
    assert!(slowest < SOON, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_pass_changes_and_reads_that_all_hang() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let mut locked = world.database.connect().await.unwrap();
    locked.execute("BEGIN; LOCK TABLE sponsor IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let changes = (0..20).map(|n| {
        let rita = world.rita.clone();
        tokio::spawn(async move { rita.sponsors().register_sponsor(register(&format!("s{n}"))).await.map(drop) })
    });
    let reads = (0..20).map(|_| {
        let oscar = world.oscar.clone();
        tokio::spawn(async move { oscar.sponsors().list_sponsors(v1::ListSponsorsRequest::default()).await.map(drop) })
    });
    let hung: Vec<JoinHandle<Result<(), Status>>> = changes.chain(reads).collect();
    sleep(Duration::from_millis(500)).await;
    for n in 0..3 {
        assert!(took(&format!("EngageKillSwitch {n}"), engage(&world.rita)).await < SOON);
        let begun = Instant::now();
        let answer = run.decide("billing", "refund").await.map(|answer| answer.effect());
        println!("Decide {n}: {:?}", begun.elapsed());
        assert_eq!(answer.unwrap(), v1::Effect::Allow);
    }
    locked.close().await.unwrap();
    for ended in join_all(hung).await {
        // Nobody waited for the lock for long, and all were told to come back.
        if let Err(status) = ended.unwrap() {
            assert!(
                status.get_details_retry_info().is_some() || info(&status).reason == "QUERY_TOO_SLOW",
                "{status:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_made_again_where_the_database_ended_its_silent_session() {
    let world = World::start().await;
    let mut held = world.database.connect().await.unwrap();
    held.execute("BEGIN; SELECT * FROM log_head FOR UPDATE").await.unwrap();
    let rita = world.rita.clone();
    let stopping = tokio::spawn(async move { engage(&rita).await });
    sleep(Duration::from_secs(1)).await;
    let server = Pid::from_raw(i32::try_from(world.server.pid()).unwrap()).unwrap();
    kill_process(server, Signal::STOP).unwrap();
    // It gets the head now, and says nothing for longer than who has it may.
    held.close().await.unwrap();
    sleep(Duration::from_millis(3_500)).await;
    kill_process(server, Signal::CONT).unwrap();
    stopping.await.unwrap().unwrap();
    let engaged = world.log().await.into_iter().filter(|event| event.kind() == "kill_switch_engaged").count();
    assert_eq!(engaged, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_takes_too_long_is_ended_and_says_how_to_ask_for_less() {
    let world = World::start_with(|launch| launch.variable("COUNTERSIGN_LIMITS_READ_TIMEOUT_MS", "100")).await;
    let run = world.run_of("alice").await;
    run.decide("billing", "refund").await.unwrap();
    seed(&world.database, 60_000).await;
    let status = scans(&world.rita, 1).pop().unwrap().await.unwrap().unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::FailedPrecondition, "QUERY_TOO_SLOW"));
    assert!(status.message().contains("narrower filter"), "{}", status.message());
    assert!(status.get_details_retry_info().is_none());
    // What an index finds is read as ever.
    let chain = v1::GetCustodyChainRequest {
        subject: Some(v1::get_custody_chain_request::Subject::AgentInstanceId(run.id.clone())),
    };
    world.oscar.custody().get_custody_chain(chain).await.map(Response::into_inner).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_taken_from_an_operator_who_is_over_the_rate_of_other_calls() {
    let world = World::start_with(|launch| {
        launch
            .variable("COUNTERSIGN_LIMITS_OPERATOR_CALLS_PER_SECOND", "1")
            .variable("COUNTERSIGN_LIMITS_OPERATOR_CALLS_BURST", "1")
    })
    .await;
    let refused = async || {
        let listed = world.rita.policies().list_kill_switches(v1::ListKillSwitchesRequest::default()).await;
        listed.is_err_and(|status| info(&status).reason == "RATE_LIMITED")
    };
    while !refused().await {}
    for _ in 0..20 {
        engage(&world.rita).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_of_stops_without_end_halt_no_server() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let mut connection = world.database.connect().await.unwrap();
    let flood = tokio::spawn(async move {
        for n in 0.. {
            let notice = format!("begin made-up/{n}");
            sqlx::query("SELECT pg_notify('countersign_stops', $1)")
                .bind(notice)
                .execute(&mut connection)
                .await
                .unwrap();
            sleep(Duration::from_millis(2)).await;
        }
    });
    sleep(Duration::from_millis(200)).await;
    let (begun, mut answered) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(2) {
        run.decide("billing", "refund").await.unwrap();
        answered += 1;
    }
    flood.abort();
    println!("{answered} decisions in 2 s");
    assert!(answered > 40, "{answered}");
}
