//! Custody events: what is attested, and what can be read out of it.

use std::borrow::Cow;

use countersign_app::EventRecord;
use countersign_core::decision::Reason;
use countersign_ledger::{
    commitment::Opening,
    leaf::{Decimal, Digest},
};
use countersign_proto::v1;

use super::{
    time::leaf_timestamp,
    words::{Word, wire},
};

pub(crate) fn event(record: EventRecord) -> v1::CustodyEvent {
    let leaf = record.leaf;
    let (purpose, purpose_salt) = opening(record.disclosed.purpose);
    let (reason, reason_salt) = opening(record.disclosed.reason);
    let rollout = leaf.rollout.as_ref();
    v1::CustodyEvent {
        event_id: leaf.event_id.into_owned(),
        log_index: record.log_index,
        kind: leaf.kind.to_wire(),
        timestamp: Some(leaf_timestamp(leaf.timestamp)),
        leaf_bytes: record.leaf_bytes,
        purpose,
        purpose_salt,
        reason,
        reason_salt,
        received_time: Some(leaf_timestamp(leaf.received_time)),
        sponsor_id: text(leaf.sponsor_id),
        sponsor_state: wire(leaf.sponsor_state),
        agent_instance_id: text(leaf.agent_instance_id),
        parent_agent_id: text(leaf.parent_agent_id),
        root_instance_id: text(leaf.root_instance_id),
        operator_id: text(leaf.operator_id),
        tool_id: text(leaf.tool_id),
        action: text(leaf.action),
        effect: wire(leaf.effect),
        // Other kinds of event have reason codes of their own; those stay in the leaf.
        decision_reason: wire(leaf.reason.and_then(|reason| reason.parse::<Reason>().ok())),
        rule_ids: leaf.rule_ids.into_iter().map(Cow::into_owned).collect(),
        policy_decision_id: text(leaf.policy_decision_id),
        policy_version: text(leaf.policy_version),
        policy_content_hash: hash(leaf.policy_hash),
        rollout_id: rollout.map(|rollout| rollout.id.to_string()).unwrap_or_default(),
        bucket: rollout.and_then(|rollout| rollout.bucket).map_or(0, i32::from),
        rollout_side: wire(rollout.and_then(|rollout| rollout.side)),
        request_hash: hash(leaf.request_hash),
        response_hash: hash(leaf.response_hash),
        outcome: wire(leaf.outcome),
        decision_ref: hash(leaf.decision_ref),
        custody_ref: hash(leaf.custody_ref),
        emitter_id: text(leaf.emitter_id),
        emitter_seq: leaf.emitter_seq.map_or(0, |Decimal(seq)| i64::try_from(seq).unwrap_or(i64::MAX)),
        purpose_commitment: hash(leaf.purpose_commitment),
        reason_commitment: hash(leaf.reason_commitment),
    }
}

fn text(value: Option<Cow<'_, str>>) -> String {
    value.map(Cow::into_owned).unwrap_or_default()
}

fn hash(digest: Option<Digest>) -> Vec<u8> {
    digest.map(|Digest(bytes)| bytes.to_vec()).unwrap_or_default()
}

fn opening(opening: Option<Opening>) -> (String, Vec<u8>) {
    opening.map(|opening| (opening.text, opening.salt.to_vec())).unwrap_or_default()
}
