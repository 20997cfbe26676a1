//! Conversion of custody events: the attested leaf, and the fields that are read from it.

use std::borrow::Cow;

use countersign_app::EventRecord;
use countersign_core::decision::Reason;
use countersign_ledger::{
    commitment::Opening,
    leaf::{Decimal, Digest},
};
use countersign_proto::v1;

use super::{
    decision::recorded_attribute,
    enums::{WireEnum, wire},
    time::leaf_timestamp,
};

pub(crate) fn event(record: EventRecord) -> v1::CustodyEvent {
    let leaf = record.leaf;
    let (purpose, purpose_salt) = opening(record.disclosed.purpose);
    let (reason, reason_salt) = opening(record.disclosed.reason);
    let (on_behalf_of, on_behalf_of_salt) = opening(record.disclosed.on_behalf_of);
    let (agent_version, model, platform) =
        leaf.grant.map(|grant| (grant.agent_version, grant.model, grant.platform)).unwrap_or_default();
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
        // Other kinds of event have different reason codes, which stay in the leaf.
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
        trace_id: super::text(leaf.trace_id),
        span_id: super::text(leaf.span_id),
        recorded_context: leaf.context.iter().map(recorded_attribute).collect(),
        on_behalf_of,
        on_behalf_of_salt,
        on_behalf_of_commitment: hash(leaf.on_behalf_of_commitment),
        agent_version: text(agent_version),
        model: text(model),
        platform: text(platform),
        leaf_hash: record.leaf_hash.to_vec(),
        altered: record.altered,
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

#[cfg(test)]
mod tests {
    use countersign_core::decision::{Effect, Side};
    use countersign_ledger::{
        export::Disclosed,
        leaf::{Kind, Leaf, Rollout, SponsorState, Timestamp},
    };

    use super::*;

    const AT: i64 = 1_767_323_045_000_001;

    fn leaf(kind: Kind) -> Leaf<'static> {
        Leaf::new(kind, "evt_01890a5d-ac96-774b-bcce-b302099a8057", Timestamp::from_micros(AT).unwrap())
    }

    #[test]
    fn a_decision_is_read_out_of_its_leaf() {
        let opening = Opening { salt: [9; 16], text: "refund order 17".into() };
        let leaf = Leaf {
            effect: Some(Effect::Deny),
            reason: Some("NO_MATCHING_RULE".into()),
            sponsor_id: Some("alice".into()),
            sponsor_state: Some(SponsorState::Live),
            policy_decision_id: Some("dec_01890a5d-ac96-774b-bcce-b302099a8057".into()),
            purpose_commitment: Some(Digest(opening.commitment())),
            rollout: Some(Rollout {
                bucket: Some(9_999),
                id: "roll_01890a5d-ac96-774b-bcce-b302099a8057".into(),
                percent: 10,
                side: Some(Side::Baseline),
                ..Default::default()
            }),
            rule_ids: vec!["a".into(), "b".into()],
            emitter_seq: Some(Decimal(u64::MAX)),
            ..leaf(Kind::Decision)
        };
        let disclosed = Disclosed { purpose: Some(opening), ..Default::default() };
        let event = event(EventRecord {
            log_index: 7,
            leaf_bytes: b"{}".to_vec(),
            leaf,
            disclosed,
            leaf_hash: [5; 32],
            altered: true,
        });
        let read = v1::CustodyEvent {
            event_id: "evt_01890a5d-ac96-774b-bcce-b302099a8057".into(),
            log_index: 7,
            kind: v1::EventKind::Decision.into(),
            timestamp: Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 1_000 }),
            received_time: Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 1_000 }),
            leaf_bytes: b"{}".to_vec(),
            purpose: "refund order 17".into(),
            purpose_salt: vec![9; 16],
            purpose_commitment: event.purpose_commitment.clone(),
            effect: v1::Effect::Deny.into(),
            decision_reason: v1::DecisionReason::NoMatchingRule.into(),
            sponsor_id: "alice".into(),
            sponsor_state: v1::SponsorStanding::Live.into(),
            policy_decision_id: "dec_01890a5d-ac96-774b-bcce-b302099a8057".into(),
            rollout_id: "roll_01890a5d-ac96-774b-bcce-b302099a8057".into(),
            bucket: 9_999,
            rollout_side: v1::RolloutSide::Baseline.into(),
            rule_ids: vec!["a".into(), "b".into()],
            emitter_seq: i64::MAX,
            leaf_hash: vec![5; 32],
            altered: true,
            ..Default::default()
        };
        assert_eq!(event, read);
        assert_eq!(event.purpose_commitment.len(), 32);
    }

    #[test]
    fn a_reason_code_of_another_kind_is_no_decision_reason() {
        let leaf = Leaf { reason: Some("REVIEW_LAPSED".into()), ..leaf(Kind::SponsorSuspended) };
        let record = EventRecord {
            leaf,
            leaf_hash: [0; 32],
            log_index: 0,
            leaf_bytes: Vec::new(),
            disclosed: Disclosed::default(),
            altered: false,
        };
        assert_eq!(event(record).decision_reason, 0);
    }
}
