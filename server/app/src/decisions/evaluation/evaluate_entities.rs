//! Questions about a subject that is not a run, and a resource that is not a tool. Only a permit of a policy that
//! declares both types allows it: a baseline lets pass only calls of runs. Of kill switches only those for all callers
//! apply; its side of a rollout follows from the subject.
//!
//! Such a subject has no sponsor and no credential that limits it, and no one is asked for an approval.

use std::collections::BTreeMap;

use countersign_core::{
    decision::{Effect, Reason, Side},
    rollout::bucket::{bucket, is_enrolled},
};
use countersign_policy::{EntityRequest, Evaluation};

use super::{compare::Compared, request::DecisionRequest};
use crate::{
    EntityCall,
    authority::{
        compiled_policies::LoadedPolicy,
        snapshot::{DecisionSource, Snapshot},
    },
    decisions::{
        decision::RolloutPart,
        evaluation::{
            policy_outcome::{AnsweringPolicy, PolicyOutcome},
            verdict::{NoPolicy, RolloutPlace, Verdict},
        },
    },
};

/// Answers whether `call` may happen, with `snapshot`.
pub(crate) fn evaluate(
    question: &DecisionRequest,
    call: &EntityCall,
    snapshot: &Snapshot,
) -> Result<Verdict, NoPolicy> {
    // The resource's type takes the place of the tool.
    if snapshot.kill_switches.stops_everybodys(&question.tool_id) {
        return Ok(Verdict::refused(Reason::KillSwitch, false));
    }
    let Some(open) = &snapshot.rollout else {
        let answerer = snapshot.active.as_ref().ok_or(NoPolicy)?;
        return Ok(Verdict::of(ask(answerer, question, call), false));
    };
    // A subject that is not a run has no role, no sponsor and no labels.
    if !open.rollout.scope.holds(question.tool_id.as_str(), "", "", &BTreeMap::new()) {
        return Ok(Verdict::of(ask(&open.baseline, question, call), false));
    }
    let (rollout_id, percent) = (open.rollout.rollout_id, open.rollout.percent);
    // The subject itself, whatever the sticky key for runs is.
    let key = format!("{}/{}", call.subject.kind, call.subject.id);
    let bucket = bucket(&open.rollout.salt, &rollout_id.to_string(), &key);
    let enrolled = is_enrolled(bucket, percent);
    let (candidate, baseline) = (ask_policy(&open.candidate, question, call), ask(&open.baseline, question, call));
    let compared = Some(Compared::new(rollout_id, &candidate, &baseline, enrolled));
    let (side, outcome, shadow) =
        if enrolled { (Side::Candidate, candidate, baseline) } else { (Side::Baseline, baseline, candidate) };
    let rollout = Some(RolloutPlace { part: RolloutPart { rollout_id, bucket, side }, percent });
    Ok(Verdict { rollout, shadow: Some(shadow), compared, ..Verdict::of(outcome, false) })
}

fn ask(answerer: &DecisionSource, question: &DecisionRequest, call: &EntityCall) -> PolicyOutcome {
    match answerer {
        DecisionSource::Policy(policy) => ask_policy(policy, question, call),
        DecisionSource::Observe => PolicyOutcome::without_policy(Effect::Deny, Reason::TypeUnknown),
        DecisionSource::Deny => PolicyOutcome::without_policy(Effect::Deny, Reason::BaselineDeny),
    }
}

fn ask_policy(policy: &LoadedPolicy, question: &DecisionRequest, call: &EntityCall) -> PolicyOutcome {
    let Evaluation { effect, reason, rule_ids, cacheable } = policy.compiled.evaluate_entities(&EntityRequest {
        subject: &call.subject,
        action: question.action.as_str(),
        resource: &call.resource,
        context: &question.context,
    });
    PolicyOutcome {
        effect,
        reason,
        rule_ids,
        policy: Some(AnsweringPolicy { version: policy.version, content_hash: policy.compiled.content_hash() }),
        cacheable,
        context: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use countersign_core::{
        clock::{SystemEntropy, uuid_v7},
        ids::KillSwitchId,
        kill_switch::{KillSwitch, KillSwitchScope, KillSwitches, Target},
    };
    use countersign_policy::{CompiledPolicy, Entity};
    use serde_json::Map;

    use super::*;
    use crate::{
        decisions::evaluation::request::Subject,
        testing::{NOW, question, snapshot},
    };

    const TYPES: &str = "types: [{id: user}, {id: record}]";
    const READS: &str = r#"@id("reads") permit (principal is user, action == Action::"read", resource is record);"#;

    fn asked(kind: &str) -> DecisionRequest {
        let entity = |kind: &str| Entity { kind: kind.to_owned(), id: "x".to_owned(), properties: Map::new() };
        let call = EntityCall { subject: entity(kind), resource: entity("record") };
        question(Subject::Entity(Arc::new(call)), "record", "read")
    }

    fn answer(question: &DecisionRequest, snapshot: &Snapshot) -> (Effect, Reason) {
        let verdict = crate::decisions::evaluation::evaluate::evaluate(question, snapshot).unwrap();
        assert!(!verdict.uses_credential && verdict.cache_ttl.usual == 0);
        assert_eq!(verdict.enforcement, countersign_core::decision::Enforcement::Enforced);
        (verdict.outcome.effect, verdict.outcome.reason)
    }

    fn declaring() -> Snapshot {
        let compiled = CompiledPolicy::load(TYPES, READS).unwrap();
        let version = countersign_core::ids::PolicyVersion(1);
        snapshot(Some(DecisionSource::Policy(Arc::new(LoadedPolicy { version, compiled }))))
    }

    #[test]
    fn only_a_permit_of_a_policy_allows_and_no_baseline_lets_anybody_through() {
        let unknown = (Effect::Deny, Reason::TypeUnknown);
        assert_eq!(answer(&asked("user"), &declaring()), (Effect::Allow, Reason::AllowedByRule));
        assert_eq!(answer(&asked("spaceship"), &declaring()), unknown);
        assert_eq!(answer(&asked("user"), &snapshot(Some(DecisionSource::Observe))), unknown);
        assert_eq!(answer(&asked("user"), &snapshot(Some(DecisionSource::Deny))), (Effect::Deny, Reason::BaselineDeny));
        assert!(
            crate::decisions::evaluation::evaluate::evaluate(&asked("user"), &snapshot(None)).is_err(),
            "without a policy, no answer"
        );
    }

    #[test]
    fn a_kill_switch_on_everything_or_on_the_resources_type_stops_it() {
        for (scope, id, stops) in [
            (KillSwitchScope::All, "", true),
            (KillSwitchScope::Tool, "record", true),
            (KillSwitchScope::Tool, "billing", false),
            (KillSwitchScope::Role, "user", false),
        ] {
            let switch = KillSwitch {
                kill_switch_id: KillSwitchId(uuid_v7(NOW, &SystemEntropy)),
                target: Target::new(scope, id).unwrap(),
                reason: "drill".to_owned(),
                engaged_by: "rita".parse().unwrap(),
                engage_time: NOW,
            };
            let engaged = Snapshot { kill_switches: Arc::new(KillSwitches::new(vec![switch])), ..declaring() };
            assert_eq!(answer(&asked("user"), &engaged).1 == Reason::KillSwitch, stops, "{scope:?} {id}");
        }
    }
}
