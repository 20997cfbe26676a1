//! Outcomes of allowed calls: each decision has one.

use std::sync::Arc;

use countersign_core::{
    decision::Outcome,
    ids::{EventId, InstanceId},
    names::OperatorId,
};
use countersign_ledger::{
    export::Disclosed,
    leaf::{self, Decimal, Digest, Kind, Leaf},
};
use countersign_store::tool_call::ToolCall;
use time::OffsetDateTime;

use super::batch::Staged;
use crate::{
    Error,
    authenticate::sha256,
    custody::{RecordToolCall, ToolCallRecorded},
    custody_leaf,
};

/// An outcome to record.
pub(crate) struct OutcomeJob {
    pub(crate) event_id: EventId,
    pub(crate) now: OffsetDateTime,
    /// The run that reports; none where an operator does.
    pub(crate) instance: Option<InstanceId>,
    /// The operator that reports for a run.
    pub(crate) operator_id: Option<OperatorId>,
    pub(crate) report: RecordToolCall,
}

impl OutcomeJob {
    /// What makes two reports the same.
    fn fingerprint(&self) -> [u8; 32] {
        let report = &self.report;
        let mut text = report.outcome.as_str().as_bytes().to_vec();
        text.push(0);
        text.extend(report.response_hash.iter().flatten());
        text.push(0);
        text.extend(report.duration_micros.iter().flat_map(|micros| micros.to_be_bytes()));
        sha256(&text)
    }
}

impl Staged<'_> {
    pub(super) fn outcome(&mut self, job: &OutcomeJob) -> Result<ToolCallRecorded, Error> {
        let id = job.report.policy_decision_id;
        let unknown = || Error::not_found("decision", id);
        let (decision, decision_hash) = self.found.decisions.get(&id).ok_or_else(unknown)?;
        let run = job.instance.map(|instance| instance.to_string());
        if run.as_deref().is_some_and(|run| decision.agent_instance_id.as_deref() != Some(run)) {
            return Err(unknown());
        }
        if decision.kind != Kind::Decision || decision.effect != Some(leaf::Effect::Allow) {
            return Err(Error::OutcomeRefused(format!(
                "decision {id} is no ALLOW, so no call stands on it; report outcomes of allowed calls only"
            )));
        }
        let fingerprint = job.fingerprint();
        if let Some(first) = self.found.outcomes.get(&id) {
            if first.fingerprint == fingerprint {
                return Ok(ToolCallRecorded { event_id: first.event_id, log_index: first.log_index });
            }
            return Err(Error::OutcomeRefused(format!(
                "decision {id} has another outcome already, at log index {}; the first one stands",
                first.log_index
            )));
        }
        let leaf = leaf_of(job, decision, *decision_hash);
        let log_index = self.append(Arc::new(custody_leaf::seal(&leaf, Disclosed::default())?));
        self.note_outcome(ToolCall { decision_id: id, event_id: job.event_id, log_index, fingerprint });
        Ok(ToolCallRecorded { event_id: job.event_id, log_index })
    }
}

fn leaf_of(job: &OutcomeJob, decision: &Leaf<'static>, decision_hash: [u8; 32]) -> Leaf<'static> {
    let report = &job.report;
    Leaf {
        action: decision.action.clone(),
        agent_instance_id: decision.agent_instance_id.clone(),
        credential_id: decision.credential_id.clone(),
        decision_ref: Some(Digest(decision_hash)),
        duration_us: report.duration_micros.map(Decimal),
        emitter_id: report.emitter_id.clone().map(Into::into),
        emitter_seq: report.emitter_seq.map(Decimal),
        operator_id: job.operator_id.as_ref().map(|id| id.as_str().to_owned().into()),
        outcome: Some(match report.outcome {
            Outcome::Success => leaf::Outcome::Success,
            Outcome::Failure => leaf::Outcome::Failure,
            Outcome::NotExecuted => leaf::Outcome::NotExecuted,
            Outcome::Unknown => leaf::Outcome::Unknown,
        }),
        parent_agent_id: decision.parent_agent_id.clone(),
        policy_decision_id: decision.policy_decision_id.clone(),
        received_time: custody_leaf::timestamp(job.now),
        request_hash: decision.request_hash,
        response_hash: report.response_hash.map(Digest),
        root_instance_id: decision.root_instance_id.clone(),
        sponsor_id: decision.sponsor_id.clone(),
        sponsor_state: decision.sponsor_state,
        tool_id: decision.tool_id.clone(),
        ..Leaf::new(
            Kind::ToolCall,
            job.event_id.to_string(),
            custody_leaf::timestamp(report.timestamp.unwrap_or(job.now)),
        )
    }
}
