//! Outcomes of allowed calls: each decision has one. The same report again is answered alike, and a different one is
//! refused; UNKNOWN at the deadline is provisional, and an operator may follow up a run's report. A run may report only
//! its own calls; the rule for operators is in `core/decision/reporter.rs`.

use std::{sync::Arc, time::Instant};

use countersign_core::decision::{Effect, Outcome, Reporter, may_report};
use countersign_ledger::{
    export::Disclosed,
    leaf::{Decimal, Digest, Kind, Leaf},
};
use countersign_store::tool_call::ToolCall;

use super::{
    batch::BatchBuilder,
    job::{Job, OutcomeJob},
    preload::Wanted,
};
use crate::{Error, custody::event::ToolCallRecorded, engine::custody_leaf, engine::sha256::sha256};

impl OutcomeJob {
    /// What makes two reports the same.
    fn fingerprint(&self) -> [u8; 32] {
        let report = &self.report;
        fingerprint(report.outcome, report.response_hash, report.duration_micros)
    }

    const fn reporter(&self) -> Reporter {
        if self.instance.is_some() { Reporter::Run } else { Reporter::Operator }
    }
}

/// What makes two reports the same.
pub(crate) fn fingerprint(outcome: Outcome, response_hash: Option<[u8; 32]>, duration_micros: Option<u64>) -> [u8; 32] {
    let mut text = outcome.as_str().as_bytes().to_vec();
    text.push(0);
    text.extend(response_hash.iter().flatten());
    text.push(0);
    text.extend(duration_micros.iter().flat_map(|micros| micros.to_be_bytes()));
    sha256(&text)
}

impl Job for OutcomeJob {
    type Reply = ToolCallRecorded;
    const KEPT_AS: &'static [&'static str] = &["Outcome"];

    fn wants(&self, wanted: &mut Wanted, _epoch: i64) {
        wanted.decisions.push(self.report.policy_decision_id);
    }

    fn record(&self, batch: &mut BatchBuilder<'_>, _arrived: Instant) -> Result<ToolCallRecorded, Error> {
        batch.outcome(self)
    }

    fn log_index(reply: &ToolCallRecorded) -> i64 {
        reply.log_index
    }

    fn again(&self, _batch: &BatchBuilder<'_>, kept: ToolCallRecorded) -> Result<ToolCallRecorded, Error> {
        Ok(kept)
    }
}

impl BatchBuilder<'_> {
    fn outcome(&mut self, job: &OutcomeJob) -> Result<ToolCallRecorded, Error> {
        let id = job.report.policy_decision_id;
        let unknown = || Error::not_found("decision", id);
        let (decision, decision_hash) = self.found.decisions.get(&id).ok_or_else(unknown)?;
        let run = job.instance.map(|instance| instance.to_string());
        if run.as_deref().is_some_and(|run| decision.agent_instance_id.as_deref() != Some(run)) {
            return Err(unknown());
        }
        if decision.kind != Kind::Decision || decision.effect != Some(Effect::Allow) {
            return Err(Error::OutcomeRefused(format!(
                "decision {id} is not an ALLOW; report outcomes of allowed calls only"
            )));
        }
        may_report(decision.operator_id.as_deref(), job.operator.as_ref().map(|operator| &operator.operator_id))
            .map_err(|why| Error::OutcomeRefused(format!("decision {id} {why}")))?;
        if let Some(operator) = &job.operator {
            operator.within(&format!("it may not report how the call of decision {id} ended"), |scope| {
                scope.has_call(decision.sponsor_id.as_deref(), decision.tool_id.as_deref())
            })?;
        }
        let (fingerprint, reporter) = (job.fingerprint(), job.reporter());
        match follows(self.outcomes(id), reporter, &fingerprint) {
            Follows::Said(first) => {
                return Ok(ToolCallRecorded { event_id: first.event_id, log_index: first.log_index });
            }
            Follows::Contradicts(first) => {
                return Err(Error::OutcomeRefused(format!(
                    "decision {id} has another outcome already, at log index {}, which stands",
                    first.log_index
                )));
            }
            Follows::Adds => {}
        }
        let leaf = leaf_of(job, decision, *decision_hash);
        let log_index = self.append(Arc::new(custody_leaf::seal(&leaf, Disclosed::default())?))?;
        let call = ToolCall { decision_id: id, event_id: job.event_id, log_index, fingerprint, reporter };
        self.delta.outcomes.entry(id).or_default().push(call);
        Ok(ToolCallRecorded { event_id: job.event_id, log_index })
    }
}

/// What a report is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows<'a> {
    /// The same was said before.
    Said(&'a ToolCall),
    /// Another one stands.
    Contradicts(&'a ToolCall),
    /// It is recorded beside them.
    Adds,
}

/// What a report of `reporter` is to those before it. What the server said at the deadline is provisional; what a run says an
/// operator may follow up, and nobody an operator.
fn follows<'a>(
    before: impl Iterator<Item = &'a ToolCall> + Clone,
    reporter: Reporter,
    fingerprint: &[u8; 32],
) -> Follows<'a> {
    let mut standing = before.filter(|call| call.reporter != Reporter::Server);
    if let Some(same) = standing.clone().find(|call| call.fingerprint == *fingerprint) {
        return Follows::Said(same);
    }
    let stands = |call: &&ToolCall| call.reporter == reporter || call.reporter == Reporter::Operator;
    standing.find(stands).map_or(Follows::Adds, Follows::Contradicts)
}

/// What an outcome says of the decision that it answers.
pub(crate) fn answers(decision: &Leaf<'static>, decision_hash: [u8; 32], leaf: Leaf<'static>) -> Leaf<'static> {
    Leaf {
        action: decision.action.clone(),
        agent_instance_id: decision.agent_instance_id.clone(),
        credential_id: decision.credential_id.clone(),
        decision_ref: Some(Digest(decision_hash)),
        parent_agent_id: decision.parent_agent_id.clone(),
        policy_decision_id: decision.policy_decision_id.clone(),
        request_hash: decision.request_hash,
        root_instance_id: decision.root_instance_id.clone(),
        sponsor_id: decision.sponsor_id.clone(),
        sponsor_state: decision.sponsor_state,
        tool_id: decision.tool_id.clone(),
        ..leaf
    }
}

fn leaf_of(job: &OutcomeJob, decision: &Leaf<'static>, decision_hash: [u8; 32]) -> Leaf<'static> {
    let report = &job.report;
    let own = Leaf {
        duration_us: report.duration_micros.map(Decimal),
        emitter_id: report.emitter_id.clone().map(Into::into),
        emitter_seq: report.emitter_seq.map(Decimal),
        operator_id: job.operator.as_ref().map(|operator| operator.operator_id.as_str().to_owned().into()),
        outcome: Some(report.outcome),
        received_time: custody_leaf::timestamp(job.now),
        response_hash: report.response_hash.map(Digest),
        span_id: report.trace.map(|trace| trace.span_id),
        trace_id: report.trace.map(|trace| trace.trace_id),
        ..Leaf::new(
            Kind::ToolCall,
            job.event_id.to_string(),
            custody_leaf::timestamp(report.timestamp.unwrap_or(job.now)),
        )
    };
    answers(decision, decision_hash, own)
}

#[cfg(test)]
mod tests {
    use countersign_core::ids::{DecisionId, EventId};

    use super::*;
    use crate::testing::NOW;

    fn call(reporter: Reporter, outcome: Outcome) -> ToolCall {
        let id = || countersign_core::clock::uuid_v7(NOW, &countersign_core::clock::SystemEntropy);
        let fingerprint = fingerprint(outcome, None, None);
        ToolCall { decision_id: DecisionId(id()), event_id: EventId(id()), log_index: 1, fingerprint, reporter }
    }

    #[test]
    fn a_gate_follows_a_run_and_anybody_the_server_and_nobody_a_gate() {
        use Outcome::{Failure, Success, Unknown};
        use Reporter::{Operator, Run, Server};
        for (before, reporter, outcome, adds) in [
            (vec![], Run, Success, true),
            (vec![(Run, Success)], Run, Failure, false),
            (vec![(Run, Success)], Operator, Failure, true),
            (vec![(Run, Success), (Operator, Failure)], Operator, Unknown, false),
            (vec![(Operator, Failure)], Run, Success, false),
            (vec![(Server, Unknown)], Run, Success, true),
            (vec![(Server, Unknown)], Run, Unknown, true),
            (vec![(Server, Unknown), (Run, Success)], Run, Failure, false),
            (vec![(Server, Unknown), (Run, Success)], Operator, Failure, true),
        ] {
            let calls: Vec<_> = before.iter().map(|(reporter, outcome)| call(*reporter, *outcome)).collect();
            let follows = follows(calls.iter(), reporter, &fingerprint(outcome, None, None));
            assert_eq!(follows == Follows::Adds, adds, "{outcome} of {reporter} after {before:?}");
        }
        let said = [call(Run, Success), call(Operator, Failure)];
        let again = follows(said.iter(), Run, &said[0].fingerprint);
        assert_eq!(again, Follows::Said(&said[0]), "what was said before is answered alike");
    }
}
