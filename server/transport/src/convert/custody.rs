//! Conversion of outcomes of tool calls, filters of events, custody chains and subjects of evidence. Which roles read
//! the names of persons in a chain (`NAME_READERS`).

use std::mem;

use countersign_app::{
    Caller, ChainSubject, CustodyChain, Error, EventFilter, EvidenceSubject, OpenDecisionFilter, RecordToolCall,
    SponsorPeriod, ToolCallRecorded,
};
use countersign_core::{
    approval::Private,
    names,
    operator::{OperatorRole, Roles},
};
use countersign_proto::v1::{self, get_custody_chain_request::Subject};

use super::{
    approval,
    decision::{self, MAX_BATCH},
    event,
    idempotency::Idem,
    instance,
    page::Paging,
    read, sponsor,
    violations::{Refused, Violations},
};

pub(crate) fn record(request: v1::RecordToolCallRequest) -> Result<RecordToolCall, Error> {
    read(|v| outcome(v, request))
}

pub(crate) fn record_batch(mut request: v1::BatchRecordToolCallsRequest) -> Result<(Vec<RecordToolCall>, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    let traces: Vec<_> = request.requests.iter_mut().map(|report| mem::take(&mut report.traceparent)).collect();
    read(|v| {
        let idem = v.idempotency("BatchRecordToolCalls", request_id, &request);
        for (report, traceparent) in request.requests.iter_mut().zip(traces) {
            report.traceparent = traceparent;
        }
        let outcomes = v.each("requests", request.requests, 1..=MAX_BATCH, outcome);
        Ok((outcomes?, idem?))
    })
}

fn outcome(v: &mut Violations, mut request: v1::RecordToolCallRequest) -> Result<RecordToolCall, Refused> {
    let request_id = mem::take(&mut request.request_id);
    // Not part of the idempotency: a report that is sent again has another span.
    let traceparent = mem::take(&mut request.traceparent);
    let idempotency = v.idempotency("RecordToolCall", request_id, &request);
    let policy_decision_id = v.required("policy_decision_id", &request.policy_decision_id);
    let outcome = v.enum_value("outcome", request.outcome);
    let response_hash = v.hash("response_hash", &request.response_hash);
    let duration_micros = v.microseconds("duration", request.duration);
    let emitter_id = emitter(v, request.emitter_id);
    let emitter_seq: Result<u64, _> = v.number("emitter_seq", request.emitter_seq, 0..=i64::MAX);
    let timestamp = v.instant("timestamp", request.timestamp);
    let trace = v.optional("traceparent", &traceparent);
    Ok(RecordToolCall {
        policy_decision_id: policy_decision_id?,
        outcome: outcome?,
        response_hash: response_hash?,
        duration_micros: duration_micros?,
        emitter_id: emitter_id?,
        emitter_seq: Some(emitter_seq?).filter(|seq| *seq > 0),
        timestamp: timestamp?,
        trace: trace?,
        idempotency: idempotency?,
    })
}

/// The reporter; empty means the caller.
fn emitter(v: &mut Violations, emitter_id: String) -> Result<Option<String>, Refused> {
    if emitter_id.is_empty() || names::is_name(&emitter_id) {
        return Ok(Some(emitter_id).filter(|id| !id.is_empty()));
    }
    Err(v.refuse("emitter_id", format!("must be {}", names::SHAPE)))
}

pub(crate) fn list(mut request: v1::ListEventsRequest) -> Result<(EventFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListEvents", size, &token, &request);
        let start_index = v.number("start_index", request.start_index, 0..=i64::MAX);
        let kind = v.optional_enum("kind", request.kind);
        let sponsor_id = v.optional("sponsor_id", &request.sponsor_id);
        let root_instance_id = v.optional("root_instance_id", &request.root_instance_id);
        let agent_instance_id = v.optional("agent_instance_id", &request.agent_instance_id);
        let tool_id = v.optional("tool_id", &request.tool_id);
        let effect = v.optional_enum("effect", request.effect);
        let policy_decision_id = v.optional("policy_decision_id", &request.policy_decision_id);
        let start_time = v.instant("start_time", request.start_time);
        let end_time = v.instant("end_time", request.end_time);
        let filter = EventFilter {
            start_index: Some(start_index?).filter(|index| *index > 0),
            kind: kind?,
            sponsor_id: sponsor_id?,
            root_instance_id: root_instance_id?,
            agent_instance_id: agent_instance_id?,
            tool_id: tool_id?,
            effect: effect?,
            policy_decision_id: policy_decision_id?,
            start_time: start_time?,
            end_time: end_time?,
        };
        Ok((filter, paging?))
    })
}

pub(crate) fn list_open(mut request: v1::ListOpenDecisionsRequest) -> Result<(OpenDecisionFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListOpenDecisions", size, &token, &request);
        let sponsor_id = v.optional("sponsor_id", &request.sponsor_id);
        let agent_instance_id = v.optional("agent_instance_id", &request.agent_instance_id);
        let tool_id = v.optional("tool_id", &request.tool_id);
        let start_time = v.instant("start_time", request.start_time);
        let end_time = v.instant("end_time", request.end_time);
        let filter = OpenDecisionFilter {
            sponsor_id: sponsor_id?,
            agent_instance_id: agent_instance_id?,
            tool_id: tool_id?,
            start_time: start_time?,
            end_time: end_time?,
        };
        Ok((filter, paging?))
    })
}

pub(crate) fn subject(request: &v1::GetCustodyChainRequest) -> Result<ChainSubject, Error> {
    read(|v| match &request.subject {
        Some(Subject::PolicyDecisionId(id)) => v.required("policy_decision_id", id).map(ChainSubject::Decision),
        Some(Subject::AgentInstanceId(id)) => v.required("agent_instance_id", id).map(ChainSubject::Instance),
        Some(Subject::EventId(id)) => v.required("event_id", id).map(ChainSubject::Event),
        None => Err(v.refuse("subject", "is required: exactly one of policy_decision_id, agent_instance_id, event_id")),
    })
}

pub(crate) fn evidence(request: v1::ExportEvidenceRequest) -> Result<EvidenceSubject, Error> {
    use v1::export_evidence_request::Subject;
    let chain = EvidenceSubject::Chain;
    read(|v| match request.subject {
        Some(Subject::PolicyDecisionId(id)) => {
            v.required("policy_decision_id", &id).map(|id| chain(ChainSubject::Decision(id)))
        }
        Some(Subject::AgentInstanceId(id)) => {
            v.required("agent_instance_id", &id).map(|id| chain(ChainSubject::Instance(id)))
        }
        Some(Subject::EventId(id)) => v.required("event_id", &id).map(|id| chain(ChainSubject::Event(id))),
        Some(Subject::SponsorPeriod(period)) => {
            let sponsor_id = v.required("sponsor_period.sponsor_id", &period.sponsor_id);
            let start = v.instant("sponsor_period.start_time", period.start_time);
            let end = v.instant("sponsor_period.end_time", period.end_time);
            let (sponsor_id, start, end) = (sponsor_id?, start?, end?);
            match (start, end) {
                (Some(start_time), Some(end_time)) if start_time < end_time => {
                    Ok(EvidenceSubject::Sponsor(SponsorPeriod { sponsor_id, start_time, end_time }))
                }
                _ => Err(v.refuse("sponsor_period", "must have a start_time and a later end_time")),
            }
        }
        None => {
            let why = "is required: exactly one of policy_decision_id, agent_instance_id, event_id, sponsor_period";
            Err(v.refuse("subject", why))
        }
    })
}

pub(crate) fn recorded(recorded: &ToolCallRecorded) -> v1::RecordToolCallResponse {
    v1::RecordToolCallResponse { event_id: recorded.event_id.to_string(), log_index: recorded.log_index }
}

/// The roles that may read the names of persons in a chain. An enforcement point needs only the calls and the sponsor's
/// id.
const NAME_READERS: Roles = Roles::of(&[OperatorRole::Auditor, OperatorRole::Admin]);

/// A chain with what `caller` may read.
pub(crate) fn chain(mut chain: CustodyChain, caller: &Caller) -> v1::CustodyChain {
    if !caller.operator().is_some_and(|operator| operator.roles.meets(NAME_READERS)) {
        without_names(&mut chain);
    }
    v1::CustodyChain {
        sponsor: chain.sponsor.map(sponsor::sponsor),
        instances: chain.instances.into_iter().map(instance::instance).collect(),
        decisions: chain.decisions.into_iter().map(decision::decision).collect(),
        events: chain.events.into_iter().map(event::event).collect(),
        truncated: chain.truncated,
        approvals: chain.approvals.into_iter().map(approval::approval).collect(),
    }
}

/// Removes the sponsor's name and e-mail address, the end users for whom runs act, and what the persons who approved saw and
/// wrote. The commitments to them stay.
fn without_names(chain: &mut CustodyChain) {
    if let Some(sponsor) = &mut chain.sponsor {
        sponsor.display_name.clear();
        sponsor.email.clear();
        sponsor.person_id.take();
    }
    for event in &mut chain.events {
        event.disclosed.identity = None;
        event.disclosed.on_behalf_of = None;
    }
    for approval in &mut chain.approvals {
        approval.call.context = Private::default();
        approval.arguments = None;
        if let Some(answer) = &mut approval.answer {
            answer.reason.clear();
        }
    }
}
