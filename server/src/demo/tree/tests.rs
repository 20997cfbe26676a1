use countersign_proto::v1::{DecisionReason, InstanceState, Sponsor, SponsorState, ToolCallOutcome};

use super::*;

const ROOT: &str = "inst_01a20fad-c0d8-739e-b646-000000000001";
const CHILD: &str = "inst_01a20fad-c130-70f3-a443-000000000002";
const ALLOWED: &str = "dec_01a20fad-c14d-7dde-b580-000000000003";
const DENIED: &str = "dec_01a20fad-c1cd-7d65-83c6-000000000004";

fn instance(id: &str, parent: &str, agent: &str, tools: &[&str]) -> Instance {
    Instance {
        agent_instance_id: id.to_owned(),
        parent_agent_id: parent.to_owned(),
        agent: agent.to_owned(),
        tools: tools.iter().map(|&tool| tool.to_owned()).collect(),
        purpose: "triage ticket 4711".to_owned(),
        state: InstanceState::Live.into(),
        ..Instance::default()
    }
}

fn event(log_index: i64, kind: EventKind, instance: &str) -> CustodyEvent {
    CustodyEvent { log_index, kind: kind.into(), agent_instance_id: instance.to_owned(), ..CustodyEvent::default() }
}

fn decision(log_index: i64, id: &str, effect: Effect, reason: DecisionReason, rule: &[&str]) -> CustodyEvent {
    CustodyEvent {
        policy_decision_id: id.to_owned(),
        tool_id: "billing".to_owned(),
        action: "refund".to_owned(),
        effect: effect.into(),
        decision_reason: reason.into(),
        rule_ids: rule.iter().map(|&rule| rule.to_owned()).collect(),
        ..event(log_index, EventKind::Decision, CHILD)
    }
}

fn by(operator: &str, reason: &str, event: CustodyEvent) -> CustodyEvent {
    CustodyEvent { operator_id: operator.to_owned(), reason: reason.to_owned(), ..event }
}

fn chain() -> CustodyChain {
    let outcome = CustodyEvent {
        policy_decision_id: ALLOWED.to_owned(),
        outcome: ToolCallOutcome::Success.into(),
        ..event(7, EventKind::ToolCall, CHILD)
    };
    CustodyChain {
        sponsor: Some(Sponsor {
            sponsor_id: "alice".to_owned(),
            state: SponsorState::Revoked.into(),
            ..Sponsor::default()
        }),
        instances: vec![
            instance(ROOT, "", "support-assistant", &["billing", "search"]),
            instance(CHILD, ROOT, "billing-agent", &["billing"]),
        ],
        events: vec![
            by("rita", "", event(1, EventKind::SponsorRegistered, "")),
            by("oscar", "leads support", event(2, EventKind::SponsorApproved, "")),
            by("rita", "", event(4, EventKind::CredentialIssued, ROOT)),
            event(5, EventKind::Delegated, CHILD),
            decision(6, ALLOWED, Effect::Allow, DecisionReason::AllowedByRule, &["allow-support-billing"]),
            outcome,
            by("oscar", "left the company", event(8, EventKind::SponsorRevoked, "")),
            decision(9, DENIED, Effect::Deny, DecisionReason::SponsorNotActive, &[]),
            event(10, EventKind::InstanceRevoked, ROOT),
        ],
        ..CustodyChain::default()
    }
}

#[test]
fn a_chain_is_a_tree_from_the_sponsor_to_the_outcomes() {
    let expected = r#"
alice sponsor, REVOKED
├─ #1 sponsor registered by rita
├─ #2 sponsor approved by oscar: "leads support"
├─ #8 sponsor revoked by oscar: "left the company"
└─ support-assistant inst_…000001, LIVE, may call billing and search, "triage ticket 4711"
   ├─ #4 credential issued by rita
   ├─ billing-agent inst_…000002, LIVE, may call billing, "triage ticket 4711"
   │  ├─ #5 delegated
   │  ├─ #6 ALLOW refund on billing: rule allow-support-billing (dec_…000003)
   │  │  └─ #7 the tool was called: SUCCESS
   │  └─ #9 DENY refund on billing: SPONSOR_NOT_ACTIVE (dec_…000004)
   └─ #10 instance revoked"#;
    assert_eq!(render(&chain(), false), expected.trim_start());
}

#[test]
fn answers_are_coloured_where_somebody_looks() {
    let tree = render(&chain(), true);
    assert!(tree.contains("\x1b[32mALLOW \x1b[0mrefund") && tree.contains("\x1b[31mDENY \x1b[0mrefund"), "{tree}");
    assert!(tree.contains("\x1b[2m#7 \x1b[0mthe tool"), "{tree}");
}

#[test]
fn no_line_is_wider_than_the_screen() {
    let mut chain = chain();
    chain.instances[1].purpose = "ü".repeat(200);
    for line in render(&chain, false).lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
    assert!(render(&chain, false).contains("üü…\n"));
}

#[test]
fn an_event_that_concerns_no_sponsor_has_a_tree_too() {
    let chain = CustodyChain {
        events: vec![by("rita", "", event(3, EventKind::PolicyActivated, ""))],
        ..CustodyChain::default()
    };
    assert_eq!(render(&chain, false), "no sponsor is accountable for this\n└─ #3 policy activated by rita");
}
