//! An allowed call without an outcome is UNKNOWN after an hour.

use countersign_core::decision::Outcome;
use countersign_ledger::leaf::Kind;
use time::Duration;

use super::world::{OUTCOME_DEADLINE, TICK, World};
use crate::{Purpose, RecordToolCall};

/// How often the length of the log is noted at most, which is how much later than the deadline an outcome may be closed.
const NOTED: Duration = Duration::MINUTE;

#[tokio::test]
async fn an_outcome_that_nobody_reports_is_unknown_after_an_hour() {
    let world = World::start().await;
    let run = world.issue("alice").await.unwrap();
    let [reported, silent] = [(); 2].map(|()| async { world.decide(&run.token, "read").await.unwrap() });
    let (reported, silent) = (reported.await, silent.await);
    let caller = world.app.authenticate(Some(&run.token), false, Purpose::Reporting).await.unwrap();
    let command = RecordToolCall {
        policy_decision_id: reported.policy_decision_id,
        outcome: Outcome::Success,
        response_hash: None,
        duration_micros: None,
        emitter_id: None,
        emitter_seq: None,
        timestamp: None,
        trace: None,
        idempotency: None,
    };
    world.app.record_tool_call(&caller, command).await.unwrap();
    // The workers look all the time.
    let mut waited = Duration::ZERO;
    while waited < OUTCOME_DEADLINE - NOTED {
        world.passes_and_workers_look(NOTED).await;
        waited += NOTED;
    }
    world.passes_and_workers_look(NOTED - TICK).await;
    assert_eq!(world.events(Kind::ToolCall).await.len(), 1, "the reported one");
    world.passes_and_workers_look(NOTED + TICK).await;
    let calls = world.events(Kind::ToolCall).await;
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].leaf.outcome, Some(Outcome::Unknown));
    let of = silent.policy_decision_id.to_string();
    assert_eq!(calls[1].leaf.policy_decision_id.as_deref(), Some(of.as_str()));
    world.passes_and_workers_look(OUTCOME_DEADLINE).await;
    assert_eq!(world.events(Kind::ToolCall).await.len(), 2);
}
