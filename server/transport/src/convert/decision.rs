//! Conversion of decisions, and the most calls in one batch (`MAX_BATCH`). An agent is not told its bucket and side of
//! a rollout, nor the shadow answer.

use std::mem;

use countersign_app::{
    Caller, Decide, DecisionAnswer, DecisionExplanation, DecisionFilter, DecisionRecord, DecisionSubject, Error,
    ShadowAnswer,
};
use countersign_core::{
    decision::Reason,
    ids::{DecisionId, PolicyVersion},
    text::MAX_TEXT,
};
use countersign_ledger::leaf;
use countersign_proto::v1;

use super::{
    credential::presented,
    enums::{WireEnum, wire},
    idempotency::Idem,
    page::Paging,
    read, text,
    time::{leaf_timestamp, seconds, timestamp},
    violations::{Refused, Violations},
};

/// Most calls in one batch.
pub(crate) const MAX_BATCH: usize = 100;

pub(crate) fn decide(request: v1::DecideRequest) -> Result<Decide, Error> {
    read(|v| call(v, request))
}

pub(crate) fn decide_batch(mut request: v1::BatchDecideRequest) -> Result<(Vec<Decide>, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    let traces: Vec<_> = request.requests.iter_mut().map(|call| mem::take(&mut call.traceparent)).collect();
    read(|v| {
        let idem = v.idempotency("BatchDecide", request_id, &request);
        for (call, traceparent) in request.requests.iter_mut().zip(traces) {
            call.traceparent = traceparent;
        }
        let calls = v.each("requests", request.requests, 1..=MAX_BATCH, call);
        Ok((calls?, idem?))
    })
}

fn call(v: &mut Violations, mut request: v1::DecideRequest) -> Result<Decide, Refused> {
    let request_id = mem::take(&mut request.request_id);
    // Not part of the idempotency: a request that is sent again has another span.
    let traceparent = mem::take(&mut request.traceparent);
    let idempotency = v.idempotency("Decide", request_id, &request);
    let tool_id = v.required("tool_id", &request.tool_id);
    let action = v.required("action", &request.action);
    let purpose = v.optional_text("purpose", request.purpose, MAX_TEXT);
    let request_hash = v.hash("request_hash", &request.request_hash);
    let context = v.context(request.context);
    let approval_id = v.optional("approval_id", &request.approval_id);
    let cached_from = v.optional("cached_from", &request.cached_from);
    let arguments = v.arguments(request.arguments, request_hash.ok().flatten());
    let trace = v.optional("traceparent", &traceparent);
    Ok(Decide {
        subject: presented(request.token).map_or(DecisionSubject::Caller, DecisionSubject::Token),
        tool_id: tool_id?,
        action: action?,
        purpose: purpose?,
        request_hash: request_hash?,
        context: context?,
        approval_id: approval_id?,
        arguments: arguments?,
        refused: None,
        want_receipt: request.want_receipt,
        cached_from: cached_from?,
        trace: trace?,
        idempotency: idempotency?,
    })
}

pub(crate) fn get(request: &v1::GetDecisionRequest) -> Result<DecisionId, Error> {
    read(|v| v.required("policy_decision_id", &request.policy_decision_id))
}

pub(crate) fn explain(request: &v1::ExplainDecisionRequest) -> Result<(DecisionId, Option<PolicyVersion>), Error> {
    read(|v| {
        let decision = v.required("policy_decision_id", &request.policy_decision_id);
        let version = v.optional("policy_version", &request.policy_version);
        Ok((decision?, version?))
    })
}

pub(crate) fn explanation(explained: DecisionExplanation) -> v1::ExplainDecisionResponse {
    v1::ExplainDecisionResponse {
        decision: Some(decision(explained.decision)),
        matched_rule_ids: explained.matched_rule_ids,
        near_misses: explained.near_misses,
        effect: explained.effect.to_wire(),
        reason: Some(v1::Reason { remedy: explained.remedy, ..reason(explained.reason, explained.message) }),
        policy_version: text(explained.policy_version),
        unevaluated_rule_ids: explained.unevaluated_rule_ids,
    }
}

pub(crate) fn list(mut request: v1::ListDecisionsRequest) -> Result<(DecisionFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListDecisions", size, &token, &request);
        let sponsor_id = v.optional("sponsor_id", &request.sponsor_id);
        let agent_instance_id = v.optional("agent_instance_id", &request.agent_instance_id);
        let root_instance_id = v.optional("root_instance_id", &request.root_instance_id);
        let tool_id = v.optional("tool_id", &request.tool_id);
        let action = v.optional("action", &request.action);
        let effect = v.optional_enum("effect", request.effect);
        let reason = v.optional_enum("reason", request.reason);
        let policy_version = v.optional("policy_version", &request.policy_version);
        let rollout_id = v.optional("rollout_id", &request.rollout_id);
        let shadow_effect = v.optional_enum("shadow_effect", request.shadow_effect);
        let start_time = v.instant("start_time", request.start_time);
        let end_time = v.instant("end_time", request.end_time);
        let filter = DecisionFilter {
            sponsor_id: sponsor_id?,
            agent_instance_id: agent_instance_id?,
            root_instance_id: root_instance_id?,
            tool_id: tool_id?,
            action: action?,
            effect: effect?,
            reason: reason?,
            policy_version: policy_version?,
            rollout_id: rollout_id?,
            shadow_effect: shadow_effect?,
            shadow_disagrees: request.shadow_disagrees,
            start_time: start_time?,
            end_time: end_time?,
        };
        Ok((filter, paging?))
    })
}

/// Agents are not told their bucket and side, because they could try ids until one is on the side they prefer; nor the
/// answer of the other side, which reveals the same.
pub(crate) fn answer(answer: DecisionAnswer, caller: &Caller) -> v1::DecideResponse {
    let rollout = answer.rollout.as_ref();
    let told = rollout.filter(|_| caller.operator().is_some());
    let told_shadow = answer.shadow.filter(|_| caller.operator().is_some());
    v1::DecideResponse {
        policy_decision_id: answer.policy_decision_id.to_string(),
        effect: answer.effect.to_wire(),
        reason: Some(reason(answer.reason, answer.message)),
        policy_version: text(answer.policy_version),
        rollout_id: text(rollout.map(|part| part.rollout_id)),
        bucket: told.map_or(0, |part| part.bucket.into()),
        rollout_side: wire(told.map(|part| part.side)),
        rule_ids: answer.rule_ids,
        enforcement: answer.enforcement.to_wire(),
        cache_ttl: Some(seconds(answer.cache_ttl_seconds)),
        extended_cache_ttl: Some(answer.extended_cache_ttl_seconds).filter(|ttl| *ttl > 0).map(seconds),
        log_index: answer.log_index,
        receipt: answer.receipt.unwrap_or_default(),
        approval_id: text(answer.approval_id),
        replayed: answer.replayed,
        shadow: told_shadow.map(|other| shadow(*other)),
    }
}

fn shadow(answer: ShadowAnswer) -> v1::ShadowAnswer {
    let reason = v1::Reason { code: answer.reason.to_wire(), message: answer.message, ..v1::Reason::default() };
    v1::ShadowAnswer {
        effect: answer.effect.to_wire(),
        reason: Some(reason),
        rule_ids: answer.rule_ids,
        policy_version: text(answer.policy_version),
    }
}

pub(crate) fn decision(record: DecisionRecord) -> v1::Decision {
    let rollout = record.rollout.as_ref();
    v1::Decision {
        policy_decision_id: record.policy_decision_id.to_string(),
        effect: record.effect.to_wire(),
        reason: Some(reason(record.reason, record.message)),
        policy_version: text(record.policy_version),
        rollout_id: text(rollout.map(|part| part.rollout_id)),
        bucket: rollout.map_or(0, |part| part.bucket.into()),
        rollout_side: wire(rollout.map(|part| part.side)),
        rule_ids: record.rule_ids,
        enforcement: record.enforcement.to_wire(),
        sponsor_id: text(record.sponsor_id),
        agent_instance_id: text(record.agent_instance_id),
        parent_agent_id: text(record.parent_agent_id),
        root_instance_id: text(record.root_instance_id),
        tool_id: text(record.tool_id),
        action: text(record.action),
        purpose: record.purpose,
        request_hash: record.request_hash.map(Vec::from).unwrap_or_default(),
        operator_id: text(record.operator_id),
        decide_time: Some(timestamp(record.decide_time)),
        log_index: record.log_index,
        policy_content_hash: record.policy_content_hash.map(Vec::from).unwrap_or_default(),
        credential_id: text(record.credential_id),
        agent: text(record.agent),
        role: text(record.role),
        approval_id: text(record.approval_id),
        cached_from: text(record.cached_from),
        // Told to the caller, but not recorded.
        cache_ttl: None,
        shadow_effect: wire(record.shadow.as_ref().map(|shadow| shadow.effect)),
        shadow: record.shadow.map(shadow),
        event_id: record.event_id.to_string(),
        outcome: wire(record.outcome),
        response_hash: record.response_hash.map(Vec::from).unwrap_or_default(),
        outcome_time: record.outcome_time.map(timestamp),
        outcome_operator_id: text(record.outcome_operator_id),
        trace_id: text(record.trace.map(|trace| trace.trace_id)),
        span_id: text(record.trace.map(|trace| trace.span_id)),
        recorded_context: record.context.iter().map(recorded_attribute).collect(),
        altered: record.altered,
    }
}

/// An attribute as it is in the decision's leaf.
pub(super) fn recorded_attribute(attribute: &leaf::Attribute<'_>) -> v1::RecordedAttribute {
    use v1::recorded_attribute::Value;
    let value = match attribute.kind {
        leaf::AttributeType::Integer => attribute.value.parse().map(Value::Integer).ok(),
        leaf::AttributeType::Boolean => attribute.value.parse().map(Value::Boolean).ok(),
        leaf::AttributeType::Word => Some(Value::Word(attribute.value.to_string())),
    };
    v1::RecordedAttribute { name: attribute.name.to_string(), value, time: attribute.time.map(leaf_timestamp) }
}

fn reason(reason: Reason, message: String) -> v1::Reason {
    v1::Reason { code: reason.to_wire(), message, retryable: reason.retryable(), remedy: reason.remedy().to_owned() }
}
