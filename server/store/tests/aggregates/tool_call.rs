use countersign_core::{
    decision::Reporter,
    ids::{DecisionId, EventId},
};
use countersign_store::tool_call::{ToolCall, get_all, insert};

use crate::support::{World, exists, id};

#[tokio::test]
async fn a_reporter_reports_once_and_none_for_another() {
    let world = World::start().await;
    let mut conn = world.conn().await;
    let decision_id = DecisionId(id(1));
    let call = |log_index, reporter| ToolCall {
        decision_id,
        event_id: EventId(id(log_index)),
        log_index,
        fingerprint: [2; 32],
        reporter,
    };
    let calls = Reporter::ALL.iter().zip([7, 5, 6]).map(|(reporter, index)| call(index, *reporter)).collect::<Vec<_>>();
    insert(&mut conn, &calls).await.unwrap();
    exists(insert(&mut conn, &[call(9, Reporter::ALL[0])]).await);
    let found = get_all(&mut conn, &[decision_id.0, id(3)]).await.unwrap();
    assert!(found.is_sorted_by_key(|call| call.log_index));
    assert_eq!(found.len(), calls.len());
}
