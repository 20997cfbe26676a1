//! More than the server can record: it says so at once, and finishes what it took.

use std::time::Duration;

use countersign_client::v1;
use countersign_integration::Database;
use futures::future::join_all;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::{task::JoinHandle, time::sleep};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::support::{Run, World, decide, eventually, info};

/// Holds the log head as another server's long transaction would: nothing can be recorded until it is let go.
async fn hold_the_log(database: &Database) -> PgConnection {
    let mut connection = database.connect().await.unwrap();
    connection.execute("BEGIN; SELECT * FROM log_head FOR UPDATE").await.unwrap();
    connection
}

type Asked = JoinHandle<Result<v1::DecideResponse, Status>>;

fn ask(run: &Run, times: usize) -> Vec<Asked> {
    let asked = (0..times).map(|_| {
        let connection = run.connection.clone();
        tokio::spawn(async move {
            let mut request = tonic::Request::new(decide("billing", "refund"));
            request.set_timeout(Duration::from_secs(8));
            connection.decisions().decide(request).await.map(Response::into_inner)
        })
    });
    asked.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sheds_with_a_time_to_come_back_and_never_allows() {
    let world = World::start_with(|launch| launch.variable("COUNTERSIGN_LIMITS_RECORDER_QUEUE", "4")).await;
    let run = world.run_of("alice").await;
    let held = hold_the_log(&world.database).await;
    let mut waiting = ask(&run, 1);
    sleep(Duration::from_millis(200)).await;
    // That one is being written; four wait behind it, and the rest is turned away at once.
    let asked = ask(&run, 60);
    sleep(Duration::from_secs(1)).await;
    let (shed, more): (Vec<_>, Vec<_>) = asked.into_iter().partition(JoinHandle::is_finished);
    waiting.extend(more);
    assert_eq!((shed.len(), waiting.len()), (56, 5));
    for answer in join_all(shed).await {
        let status = answer.unwrap().unwrap_err();
        assert_eq!((status.code(), info(&status).reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
        assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    }
    assert!((world.counted("countersign_recorder_shed_total").await - 56.0).abs() < 0.5);
    eventually("the indicators count them", async || {
        let window = v1::GetIndicatorsRequest::default();
        world.rita.status().get_indicators(window).await.unwrap().into_inner().shed_requests == 56
    })
    .await;

    held.close().await.unwrap();
    for answer in join_all(waiting).await {
        assert_eq!(answer.unwrap().unwrap().effect(), v1::Effect::Allow);
    }
    assert_eq!(run.decide("billing", "refund").await.unwrap().effect(), v1::Effect::Allow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_finishes_what_was_accepted() {
    let mut world = World::start().await;
    let run = world.run_of("alice").await;
    let held = hold_the_log(&world.database).await;
    let asked = ask(&run, 10);
    sleep(Duration::from_millis(200)).await;
    world.server.ask_to_stop().unwrap();
    sleep(Duration::from_millis(200)).await;
    assert!(world.server.connect(None).await.is_err(), "a stopping server still takes connections");
    held.close().await.unwrap();
    for answer in join_all(asked).await {
        assert_eq!(answer.unwrap().unwrap().effect(), v1::Effect::Allow);
    }
    let ended = world.server.ended().await.unwrap();
    assert!(ended.success(), "{ended}");
    let recorded = world.log().await.into_iter().filter(|event| event.kind() == "decision").count();
    assert_eq!(recorded, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_while_recording_is_no_allow() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let held = hold_the_log(&world.database).await;
    let question = || {
        let question = v1::DecideRequest { request_id: "again".to_owned(), ..decide("billing", "refund") };
        let mut request = tonic::Request::new(question);
        request.set_timeout(Duration::from_millis(200));
        request
    };
    let status = run.connection.decisions().decide(question()).await.unwrap_err();
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status:?}");
    held.close().await.unwrap();
    // It may stand all the same: asked again with its request id it is the same one.
    let mut request = question();
    request.set_timeout(Duration::from_secs(5));
    let answer = run.connection.decisions().decide(request).await.unwrap().into_inner();
    assert_eq!(answer.effect(), v1::Effect::Allow);
    sleep(Duration::from_millis(100)).await;
    let recorded = world.log().await.into_iter().filter(|event| event.kind() == "decision").count();
    assert_eq!(recorded, 1);
}
