//! From a question and a snapshot to an answer: a pure function, run again where the snapshot was behind.
//!
//! The order of the refusals is fixed, first failure wins: credential, sponsor and chain, tool, purpose, kill switch, policy,
//! approval.

use std::sync::Arc;

use countersign_core::{
    credential::Verified,
    decision::{Effect, Enforcement, Reason},
    grant::narrows,
    ids::{ApprovalId, PolicyVersion},
    rollout::{
        StickyKey,
        bucket::{bucket, is_enrolled},
    },
};
use countersign_ledger::leaf::Attribute;
use countersign_policy::{Evaluation, Principal, RecordedAttribute, RecordedValue, Request};

use crate::{
    comparison::Compared,
    compiled_policies::LoadedPolicy,
    decision::{RolloutPart, Side},
    evaluate_entities,
    question::{Credential, Question, Subject},
    snapshot::{Answerer, OpenRollout, Snapshot},
};

/// Longest reuse of an ALLOW, seconds.
const CACHE_TTL: u32 = 30;

/// What one side of a rollout, or the one policy there is, answers.
#[derive(Debug, Clone)]
pub(crate) struct Opinion {
    pub(crate) effect: Effect,
    pub(crate) reason: Reason,
    pub(crate) rule_ids: Vec<Arc<str>>,
    pub(crate) policy: Option<(PolicyVersion, [u8; 32])>,
    pub(crate) cacheable: bool,
    /// What the custody log states of the call's context.
    pub(crate) context: Vec<Attribute<'static>>,
}

/// An answer, before it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) opinion: Opinion,
    pub(crate) rollout: Option<(RolloutPart, u32)>,
    /// What the other side of the rollout would have answered.
    pub(crate) shadow: Option<Opinion>,
    /// How the rollout's two sides compare.
    pub(crate) compared: Option<Compared>,
    pub(crate) enforcement: Enforcement,
    pub(crate) cache_ttl_seconds: u32,
    /// Whether the credential held, so that a single-use one is used up.
    pub(crate) uses_credential: bool,
    /// The approval that has to do with it. Not known before it is recorded.
    pub(crate) approval: Option<ByApproval>,
}

/// An approval, as far as an answer tells of it.
#[derive(Debug, Clone)]
pub(crate) struct ByApproval {
    pub(crate) approval_id: ApprovalId,
    /// Leaf hash of the yes that the answer stands on.
    pub(crate) leaf: Option<[u8; 32]>,
    /// Why a person refused.
    pub(crate) said: Option<String>,
}

impl ByApproval {
    pub(crate) const fn named(approval_id: ApprovalId) -> Self {
        Self { approval_id, leaf: None, said: None }
    }
}

impl Verdict {
    /// A refusal that asked no policy.
    pub(crate) fn refused(reason: Reason, uses_credential: bool) -> Self {
        Self {
            opinion: Opinion::without_policy(Effect::Deny, reason),
            rollout: None,
            shadow: None,
            compared: None,
            enforcement: Enforcement::Enforced,
            cache_ttl_seconds: 0,
            uses_credential,
            approval: None,
        }
    }
}

impl Opinion {
    pub(crate) const fn without_policy(effect: Effect, reason: Reason) -> Self {
        Self { effect, reason, rule_ids: Vec::new(), policy: None, cacheable: false, context: Vec::new() }
    }

    /// What two answers make together, of which both bind: the more restrictive one, this one where they are alike.
    fn and(self, other: Self) -> Self {
        let cacheable = self.cacheable && other.cacheable;
        let stands = if other.restricts() > self.restricts() { other } else { self };
        Self { cacheable, ..stands }
    }

    /// How restrictive it is, as a number to compare. A failure is before all else, and what only observes is the least.
    const fn restricts(&self) -> u8 {
        match (self.effect, self.reason) {
            (Effect::Deny, Reason::PolicyError) => 5,
            (Effect::Deny, Reason::DeniedByRule) => 4,
            (Effect::Deny, _) => 3,
            (Effect::RequireApproval, _) => 2,
            (Effect::Allow, Reason::Observed) => 0,
            (Effect::Allow, _) => 1,
        }
    }
}

/// No policy answers: neither ALLOW nor DENY would be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPolicy;

/// Answers `question` by what stands in `snapshot`.
pub(crate) fn evaluate(question: &Question, snapshot: &Snapshot) -> Result<Verdict, NoPolicy> {
    let credential = match &question.subject {
        Subject::Unattributed(reason) => return Ok(Verdict::refused(*reason, false)),
        Subject::Entity(call) => return evaluate_entities::evaluate(question, call, snapshot),
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
    // Before policy and rollout are asked: it stops what they would allow, and what a baseline only observes.
    if snapshot.kill_switches.stops(&question.tool_id, verified) {
        return Ok(Verdict::refused(Reason::KillSwitch, true));
    }
    let mut verdict = by_policy(question, credential, snapshot)?;
    let reusable = verdict.opinion.effect == Effect::Allow
        && verdict.opinion.cacheable
        && verdict.enforcement == Enforcement::Enforced
        && !verified.single_use;
    if reusable {
        let left = (verified.expire_time - question.now).whole_seconds();
        verdict.cache_ttl_seconds = u32::try_from(left).unwrap_or(0).min(CACHE_TTL);
    }
    Ok(verdict)
}

fn by_policy(question: &Question, credential: &Credential, snapshot: &Snapshot) -> Result<Verdict, NoPolicy> {
    let Some(open) = &snapshot.rollout else {
        let answerer = snapshot.standing.as_ref().ok_or(NoPolicy)?;
        return Ok(verdict(ask(answerer, question, credential, &credential.principal), None, None));
    };
    let verified: &Verified = credential;
    let baseline = ask(&open.baseline, question, credential, &credential.principal);
    let Some(candidate) = ask_candidate(open, question, credential) else {
        return Ok(verdict(baseline, None, None));
    };
    let bucket = bucket_of(open, verified);
    let enrolled = is_enrolled(bucket, open.rollout.percent);
    let rollout_id = open.rollout.rollout_id;
    let part = |side| Some((RolloutPart { rollout_id, bucket, side }, open.rollout.percent));
    let compared = Some(Compared::new(rollout_id, &candidate, &baseline, enrolled));
    let verdict = if enrolled {
        verdict(candidate, part(Side::Candidate), Some(baseline))
    } else {
        verdict(baseline, part(Side::Baseline), Some(candidate))
    };
    Ok(Verdict { compared, ..verdict })
}

/// What the rollout's candidate answers; none where the call is outside its scope. A scope may hold some of the roles that
/// bind a run: then the candidate answers for those and the baseline for the others, and the more restrictive answer stands.
/// Otherwise who delegates to another role would choose their policy.
fn ask_candidate(open: &OpenRollout, question: &Question, credential: &Credential) -> Option<Opinion> {
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

fn verdict(opinion: Opinion, rollout: Option<(RolloutPart, u32)>, shadow: Option<Opinion>) -> Verdict {
    let enforcement = if opinion.reason == Reason::Observed { Enforcement::Shadow } else { Enforcement::Enforced };
    Verdict {
        opinion,
        rollout,
        shadow,
        compared: None,
        enforcement,
        cache_ttl_seconds: 0,
        uses_credential: true,
        approval: None,
    }
}

fn bucket_of(open: &OpenRollout, verified: &Verified) -> u16 {
    let rollout = &open.rollout;
    let key = match rollout.sticky_key {
        StickyKey::RootInstance => &verified.root_instance_id().to_string(),
        StickyKey::Sponsor => verified.sponsor_id.as_str(),
        StickyKey::Agent => verified.agent.as_str(),
    };
    bucket(&rollout.salt, &rollout.rollout_id.to_string(), key)
}

fn ask(answerer: &Answerer, question: &Question, credential: &Credential, principal: &Principal) -> Opinion {
    match answerer {
        Answerer::Policy(policy) => ask_policy(policy, question, credential, principal),
        Answerer::Observe => Opinion::without_policy(Effect::Allow, Reason::Observed),
        Answerer::Deny => Opinion::without_policy(Effect::Deny, Reason::BaselineDeny),
    }
}

fn ask_policy(policy: &LoadedPolicy, question: &Question, credential: &Credential, principal: &Principal) -> Opinion {
    let request = Request {
        principal,
        tool: question.tool_id.as_str(),
        action: question.action.as_str(),
        purpose: question.purpose.as_deref().unwrap_or(&credential.purpose),
        context: &question.context,
    };
    let Evaluation { effect, reason, rule_ids, cacheable } = policy.compiled.evaluate(&request);
    Opinion {
        effect,
        reason,
        rule_ids,
        policy: Some((policy.version, policy.compiled.content_hash())),
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
mod tests {
    use countersign_core::{
        clock::{SystemEntropy, uuid_v7},
        ids::{InstanceId, KillSwitchId, RolloutId},
        kill_switch::{KillSwitch, KillSwitchScope, KillSwitches, Target},
        rollout::{Baseline, Gates, Rollout, RolloutState, Scope},
    };
    use time::Duration;

    use super::*;
    use crate::testing::{NOW, credential, policy, question, snapshot};

    const BRIEF: &str = "rules:
  - {id: allow, role: support, tool: billing, allowed_actions: [charge, refund]}
  - {id: ask, role: support, tool: billing, allowed_actions: [close], require_approval: true}";
    const NOTHING: &str = "rules: [{id: never, role: admin, tool: billing, allowed_actions: [refund]}]";

    fn standing() -> Snapshot {
        snapshot(Some(Answerer::Policy(policy(1, BRIEF))))
    }

    fn rolling(percent: u32, baseline: Answerer) -> Snapshot {
        let rollout = Rollout {
            rollout_id: RolloutId(uuid_v7(NOW, &SystemEntropy)),
            baseline: Baseline::Observe,
            candidate: PolicyVersion(2),
            percent,
            sticky_key: StickyKey::RootInstance,
            state: RolloutState::Running,
            steps: vec![100],
            increment_per_day: None,
            gates: Gates::default(),
            min_soak_seconds: 0,
            scope: Scope::default(),
            salt: [3; 32],
            create_time: NOW,
            advance_time: NOW,
            gates_since: NOW,
            person_percent: percent,
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

    fn answer(question: &Question, snapshot: &Snapshot) -> (Effect, Reason) {
        let verdict = evaluate(question, snapshot).unwrap();
        (verdict.opinion.effect, verdict.opinion.reason)
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
        let late = Question { now: NOW + Duration::seconds(400), ..asked };
        assert_eq!(answer(&late, &standing()), refused(Reason::CredentialExpired));
        let asked = Question { now: NOW, ..late };
        assert_eq!(answer(&asked, &standing()), refused(Reason::ToolNotGranted));
        let asked = Question { tool_id: "billing".parse().unwrap(), ..asked };
        assert_eq!(answer(&asked, &standing()), refused(Reason::PurposeWidened));
        let asked = Question { purpose: Some("triage: ticket 1".to_owned()), ..asked };
        assert_eq!(answer(&asked, &standing()), (Effect::Allow, Reason::AllowedByRule));
        let asked = Question { action: "erase".parse().unwrap(), ..asked };
        assert_eq!(answer(&asked, &standing()), refused(Reason::NoMatchingRule));
    }

    #[test]
    fn what_needs_a_yes_needs_it_whatever_is_brought_along_and_is_not_cached() {
        let asked = question(run(), "billing", "close");
        let brought = Some(ApprovalId(uuid_v7(NOW, &SystemEntropy)));
        for asked in [Question { approval_id: brought, ..question(run(), "billing", "close") }, asked] {
            let verdict = evaluate(&asked, &standing()).unwrap();
            let said = (verdict.opinion.effect, verdict.opinion.reason, verdict.cache_ttl_seconds);
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
        let brief = || Answerer::Policy(policy(1, BRIEF));
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
                rolling(0, Answerer::Observe),
                rolling(0, Answerer::Deny),
            ];
            for ground in grounds {
                let stops = Snapshot { kill_switches: engaged(id), ..ground };
                assert_eq!(answer(&asked, &stops), stopped, "{scope:?}");
                let verdict = evaluate(&asked, &stops).unwrap();
                assert_eq!((verdict.enforcement, verdict.cache_ttl_seconds), (Enforcement::Enforced, 0));
                assert!(verdict.rollout.is_none() && verdict.shadow.is_none(), "no rollout has a say");
            }
            if scope != KillSwitchScope::All {
                let beside = Snapshot { kill_switches: engaged(other), ..standing() };
                assert_eq!(answer(&asked, &beside), (Effect::Allow, Reason::AllowedByRule), "{scope:?}");
            }
            // What is wrong with the credential comes first.
            let elsewhere = Snapshot { kill_switches: engaged(id), ..standing() };
            let dead = Question { now: NOW + Duration::seconds(400), ..question(run(), "billing", "refund") };
            assert_eq!(answer(&dead, &elsewhere), (Effect::Deny, Reason::CredentialExpired));
        }
    }

    #[test]
    fn inside_the_candidate_answers_and_outside_the_baseline_and_each_is_compared_with_the_other() {
        let asked = question(run(), "billing", "refund");
        let brief = || Answerer::Policy(policy(1, BRIEF));
        for (percent, baseline, effect, reason, shadow) in [
            (100, brief(), Effect::Deny, Reason::NoMatchingRule, Effect::Allow),
            (0, brief(), Effect::Allow, Reason::AllowedByRule, Effect::Deny),
            (0, Answerer::Observe, Effect::Allow, Reason::Observed, Effect::Deny),
            (0, Answerer::Deny, Effect::Deny, Reason::BaselineDeny, Effect::Deny),
        ] {
            let observes = matches!(baseline, Answerer::Observe);
            let verdict = evaluate(&asked, &rolling(percent, baseline)).unwrap();
            assert_eq!((verdict.opinion.effect, verdict.opinion.reason), (effect, reason));
            assert_eq!(verdict.shadow.unwrap().effect, shadow);
            assert_eq!(verdict.enforcement == Enforcement::Shadow, observes);
            assert!(verdict.rollout.is_some());
        }
    }

    #[test]
    fn outside_the_scope_the_baseline_answers_and_no_bucket_is_told() {
        let mut rolling = rolling(100, Answerer::Policy(policy(1, BRIEF)));
        rolling.rollout.as_mut().unwrap().rollout.scope.tools = vec!["search".to_owned()];
        let verdict = evaluate(&question(run(), "billing", "refund"), &rolling).unwrap();
        assert_eq!(verdict.opinion.reason, Reason::AllowedByRule);
        assert!(verdict.rollout.is_none() && verdict.shadow.is_none());
    }

    #[test]
    fn only_an_enforced_allow_on_a_reusable_credential_may_be_cached_and_no_longer_than_that_lives() {
        let ttl = |question: &Question, snapshot: &Snapshot| evaluate(question, snapshot).unwrap().cache_ttl_seconds;
        let asked = question(run(), "billing", "refund");
        assert_eq!(ttl(&asked, &standing()), CACHE_TTL);
        assert_eq!(ttl(&asked, &rolling(0, Answerer::Observe)), 0);
        assert_eq!(ttl(&question(run(), "billing", "erase"), &standing()), 0);
        let late = Question { now: NOW + Duration::seconds(290), ..asked };
        assert_eq!(ttl(&late, &standing()), 8, "iat is set back by 2 s");
        let once = question(Subject::Run(credential(&[], &["billing"], true)), "billing", "refund");
        assert_eq!(ttl(&once, &standing()), 0);
    }

    #[test]
    fn a_whole_chain_is_on_one_side() {
        let root = credential(&[], &["billing"], false);
        let child =
            credential(&[root.agent_instance_id, InstanceId(uuid_v7(NOW, &SystemEntropy))], &["billing"], false);
        let rolling = rolling(50, Answerer::Deny);
        let bucket = |run: &Arc<Credential>| {
            let asked = question(Subject::Run(run.clone()), "billing", "refund");
            evaluate(&asked, &rolling).unwrap().rollout.unwrap().0.bucket
        };
        assert_eq!(bucket(&root), bucket(&child));
    }
}
