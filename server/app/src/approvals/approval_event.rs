//! The content of events about approvals, for the custody log and for webhooks: ids and states without texts that
//! persons wrote, and a summary if many requests of a sponsor wait.

use countersign_core::approval::Approval;
use countersign_ledger::leaf::{Digest, Leaf};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The fields of every event about an approval.
pub(crate) fn leaf(approval: &Approval, leaf: Leaf<'static>) -> Leaf<'static> {
    let call = &approval.call;
    Leaf {
        action: Some(call.action.as_str().to_owned().into()),
        agent_instance_id: Some(call.agent_instance_id.to_string().into()),
        approval_id: Some(approval.approval_id.to_string().into()),
        policy_decision_id: Some(approval.policy_decision_id.to_string().into()),
        request_hash: call.request_hash.map(Digest),
        root_instance_id: Some(approval.root_instance_id.to_string().into()),
        sponsor_id: Some(call.sponsor_id.as_str().to_owned().into()),
        tool_id: Some(call.tool_id.as_str().to_owned().into()),
        ..leaf
    }
}

/// Several requests in one webhook message: how many of the sponsor's requests wait, and the newest of them.
pub(crate) fn summary(newest: &Approval, waiting: usize, log_index: i64) -> Value {
    json!({
        "sponsor_id": newest.call.sponsor_id,
        "state": newest.state,
        "waiting": waiting,
        "newest_approval_id": newest.approval_id,
        "log_index": log_index,
    })
}

/// An approval in a webhook message: what an approver needs to find it, without texts that persons wrote. `log_index`
/// is the log index of the event.
pub(crate) fn notice(approval: &Approval, log_index: i64) -> Value {
    let call = &approval.call;
    let time = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    let mut notice = json!({
        "approval_id": approval.approval_id,
        "policy_decision_id": approval.policy_decision_id,
        "state": approval.state,
        "sponsor_id": call.sponsor_id,
        "agent_instance_id": call.agent_instance_id,
        "root_instance_id": approval.root_instance_id,
        "tool_id": call.tool_id,
        "action": call.action,
        "request_hash": call.request_hash.map(|hash| Digest(hash).to_string()),
        "asked_by": approval.asked_by,
        "answered_by": approval.answer.as_ref().map(|answer| &answer.by),
        "create_time": time(approval.create_time),
        "expire_time": time(approval.expire_time),
        "log_index": log_index,
    });
    if let Value::Object(fields) = &mut notice {
        fields.retain(|_, value| !value.is_null());
    }
    notice
}
