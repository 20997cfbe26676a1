use countersign_core::{
    clock::{SystemEntropy, uuid_v7},
    decision::{Effect, Enforcement, Reason},
    ids::{DecisionId, InstanceId},
};
use countersign_ledger::leaf::{self, Digest, Kind, Leaf, Timestamp};
use countersign_store::recorded::{RecordedDecision, RunFacts};

use super::{PolicyDifference, SimulationCounts, recorded::Recorded, replay::Replayer};
use crate::testing::{NOW, policy};

const CANDIDATE: &str = r#"
rules:
  - {id: refunds, role: support, tool: billing, allowed_actions: [refund]}
  - {id: asks, role: support, tool: billing, allowed_actions: [close], require_approval: true}
  - {id: small, role: support, tool: billing, allowed_actions: [charge], when: context.amount_cents <= 500}
  - {id: of-alice, role: support, tool: crm, allowed_actions: [read], when: principal.sponsor_id == "alice"}
  - {id: for-tickets, role: support, tool: mail, allowed_actions: [send], when: 'context.purpose like "ticket*"'}
"#;

fn run() -> RunFacts {
    let id = InstanceId(uuid_v7(NOW, &SystemEntropy));
    RunFacts {
        agent_instance_id: id,
        root_instance_id: id,
        agent: "assistant".parse().unwrap(),
        role: "support".parse().unwrap(),
        inherited_roles: Vec::new(),
        tools: vec!["billing".parse().unwrap()],
        purpose: "ticket 1".to_owned(),
        depth: 0,
        labels: std::collections::BTreeMap::new(),
    }
}

/// The part of a decision's leaf that a simulation reads.
fn leaf(run: &RunFacts, tool: &'static str, action: &'static str, reason: Reason) -> Leaf<'static> {
    let id = DecisionId(uuid_v7(NOW, &SystemEntropy));
    let effect = match reason {
        Reason::AllowedByRule | Reason::Observed => Effect::Allow,
        Reason::ApprovalRequired => Effect::RequireApproval,
        _ => Effect::Deny,
    };
    Leaf {
        action: Some(action.into()),
        agent_instance_id: Some(run.agent_instance_id.to_string().into()),
        effect: Some(effect),
        enforcement: Some(Enforcement::Enforced),
        policy_decision_id: Some(id.to_string().into()),
        reason: Some(reason.as_str().into()),
        sponsor_id: Some("alice".into()),
        sponsor_state: Some(leaf::SponsorState::Live),
        tool_id: Some(tool.into()),
        ..Leaf::new(Kind::Decision, id.event_id().to_string(), Timestamp::default())
    }
}

fn recorded(run: &RunFacts, leaf: &Leaf<'_>, purpose: Option<&str>) -> RecordedDecision {
    RecordedDecision {
        agent_instance_id: Some(run.agent_instance_id),
        leaf_bytes: leaf.encode().unwrap(),
        purpose: purpose.map(str::to_owned),
    }
}

/// Simulates version 2, the candidate, over these decisions.
fn simulate(run: &RunFacts, decisions: &[RecordedDecision]) -> (SimulationCounts, Vec<PolicyDifference>) {
    let mut replayer = Replayer::new(policy(2, CANDIDATE));
    let mut differences = Vec::new();
    // Twice: a remembered answer must be the same as an evaluated one.
    for _ in 0..2 {
        let unknown = replayer.unknown_runs(decisions);
        replayer.learn(unknown.iter().filter(|id| **id == run.agent_instance_id.0).map(|_| run.clone()).collect());
        differences = replayer.weigh(decisions).unwrap();
    }
    let SimulationCounts { evaluated, different, new_allows, new_denies, inconclusive, not_asked } = replayer.counts();
    let halved = [evaluated, different, new_allows, new_denies, inconclusive, not_asked].map(|count| {
        assert_eq!(count % 2, 0, "the second time came out otherwise");
        count / 2
    });
    let [evaluated, different, new_allows, new_denies, inconclusive, not_asked] = halved;
    (SimulationCounts { evaluated, different, new_allows, new_denies, inconclusive, not_asked }, differences)
}

/// The counts for one decision.
fn one(tool: &'static str, action: &'static str, reason: Reason) -> SimulationCounts {
    let run = run();
    let leaf = leaf(&run, tool, action, reason);
    simulate(&run, &[recorded(&run, &leaf, Some("ticket 1"))]).0
}

const EQUAL: SimulationCounts =
    SimulationCounts { evaluated: 1, different: 0, new_allows: 0, new_denies: 0, inconclusive: 0, not_asked: 0 };
const DIFFERENT: SimulationCounts = SimulationCounts { different: 1, ..EQUAL };
const NEW_ALLOW: SimulationCounts = SimulationCounts { new_allows: 1, ..DIFFERENT };
const NEW_DENY: SimulationCounts = SimulationCounts { new_denies: 1, ..DIFFERENT };
const INCONCLUSIVE: SimulationCounts = SimulationCounts { evaluated: 0, inconclusive: 1, ..EQUAL };
const NOT_ASKED: SimulationCounts = SimulationCounts { evaluated: 0, not_asked: 1, ..EQUAL };

#[test]
fn what_the_policy_said_is_compared_and_not_what_a_person_said_to_it() {
    for (tool, action, reason, expected) in [
        ("billing", "refund", Reason::AllowedByRule, EQUAL),
        ("billing", "refund", Reason::Observed, EQUAL),
        ("billing", "refund", Reason::NoMatchingRule, NEW_ALLOW),
        ("billing", "refund", Reason::BaselineDeny, NEW_ALLOW),
        ("billing", "refund", Reason::ApprovalRejected, NEW_ALLOW),
        ("billing", "delete", Reason::AllowedByRule, NEW_DENY),
        ("billing", "delete", Reason::Observed, NEW_DENY),
        ("billing", "delete", Reason::DeniedByRule, EQUAL),
        ("billing", "delete", Reason::PolicyError, EQUAL),
        ("billing", "delete", Reason::ApprovalRequired, DIFFERENT),
        ("billing", "close", Reason::ApprovalRequired, EQUAL),
        ("billing", "close", Reason::ApprovalRejected, EQUAL),
        ("billing", "close", Reason::ApprovalExpired, EQUAL),
        ("billing", "close", Reason::ApprovalMismatch, EQUAL),
        ("billing", "close", Reason::AllowedByRule, NEW_DENY),
        ("billing", "close", Reason::ToolUnknown, DIFFERENT),
    ] {
        assert_eq!(one(tool, action, reason), expected, "{tool} {action} {reason}");
    }
}

#[test]
fn an_allow_that_a_person_gave_was_a_question_of_the_policy() {
    let run = run();
    for (action, expected) in [("close", EQUAL), ("refund", NEW_ALLOW), ("delete", DIFFERENT)] {
        let leaf = Leaf { approval_ref: Some(Digest([7; 32])), ..leaf(&run, "billing", action, Reason::AllowedByRule) };
        assert_eq!(simulate(&run, &[recorded(&run, &leaf, None)]).0, expected, "{action}");
    }
}

#[test]
fn what_was_refused_before_any_policy_stays_refused() {
    let asked = |reason: &Reason| {
        let text = format!(r#"{{"reason":"{reason}"}}"#);
        Recorded::read(text.as_bytes()).unwrap().answered().is_some()
    };
    let before: Vec<_> = Reason::ALL.iter().filter(|reason| !asked(reason)).map(|reason| reason.as_str()).collect();
    let expected = "CREDENTIAL_MALFORMED CREDENTIAL_INVALID CREDENTIAL_WRONG_KIND CREDENTIAL_WRONG_AUDIENCE CREDENTIAL_EXPIRED \
                    CREDENTIAL_REVOKED CREDENTIAL_ALREADY_USED SPONSOR_NOT_ACTIVE INSTANCE_NOT_LIVE TOOL_NOT_GRANTED \
                    PURPOSE_WIDENED METHOD_UNKNOWN KILL_SWITCH";
    assert_eq!(before.join(" "), expected);
    assert_eq!(one("billing", "refund", Reason::KillSwitch), NOT_ASKED);
    let unattributed = RecordedDecision {
        agent_instance_id: None,
        ..recorded(&run(), &leaf(&run(), "billing", "refund", Reason::CredentialInvalid), None)
    };
    assert_eq!(simulate(&run(), &[unattributed]).0, NOT_ASKED);
}

#[test]
fn what_depends_on_what_was_not_kept_is_inconclusive() {
    assert_eq!(one("billing", "charge", Reason::AllowedByRule), INCONCLUSIVE);
    let run = run();
    let sent = Leaf { purpose_commitment: Some(Digest([1; 32])), ..leaf(&run, "mail", "send", Reason::AllowedByRule) };
    for (purpose, expected) in [(Some("ticket 7"), EQUAL), (Some("spam"), NEW_DENY), (None, INCONCLUSIVE)] {
        assert_eq!(simulate(&run, &[recorded(&run, &sent, purpose)]).0, expected, "{purpose:?}");
    }
    let without = leaf(&run, "mail", "send", Reason::AllowedByRule);
    assert_eq!(simulate(&run, &[recorded(&run, &without, None)]).0, NEW_DENY, "there was none, and that is known");
    let stranger = self::run();
    let unknown = recorded(&stranger, &leaf(&stranger, "billing", "refund", Reason::AllowedByRule), None);
    assert_eq!(simulate(&run, &[unknown]).0, INCONCLUSIVE, "a run of which nothing is kept");
}

#[test]
fn what_the_same_policy_said_itself_is_known() {
    let run = run();
    let hash = policy(2, CANDIDATE).compiled.content_hash();
    let own = Leaf { policy_hash: Some(Digest(hash)), ..leaf(&run, "billing", "charge", Reason::AllowedByRule) };
    assert_eq!(simulate(&run, &[recorded(&run, &own, None)]).0, EQUAL);
    let shadow = |version: &'static str| leaf::Shadow {
        effect: Effect::Deny,
        policy_version: Some(version.into()),
        reason: Reason::NoMatchingRule.as_str().into(),
        rule_ids: Vec::new(),
    };
    for (version, expected) in [("pv_2", NEW_DENY), ("pv_3", INCONCLUSIVE)] {
        let leaf = Leaf { shadow: Some(shadow(version)), ..leaf(&run, "billing", "charge", Reason::AllowedByRule) };
        assert_eq!(simulate(&run, &[recorded(&run, &leaf, None)]).0, expected, "{version}");
    }
}

#[test]
fn the_sponsor_is_who_answered_then_and_a_difference_says_all_of_it() {
    let run = run();
    let of = |sponsor: &'static str| {
        let leaf = Leaf {
            sponsor_id: Some(sponsor.into()),
            rule_ids: vec!["old".into()],
            ..leaf(&run, "crm", "read", Reason::AllowedByRule)
        };
        recorded(&run, &leaf, None)
    };
    let (counts, differences) = simulate(&run, &[of("alice"), of("bob"), of("alice")]);
    assert_eq!(counts, SimulationCounts { evaluated: 3, different: 1, new_denies: 1, ..EQUAL });
    let [difference] = &differences[..] else { panic!("{differences:?}") };
    assert_eq!((difference.sponsor_id.as_str(), difference.agent_instance_id), ("bob", run.agent_instance_id));
    assert_eq!((difference.tool_id.as_str(), difference.action.as_str()), ("crm", "read"));
    assert_eq!((difference.recorded_effect, difference.recorded_reason), (Effect::Allow, Reason::AllowedByRule));
    assert_eq!((difference.simulated_effect, difference.simulated_reason), (Effect::Deny, Reason::NoMatchingRule));
    assert_eq!((difference.recorded_rule_ids.join(" ").as_str(), difference.simulated_rule_ids.len()), ("old", 0));
}
