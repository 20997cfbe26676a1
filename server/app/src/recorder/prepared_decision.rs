//! A decision with its answer and its leaf (what the custody log states of it), ready to append, as long as the epoch
//! is still the one it was evaluated at.

use std::sync::Arc;

use countersign_core::decision::{Effect, Enforcement, Reason};
use countersign_ledger::{
    export::Disclosed,
    leaf::{self, Decimal, Digest, Kind, Leaf, SponsorState},
};
use countersign_store::event::NewEvent;

use crate::{
    DecisionAnswer, Error, ShadowAnswer, StandsOn,
    authority::snapshot::Snapshot,
    decisions::{
        decision::{explain, explain_approval},
        evaluation::{
            evaluate::evaluate,
            policy_outcome::PolicyOutcome,
            request::{DecisionRequest, Subject},
            verdict::{NoPolicy, RolloutPlace, Verdict},
        },
    },
    engine::custody_leaf::{self, MAX_RULES},
    recorder::indicators::DecisionMetrics,
};

/// A decision that only lacks its place in the log.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) epoch: i64,
    pub(crate) event: Arc<NewEvent>,
    /// `log_index` is filled in when it has one.
    pub(crate) answer: DecisionAnswer,
    pub(crate) uses_credential: bool,
    /// What it adds to the indicators once it is recorded.
    pub(crate) of_decision: DecisionMetrics,
    /// Whether a person must say yes first: what became of that is read where it is recorded.
    pub(crate) asks: bool,
}

/// What became of a question that was evaluated ahead.
#[derive(Debug)]
pub(crate) enum Preparation {
    /// It has an answer.
    Ready(Arc<Prepared>),
    /// No policy answers: neither ALLOW nor DENY would be true.
    NoPolicy,
}

impl Preparation {
    /// Evaluates `question` and writes the leaf.
    pub(crate) fn of(question: &DecisionRequest, snapshot: &Snapshot) -> Result<Self, Error> {
        match evaluate(question, snapshot) {
            Ok(verdict) => Ok(Self::Ready(Arc::new(Prepared::of(question, &verdict, snapshot.epoch)?))),
            Err(NoPolicy) => Ok(Self::NoPolicy),
        }
    }

    /// The answer, if there is one.
    pub(crate) fn answer(&self) -> Option<&Prepared> {
        match self {
            Self::Ready(prepared) => Some(prepared),
            Self::NoPolicy => None,
        }
    }
}

impl Prepared {
    /// Writes the leaf of this verdict.
    pub(crate) fn of(question: &DecisionRequest, verdict: &Verdict, epoch: i64) -> Result<Self, Error> {
        let disclosed = Disclosed { purpose: question.purpose_opening.clone(), ..Disclosed::default() };
        let event = custody_leaf::seal(&leaf(question, verdict, epoch), disclosed)?;
        Ok(Self {
            epoch,
            event: Arc::new(event),
            answer: answer(question, verdict),
            uses_credential: verdict.uses_credential,
            of_decision: DecisionMetrics {
                missing_sponsor: matches!(question.subject, Subject::Unattributed(_)),
                without_sponsor: question.without_sponsor.clone(),
                asked_by: question.operator_id.clone(),
                policy_error: verdict.outcome.reason == Reason::PolicyError,
                observed: verdict.enforcement == Enforcement::Shadow,
                compared: verdict.compared.clone(),
            },
            asks: verdict.outcome.effect == Effect::RequireApproval && verdict.enforcement == Enforcement::Enforced,
        })
    }
}

fn answer(question: &DecisionRequest, verdict: &Verdict) -> DecisionAnswer {
    let PolicyOutcome { effect, reason, rule_ids, policy, .. } = &verdict.outcome;
    let rule_ids: Vec<String> = rule_ids.iter().take(MAX_RULES).map(ToString::to_string).collect();
    let approval = verdict.approval.as_ref();
    let stands_on_it = approval.is_some_and(|approval| approval.leaf.is_some());
    let mut message = explain(*reason, question.tool_id.as_str(), question.action.as_str(), &rule_ids);
    message.push_str(explain_approval(*reason, approval.is_some(), stands_on_it));
    if let Some(said) = approval.and_then(|approval| approval.said.as_ref()) {
        message = format!("{message}: {said}");
    }
    DecisionAnswer {
        policy_decision_id: question.decision_id,
        effect: *effect,
        reason: *reason,
        message,
        rule_ids,
        policy_version: policy.map(|policy| policy.version),
        rollout: verdict.rollout.map(|place| place.part),
        shadow: verdict.shadow.as_ref().map(|shadow| Box::new(shadow_answer(question, shadow))),
        enforcement: verdict.enforcement,
        cache_ttl_seconds: verdict.cache_ttl.usual,
        extended_cache_ttl_seconds: verdict.cache_ttl.extended,
        log_index: 0,
        receipt: None,
        approval_id: approval.filter(|_| *effect == Effect::RequireApproval).map(|approval| approval.approval_id),
        replayed: false,
        stands_on: Some(StandsOn {
            credential_id: match &question.subject {
                Subject::Run(run) => Some(run.credential_id),
                Subject::Unattributed(_) | Subject::Entity(_) => None,
            },
            approval_id: approval.filter(|_| stands_on_it).map(|approval| approval.approval_id),
        }),
    }
}

fn shadow_answer(question: &DecisionRequest, shadow: &PolicyOutcome) -> ShadowAnswer {
    let rule_ids = shadow.rule_ids.iter().take(MAX_RULES).map(ToString::to_string).collect();
    let version = shadow.policy.map(|policy| policy.version);
    let (tool, action) = (question.tool_id.as_str(), question.action.as_str());
    ShadowAnswer::new(shadow.effect, shadow.reason, tool, action, rule_ids, version)
}

fn leaf<'a>(question: &'a DecisionRequest, verdict: &'a Verdict, epoch: i64) -> Leaf<'a> {
    let outcome = &verdict.outcome;
    let event_id = question.decision_id.event_id().to_string();
    let base = Leaf {
        action: Some(question.action.as_str().into()),
        approval_id: verdict.approval.as_ref().map(|approval| approval.approval_id.to_string().into()),
        approval_ref: verdict.approval.as_ref().and_then(|approval| approval.leaf).map(Digest),
        authority_epoch: u64::try_from(epoch).ok().map(Decimal),
        cached_from: question.cached_from.map(|id| id.to_string().into()),
        context: outcome.context.clone(),
        effect: Some(outcome.effect),
        enforcement: Some(verdict.enforcement),
        operator_id: question.operator_id.as_ref().map(|id| id.as_str().into()),
        policy_decision_id: Some(question.decision_id.to_string().into()),
        policy_hash: outcome.policy.map(|policy| Digest(policy.content_hash)),
        policy_version: outcome.policy.map(|policy| policy.version.to_string().into()),
        purpose_commitment: question.purpose_opening.as_ref().map(|opening| Digest(opening.commitment())),
        reason: Some(outcome.reason.as_str().into()),
        request_hash: question.request_hash.map(Digest),
        rollout: verdict.rollout.map(|RolloutPlace { part, percent }| leaf::Rollout {
            bucket: Some(part.bucket),
            id: part.rollout_id.to_string().into(),
            percent: percent.get(),
            percent_before: None,
            side: Some(part.side),
        }),
        rule_ids: rules(outcome),
        shadow: verdict.shadow.as_ref().map(|shadow| leaf::Shadow {
            effect: shadow.effect,
            policy_version: shadow.policy.map(|policy| policy.version.to_string().into()),
            reason: shadow.reason.as_str().into(),
            rule_ids: rules(shadow),
        }),
        span_id: question.trace.map(|trace| trace.span_id),
        tool_id: Some(question.tool_id.as_str().into()),
        trace_id: question.trace.map(|trace| trace.trace_id),
        ..Leaf::new(Kind::Decision, event_id, custody_leaf::timestamp(question.now))
    };
    match &question.subject {
        Subject::Unattributed(_) => {
            Leaf { kind: Kind::Unattributed, sponsor_state: Some(SponsorState::Missing), ..base }
        }
        // Whether a sponsor answers for it is not asked of who is no run.
        Subject::Entity(call) => Leaf {
            kind: Kind::Unattributed,
            sponsor_state: Some(SponsorState::Unknown),
            subject: Some(leaf::Subject {
                id: Some(call.subject.id.as_str().into()),
                kind: call.subject.kind.as_str().into(),
            }),
            ..base
        },
        Subject::Run(credential) => {
            let run = credential;
            Leaf {
                agent_instance_id: Some(run.agent_instance_id.to_string().into()),
                // An operator who only named the run showed no credential; custody_ref names the grant in any case.
                credential_id: run.presented.then(|| run.credential_id.to_string().into()),
                custody_ref: Some(Digest(run.custody_ref)),
                parent_agent_id: run.parent_agent_id().map(|id| id.to_string().into()),
                root_instance_id: Some(run.root_instance_id().to_string().into()),
                sponsor_id: Some(run.sponsor_id.as_str().into()),
                sponsor_state: Some(if outcome.reason == Reason::SponsorNotActive {
                    SponsorState::Revoked
                } else {
                    SponsorState::Live
                }),
                ..base
            }
        }
    }
}

fn rules(outcome: &PolicyOutcome) -> Vec<std::borrow::Cow<'_, str>> {
    outcome.rule_ids.iter().take(MAX_RULES).map(|rule| rule.as_ref().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Trace,
        authority::snapshot::DecisionSource,
        testing::{credential, policy, question, snapshot},
    };

    const RULES: &str = "rules: [{id: refunds, role: support, tool: billing, allowed_actions: [refund]}]";

    fn leaf_of(question: &DecisionRequest) -> String {
        let snapshot = snapshot(Some(DecisionSource::Policy(policy(1, RULES))));
        let prepared = Preparation::of(question, &snapshot).unwrap();
        String::from_utf8(prepared.answer().unwrap().event.leaf_bytes.clone()).unwrap()
    }

    #[test]
    fn a_call_that_states_nothing_new_has_the_leaf_that_it_always_had() {
        let run = credential(&[], &["billing"], false);
        let asked = question(Subject::Run(run.clone()), "billing", "refund");
        let (id, credential_id, decision) = (run.agent_instance_id, run.credential_id, asked.decision_id);
        let (reference, hash) = ("07".repeat(32), Digest(policy(1, RULES).compiled.content_hash()));
        let event = decision.event_id();
        let expected = format!(
            "{{\"action\":\"refund\",\"agent_instance_id\":\"{id}\",\"authority_epoch\":\"1\",\"credential_id\":\"{credential_id}\",\
             \"custody_ref\":\"{reference}\",\"effect\":\"ALLOW\",\"enforcement\":\"enforced\",\"event_id\":\"{event}\",\"kind\":\
             \"decision\",\"policy_decision_id\":\"{decision}\",\"policy_hash\":\"{hash}\",\"policy_version\":\"pv_1\",\"reason\":\
             \"ALLOWED_BY_RULE\",\"received_time\":\"2024-10-04T00:00:00.000000Z\",\"root_instance_id\":\"{id}\",\"rule_ids\":\
             [\"refunds\"],\"schema\":\"countersign.custody.v1\",\"sponsor_id\":\"alice\",\"sponsor_state\":\"live\",\"timestamp\":\
             \"2024-10-04T00:00:00.000000Z\",\"tool_id\":\"billing\"}}"
        );
        assert_eq!(leaf_of(&asked), expected);

        let trace: Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        let traced = leaf_of(&DecisionRequest { trace: Some(trace), ..asked });
        assert!(traced.contains("\"span_id\":\"b7ad6b7169203331\"") && traced.contains("\"trace_id\":\"0af7651916cd"));
        let without = traced.replace("\"span_id\":\"b7ad6b7169203331\",", "");
        assert_eq!(without.replace(",\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"", ""), expected);
    }
}
