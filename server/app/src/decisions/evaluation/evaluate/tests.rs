use std::sync::Arc;

use countersign_core::{
    clock::{SystemEntropy, uuid_v7},
    decision::CACHE_TTL,
    ids::{ApprovalId, InstanceId, KillSwitchId, PolicyVersion, RolloutId},
    kill_switch::{KillSwitch, KillSwitchScope, KillSwitches, Target},
    rollout::{Baseline, Gates, Percent, Rollout, RolloutState, Scope},
};
use countersign_policy::Context;
use serde_json::json;
use time::Duration;

use super::*;
use crate::testing::{NOW, credential, policy, question, snapshot};

const BRIEF: &str = "rules:
- {id: allow, role: support, tool: billing, allowed_actions: [charge, refund]}
- {id: ask, role: support, tool: billing, allowed_actions: [close], require_approval: true}";
const NOTHING: &str = "rules: [{id: never, role: admin, tool: billing, allowed_actions: [refund]}]";

fn standing() -> Snapshot {
    snapshot(Some(DecisionSource::Policy(policy(1, BRIEF))))
}

fn rolling(percent: u32, baseline: DecisionSource) -> Snapshot {
    let rollout = Rollout {
        rollout_id: RolloutId(uuid_v7(NOW, &SystemEntropy)),
        baseline: Baseline::Observe,
        candidate: PolicyVersion(2),
        percent: percent.try_into().unwrap(),
        sticky_key: StickyKey::RootInstance,
        state: RolloutState::Running,
        steps: vec![Percent::ALL],
        increment_per_day: None,
        gates: Gates::default(),
        min_soak_seconds: 0,
        scope: Scope::default(),
        salt: [3; 32],
        create_time: NOW,
        advance_time: NOW,
        gates_since: NOW,
        person_percent: percent.try_into().unwrap(),
        rollback_reason: None,
        revision: 1,
        created_by: None,
        end_time: None,
    };
    let open = OpenRollout { rollout, candidate: policy(2, NOTHING), baseline };
    Snapshot { rollout: Some(open), ..standing() }
}

fn run() -> Subject {
    Subject::Run(credential(&[], &["billing", "search"], false))
}

fn answer(question: &DecisionRequest, snapshot: &Snapshot) -> (Effect, Reason) {
    let verdict = evaluate(question, snapshot).unwrap();
    (verdict.outcome.effect, verdict.outcome.reason)
}

#[test]
fn a_purpose_may_only_be_narrowed() {
    for (purpose, of, fits) in [
        ("triage ticket 47", "triage ticket 47", true),
        ("triage ticket 47: refund", "triage ticket 47", true),
        ("triage ticket 4711", "triage ticket 47", false),
        ("triage", "triage ticket 47", false),
        ("something else", "triage ticket 47", false),
    ] {
        assert_eq!(narrows(purpose, of), fits, "{purpose}");
    }
}

#[test]
fn the_first_failure_answers() {
    let refused = |reason| (Effect::Deny, reason);
    let mut asked = question(Subject::Unattributed(Reason::CredentialInvalid), "search", "refund");
    assert_eq!(answer(&asked, &standing()), refused(Reason::CredentialInvalid));
    asked.subject = Subject::Run(credential(&[], &["billing"], false));
    asked.purpose = Some("holiday".to_owned());
    let late = DecisionRequest { now: NOW + Duration::seconds(400), ..asked };
    assert_eq!(answer(&late, &standing()), refused(Reason::CredentialExpired));
    let asked = DecisionRequest { now: NOW, ..late };
    assert_eq!(answer(&asked, &standing()), refused(Reason::ToolNotGranted));
    let asked = DecisionRequest { tool_id: "billing".parse().unwrap(), ..asked };
    assert_eq!(answer(&asked, &standing()), refused(Reason::PurposeWidened));
    let asked = DecisionRequest { purpose: Some("triage: ticket 1".to_owned()), ..asked };
    assert_eq!(answer(&asked, &standing()), (Effect::Allow, Reason::AllowedByRule));
    let asked = DecisionRequest { action: "erase".parse().unwrap(), ..asked };
    assert_eq!(answer(&asked, &standing()), refused(Reason::NoMatchingRule));
}

#[test]
fn what_needs_a_yes_needs_it_whatever_is_brought_along_and_is_not_cached() {
    let asked = question(run(), "billing", "close");
    let brought = Some(ApprovalId(uuid_v7(NOW, &SystemEntropy)));
    for asked in [DecisionRequest { approval_id: brought, ..question(run(), "billing", "close") }, asked] {
        let verdict = evaluate(&asked, &standing()).unwrap();
        let said = (verdict.outcome.effect, verdict.outcome.reason, verdict.cache_ttl.usual);
        assert_eq!(said, (Effect::RequireApproval, Reason::ApprovalRequired, 0));
    }
}

#[test]
fn without_a_policy_there_is_no_answer_but_a_dead_credential_is_refused() {
    let nothing = snapshot(None);
    assert_eq!(evaluate(&question(run(), "billing", "refund"), &nothing).unwrap_err(), NoPolicy);
    let forged = question(Subject::Unattributed(Reason::CredentialInvalid), "billing", "refund");
    assert_eq!(answer(&forged, &nothing), (Effect::Deny, Reason::CredentialInvalid));
}

#[test]
fn a_kill_switch_stops_what_it_names_whatever_policy_and_rollout_say_and_where_there_is_none() {
    let stopped = (Effect::Deny, Reason::KillSwitch);
    let brief = || DecisionSource::Policy(policy(1, BRIEF));
    for (scope, id, other) in [
        (KillSwitchScope::Tool, "billing", "search"),
        (KillSwitchScope::Role, "support", "admin"),
        (KillSwitchScope::Agent, "support-assistant", "helper"),
        (KillSwitchScope::Sponsor, "alice", "bob"),
        (KillSwitchScope::All, "", ""),
    ] {
        let engaged = |id| {
            let target = Target::new(scope, id).unwrap();
            let switch = KillSwitch {
                kill_switch_id: KillSwitchId(uuid_v7(NOW, &SystemEntropy)),
                target,
                reason: "drill".to_owned(),
                engaged_by: "rita".parse().unwrap(),
                engage_time: NOW,
            };
            Arc::new(KillSwitches::new(vec![switch]))
        };
        let asked = question(run(), "billing", "refund");
        let grounds = [
            standing(),
            snapshot(None),
            rolling(100, brief()),
            rolling(0, brief()),
            rolling(0, DecisionSource::Observe),
            rolling(0, DecisionSource::Deny),
        ];
        for ground in grounds {
            let stops = Snapshot { kill_switches: engaged(id), ..ground };
            assert_eq!(answer(&asked, &stops), stopped, "{scope:?}");
            let verdict = evaluate(&asked, &stops).unwrap();
            assert_eq!((verdict.enforcement, verdict.cache_ttl.usual), (Enforcement::Enforced, 0));
            assert!(verdict.rollout.is_none() && verdict.shadow.is_none(), "no rollout has a say");
        }
        if scope != KillSwitchScope::All {
            let beside = Snapshot { kill_switches: engaged(other), ..standing() };
            assert_eq!(answer(&asked, &beside), (Effect::Allow, Reason::AllowedByRule), "{scope:?}");
        }
        // An error in the credential comes first.
        let elsewhere = Snapshot { kill_switches: engaged(id), ..standing() };
        let dead = DecisionRequest { now: NOW + Duration::seconds(400), ..question(run(), "billing", "refund") };
        assert_eq!(answer(&dead, &elsewhere), (Effect::Deny, Reason::CredentialExpired));
    }
}

#[test]
fn inside_the_candidate_answers_and_outside_the_baseline_and_each_is_compared_with_the_other() {
    let asked = question(run(), "billing", "refund");
    let brief = || DecisionSource::Policy(policy(1, BRIEF));
    for (percent, baseline, effect, reason, shadow) in [
        (100, brief(), Effect::Deny, Reason::NoMatchingRule, Effect::Allow),
        (0, brief(), Effect::Allow, Reason::AllowedByRule, Effect::Deny),
        (0, DecisionSource::Observe, Effect::Allow, Reason::Observed, Effect::Deny),
        (0, DecisionSource::Deny, Effect::Deny, Reason::BaselineDeny, Effect::Deny),
    ] {
        let observes = matches!(baseline, DecisionSource::Observe);
        let verdict = evaluate(&asked, &rolling(percent, baseline)).unwrap();
        assert_eq!((verdict.outcome.effect, verdict.outcome.reason), (effect, reason));
        assert_eq!(verdict.shadow.unwrap().effect, shadow);
        assert_eq!(verdict.enforcement == Enforcement::Shadow, observes);
        assert!(verdict.rollout.is_some());
    }
}

#[test]
fn the_side_that_answers_says_what_is_recorded_of_the_context() {
    let recording = |name: &str, other: &str| {
        format!("context:\n  {name}: {{type: long, record: true}}\n  {other}: {{type: long}}\n{BRIEF}")
    };
    let context = json!({ "age": 3, "amount": 500 });
    let context = Context::derived(context.as_object().unwrap().clone());
    let asked = DecisionRequest { context, ..question(run(), "billing", "refund") };
    for (percent, recorded) in [(100, ("amount", 500)), (0, ("age", 3))] {
        let mut rolling = rolling(percent, DecisionSource::Policy(policy(1, &recording("age", "amount"))));
        rolling.rollout.as_mut().unwrap().candidate = policy(2, &recording("amount", "age"));
        let verdict = evaluate(&asked, &rolling).unwrap();
        assert_eq!(verdict.outcome.effect, Effect::Allow);
        assert_eq!(verdict.outcome.context, [Attribute::integer(recorded.0, recorded.1)], "{percent} %");
    }
    let observed = evaluate(&asked, &rolling(0, DecisionSource::Observe)).unwrap();
    assert!(observed.outcome.context.is_empty(), "no document says what is recorded");
}

#[test]
fn what_the_door_refuses_is_refused_whatever_the_policy_says_once_the_credential_holds() {
    let refuses = |question: DecisionRequest| DecisionRequest { refused: Some(Reason::MethodUnknown), ..question };
    let asked = refuses(question(run(), "billing", "refund"));
    for snapshot in [standing(), snapshot(None), rolling(0, DecisionSource::Observe)] {
        assert_eq!(answer(&asked, &snapshot), (Effect::Deny, Reason::MethodUnknown));
    }
    let forged = refuses(question(Subject::Unattributed(Reason::CredentialInvalid), "billing", "refund"));
    assert_eq!(answer(&forged, &standing()), (Effect::Deny, Reason::CredentialInvalid));
}

#[test]
fn outside_the_scope_the_baseline_answers_and_no_bucket_is_told() {
    let mut rolling = rolling(100, DecisionSource::Policy(policy(1, BRIEF)));
    rolling.rollout.as_mut().unwrap().rollout.scope.tools = vec!["search".to_owned()];
    let verdict = evaluate(&question(run(), "billing", "refund"), &rolling).unwrap();
    assert_eq!(verdict.outcome.reason, Reason::AllowedByRule);
    assert!(verdict.rollout.is_none() && verdict.shadow.is_none());
}

#[test]
fn only_an_enforced_allow_on_a_reusable_credential_may_be_cached_and_no_longer_than_that_lives() {
    let ttl = |question: &DecisionRequest, snapshot: &Snapshot| evaluate(question, snapshot).unwrap().cache_ttl.usual;
    let asked = question(run(), "billing", "refund");
    assert_eq!(ttl(&asked, &standing()), CACHE_TTL);
    assert_eq!(ttl(&asked, &rolling(0, DecisionSource::Observe)), 0);
    assert_eq!(ttl(&question(run(), "billing", "erase"), &standing()), 0);
    let late = DecisionRequest { now: NOW + Duration::seconds(290), ..asked };
    assert_eq!(ttl(&late, &standing()), 8, "iat is set back by 2 s");
    let once = question(Subject::Run(credential(&[], &["billing"], true)), "billing", "refund");
    assert_eq!(ttl(&once, &standing()), 0);
}

#[test]
fn a_whole_chain_is_on_one_side() {
    let root = credential(&[], &["billing"], false);
    let child = credential(&[root.agent_instance_id, InstanceId(uuid_v7(NOW, &SystemEntropy))], &["billing"], false);
    let rolling = rolling(50, DecisionSource::Deny);
    let bucket = |run: &Arc<Credential>| {
        let asked = question(Subject::Run(run.clone()), "billing", "refund");
        evaluate(&asked, &rolling).unwrap().rollout.unwrap().part.bucket
    };
    assert_eq!(bucket(&root), bucket(&child));
}
