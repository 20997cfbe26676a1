//! Evaluates a question against a snapshot. The order of the checks is fixed, and the first failure decides:
//! credential, sponsor and chain, tool, purpose, the endpoint's own refusal, kill switch, policy. Also decides the side
//! of a rollout (scope, sticky key, bucket), and whether an ALLOW may be cached.
//!
//! This is a pure function, which runs again if the snapshot was behind. Approvals follow where decisions are recorded.

use countersign_core::{
    credential::Verified,
    decision::{Effect, Enforcement, Reason, Side, cache_ttl},
    grant::narrows,
    rollout::{
        StickyKey,
        bucket::{bucket, is_enrolled},
    },
};
use countersign_ledger::leaf::Attribute;
use countersign_policy::{Evaluation, Principal, RecordedAttribute, RecordedValue, Request};

use super::{
    compare::Compared,
    evaluate_entities,
    request::{DecisionRequest, Subject},
};
use crate::{
    Credential,
    authority::{
        compiled_policies::LoadedPolicy,
        snapshot::{DecisionSource, OpenRollout, Snapshot},
    },
    decisions::{
        decision::RolloutPart,
        evaluation::{
            policy_outcome::{AnsweringPolicy, PolicyOutcome},
            verdict::{NoPolicy, RolloutPlace, Verdict},
        },
    },
};

/// Answers `question` with `snapshot`.
pub(crate) fn evaluate(question: &DecisionRequest, snapshot: &Snapshot) -> Result<Verdict, NoPolicy> {
    let credential = match &question.subject {
        Subject::Unattributed(reason) => return Ok(Verdict::refused(*reason, false)),
        Subject::Entity(call) => {
            let by_policy = || evaluate_entities::evaluate(question, call, snapshot);
            return question.refused.map_or_else(by_policy, |reason| Ok(Verdict::refused(reason, false)));
        }
        Subject::Run(credential) => credential,
    };
    let verified: &Verified = credential;
    if let Some(reason) = snapshot.dead(verified, question.now) {
        return Ok(Verdict::refused(reason, false));
    }
    if !verified.grants(&question.tool_id) {
        return Ok(Verdict::refused(Reason::ToolNotGranted, true));
    }
    if question.purpose.as_ref().is_some_and(|purpose| !narrows(purpose, &verified.purpose)) {
        return Ok(Verdict::refused(Reason::PurposeWidened, true));
    }
    if let Some(reason) = question.refused {
        return Ok(Verdict::refused(reason, true));
    }
    // Before policy and rollout are evaluated, because a kill switch stops what they would allow, and what a baseline
    // only observes.
    if snapshot.kill_switches.stops(&question.tool_id, verified) {
        return Ok(Verdict::refused(Reason::KillSwitch, true));
    }
    let mut verdict = by_policy(question, credential, snapshot)?;
    let reusable = verdict.outcome.effect == Effect::Allow
        && verdict.outcome.cacheable
        && verdict.enforcement == Enforcement::Enforced
        && !verified.single_use;
    if reusable {
        let extended = snapshot.cache_extension.as_ref().map_or(0, |extension| extension.ttl(question.now));
        verdict.cache_ttl = cache_ttl(question.now, verified.expire_time, extended);
    }
    Ok(verdict)
}

fn by_policy(question: &DecisionRequest, credential: &Credential, snapshot: &Snapshot) -> Result<Verdict, NoPolicy> {
    let Some(open) = &snapshot.rollout else {
        let answerer = snapshot.active.as_ref().ok_or(NoPolicy)?;
        return Ok(Verdict::of(ask(answerer, question, credential, &credential.principal), true));
    };
    let verified: &Verified = credential;
    let baseline = ask(&open.baseline, question, credential, &credential.principal);
    let Some(candidate) = ask_candidate(open, question, credential) else {
        return Ok(Verdict::of(baseline, true));
    };
    let bucket = bucket_of(open, verified);
    let enrolled = is_enrolled(bucket, open.rollout.percent);
    let rollout_id = open.rollout.rollout_id;
    let compared = Some(Compared::new(rollout_id, &candidate, &baseline, enrolled));
    let (side, outcome, shadow) =
        if enrolled { (Side::Candidate, candidate, baseline) } else { (Side::Baseline, baseline, candidate) };
    let part = RolloutPart { rollout_id, bucket, side };
    let rollout = Some(RolloutPlace { part, percent: open.rollout.percent });
    Ok(Verdict { rollout, shadow: Some(shadow), compared, ..Verdict::of(outcome, true) })
}

/// The answer of the rollout's candidate. `None` if the call is outside its scope. A scope may contain only some of the
/// roles of a run: then the candidate answers for those and the baseline for the others, and the more restrictive
/// answer counts. Otherwise a run could choose its policy by delegating to another role.
fn ask_candidate(open: &OpenRollout, question: &DecisionRequest, credential: &Credential) -> Option<PolicyOutcome> {
    let (scope, principal) = (&open.rollout.scope, &credential.principal);
    let holds =
        |role: &str| scope.holds(question.tool_id.as_str(), role, credential.sponsor_id.as_str(), &credential.labels);
    if credential.roles().all(|role| holds(role.as_str())) {
        return Some(ask_policy(&open.candidate, question, credential, principal));
    }
    let inside = ask_policy(&open.candidate, question, credential, &principal.as_roles(holds)?);
    let outside = principal.as_roles(|role| !holds(role))?;
    Some(inside.and(ask(&open.baseline, question, credential, &outside)))
}

fn bucket_of(open: &OpenRollout, verified: &Verified) -> u16 {
    let rollout = &open.rollout;
    let key = match rollout.sticky_key {
        StickyKey::RootInstance => &verified.root_instance_id().to_string(),
        StickyKey::Sponsor => verified.sponsor_id.as_str(),
        // The root's agent: otherwise a run could choose its side by the agent to which it delegates.
        StickyKey::Agent => verified.agent_of_root().as_str(),
    };
    bucket(&rollout.salt, &rollout.rollout_id.to_string(), key)
}

fn ask(
    answerer: &DecisionSource,
    question: &DecisionRequest,
    credential: &Credential,
    principal: &Principal,
) -> PolicyOutcome {
    match answerer {
        DecisionSource::Policy(policy) => ask_policy(policy, question, credential, principal),
        DecisionSource::Observe => PolicyOutcome::without_policy(Effect::Allow, Reason::Observed),
        DecisionSource::Deny => PolicyOutcome::without_policy(Effect::Deny, Reason::BaselineDeny),
    }
}

fn ask_policy(
    policy: &LoadedPolicy,
    question: &DecisionRequest,
    credential: &Credential,
    principal: &Principal,
) -> PolicyOutcome {
    let request = Request {
        principal,
        tool: question.tool_id.as_str(),
        action: question.action.as_str(),
        purpose: question.purpose.as_deref().unwrap_or(&credential.purpose),
        context: &question.context,
    };
    let Evaluation { effect, reason, rule_ids, cacheable } = policy.compiled.evaluate(&request);
    PolicyOutcome {
        effect,
        reason,
        rule_ids,
        policy: Some(AnsweringPolicy { version: policy.version, content_hash: policy.compiled.content_hash() }),
        cacheable,
        context: policy.compiled.recorded_context(&request).into_iter().map(attribute).collect(),
    }
}

fn attribute(recorded: RecordedAttribute<'_>) -> Attribute<'static> {
    let name = recorded.name.to_owned();
    match recorded.value {
        RecordedValue::Bool(value) => Attribute::boolean(name, value),
        RecordedValue::Long(value) => Attribute::integer(name, value),
        RecordedValue::Word(word) => Attribute::word(name, word.to_owned()),
    }
}

#[cfg(test)]
mod tests;
