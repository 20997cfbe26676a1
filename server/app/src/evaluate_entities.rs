//! Questions about somebody who is no run, on what is no tool: answered only by a policy that declares the types of both.
//!
//! No sponsor answers for such a subject, no credential bounds it, and nobody is asked for a yes. So nothing but a permit of a
//! policy allows it: what a baseline lets through are the calls of runs that flowed before.

use std::collections::BTreeMap;

use countersign_core::{
    decision::{Effect, Enforcement, Reason},
    rollout::bucket::{bucket, is_enrolled},
};
use countersign_policy::{EntityRequest, Evaluation};

use crate::{
    EntityCall,
    comparison::Compared,
    compiled_policies::LoadedPolicy,
    decision::{RolloutPart, Side},
    evaluate::{NoPolicy, Opinion, Verdict},
    question::Question,
    snapshot::{Answerer, Snapshot},
};

/// Answers the question whether `call` may happen, by what stands in `snapshot`.
pub(crate) fn evaluate(question: &Question, call: &EntityCall, snapshot: &Snapshot) -> Result<Verdict, NoPolicy> {
    let Some(open) = &snapshot.rollout else {
        let answerer = snapshot.standing.as_ref().ok_or(NoPolicy)?;
        return Ok(verdict(ask(answerer, question, call)));
    };
    // Who is no run has no role, no sponsor and no labels.
    if !open.rollout.scope.holds(question.tool_id.as_str(), "", "", &BTreeMap::new()) {
        return Ok(verdict(ask(&open.baseline, question, call)));
    }
    let (rollout_id, percent) = (open.rollout.rollout_id, open.rollout.percent);
    // The subject itself, whatever runs are told apart by.
    let key = format!("{}/{}", call.subject.kind, call.subject.id);
    let bucket = bucket(&open.rollout.salt, &rollout_id.to_string(), &key);
    let enrolled = is_enrolled(bucket, percent);
    let (candidate, baseline) = (ask_policy(&open.candidate, question, call), ask(&open.baseline, question, call));
    let compared = Some(Compared::new(rollout_id, &candidate, &baseline, enrolled));
    let (side, opinion, shadow) =
        if enrolled { (Side::Candidate, candidate, baseline) } else { (Side::Baseline, baseline, candidate) };
    let rollout = Some((RolloutPart { rollout_id, bucket, side }, percent));
    Ok(Verdict { rollout, shadow: Some(shadow), compared, ..verdict(opinion) })
}

fn verdict(opinion: Opinion) -> Verdict {
    Verdict {
        opinion,
        rollout: None,
        shadow: None,
        compared: None,
        enforcement: Enforcement::Enforced,
        cache_ttl_seconds: 0,
        uses_credential: false,
    }
}

fn ask(answerer: &Answerer, question: &Question, call: &EntityCall) -> Opinion {
    match answerer {
        Answerer::Policy(policy) => ask_policy(policy, question, call),
        Answerer::Observe => Opinion::without_policy(Effect::Deny, Reason::TypeUnknown),
        Answerer::Deny => Opinion::without_policy(Effect::Deny, Reason::BaselineDeny),
    }
}

fn ask_policy(policy: &LoadedPolicy, question: &Question, call: &EntityCall) -> Opinion {
    let Evaluation { effect, reason, rule_ids, cacheable, .. } = policy.compiled.evaluate_entities(&EntityRequest {
        subject: &call.subject,
        action: question.action.as_str(),
        resource: &call.resource,
        context: &question.context,
    });
    Opinion { effect, reason, rule_ids, policy: Some((policy.version, policy.compiled.content_hash())), cacheable }
}
