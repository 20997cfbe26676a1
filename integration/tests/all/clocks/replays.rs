//! How long an ALLOW is given again: by no wall clock.

use std::time::{Duration, Instant};

use countersign_client::v1;
use tokio::time::{sleep, sleep_until};
use tonic::{Code, Response, Status};

use super::{Clocks, at, says};
use crate::support::{Run, decide, refused};

/// For so long it is given again.
const WINDOW: Duration = Duration::from_secs(30);
const HOUR: f64 = 3600.0;

async fn ask(run: &Run, id: &str) -> Result<v1::DecideResponse, Status> {
    let call = v1::DecideRequest { request_id: id.to_owned(), ..decide("billing", "refund") };
    run.connection.decisions().decide(call).await.map(Response::into_inner)
}

async fn first(run: &Run, id: &str) -> (Instant, String) {
    let answer = ask(run, id).await.unwrap();
    assert!(answer.effect() == v1::Effect::Allow && !answer.replayed);
    (Instant::now(), answer.policy_decision_id)
}

/// It is given again, as its time is not over.
async fn given(run: &Run, id: &str, (begun, decision): &(Instant, String)) {
    let again = ask(run, id).await;
    assert!(begun.elapsed() < WINDOW, "too slow a machine for this test: {:?}", begun.elapsed());
    let again = again.unwrap();
    assert!(again.replayed && again.policy_decision_id == *decision, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_neither_lengthens_nor_shortens_the_time_of_a_replay() {
    let clocks = Clocks::start().await;
    let run = clocks.run("alice").await;
    let run = run.on(&at(&clocks.other, &run.token).await);
    let mut kept = Vec::new();

    // The server's own: there is no answer while it is wrong, and the same one after it.
    for (id, off) in [("back", -HOUR), ("ahead", HOUR)] {
        let one = first(&run, id).await;
        clocks.clock.is_off_by(off).unwrap();
        refused(ask(&run, id).await, Code::Unavailable, "CLOCK_SKEW");
        says(&clocks.other, false, "the database's").await;
        refused(ask(&run, id).await, Code::Unavailable, "CLOCK_SKEW");
        clocks.clock.is_off_by(0.0).unwrap();
        says(&clocks.other, true, "agrees").await;
        given(&run, id, &one).await;
        kept.push((id, one));
    }

    // Both clocks together, so that they agree; no further than to where the credential is from.
    let both = first(&run, "both").await;
    sleep(Duration::from_secs(13)).await;
    clocks.clock.is_off_by(-12.0).unwrap();
    clocks.database_clock.is_off_by(-12.0).unwrap();
    says(&clocks.good, false, "that one is probably wrong").await;
    says(&clocks.other, true, "agrees").await;
    given(&run, "both", &both).await;
    sleep_until((both.0 + WINDOW + Duration::from_millis(500)).into()).await;
    kept.push(("both", both));
    for (id, (_, decision)) in kept {
        let info = refused(ask(&run, id).await, Code::FailedPrecondition, "ALREADY_DECIDED");
        assert_eq!(info.metadata["policy_decision_id"], decision, "{id}");
    }
    first(&run, "fresh").await;
}
