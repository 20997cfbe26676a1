use proptest::prelude::*;

use super::*;
use crate::{
    clock::{SystemEntropy, uuid_v7},
    sponsor::tests::login,
};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn approval(state: ApprovalState) -> Approval {
    let run = InstanceId(uuid_v7(NOW, &SystemEntropy));
    Approval {
        approval_id: ApprovalId(uuid_v7(NOW, &SystemEntropy)),
        policy_decision_id: DecisionId(uuid_v7(NOW, &SystemEntropy)),
        state,
        root_instance_id: run,
        call: Call {
            agent_instance_id: run,
            sponsor_id: "alice".parse().unwrap(),
            tool_id: "billing".parse().unwrap(),
            action: "refund".parse().unwrap(),
            request_hash: Some([7; 32]),
            purpose: "triage ticket 4711".to_owned(),
            context: Private(r#"{"amount":500}"#.to_owned()),
        },
        context_salt: Some([1; 16]),
        arguments: Some(Private(r#"{"cents":500}"#.to_owned())),
        asked_by: Some("gate-1".parse().unwrap()),
        create_time: NOW,
        expire_time: NOW + DEFAULT_LIFE,
        answer: None,
        revision: 1,
    }
}

#[test]
fn what_an_approval_means_follows_from_its_state_and_the_clock() {
    use ApprovalState::{Approved, Expired, Pending, Rejected, Used};
    let (just_before, at_the_end) = (NOW + DEFAULT_LIFE - Duration::MICROSECOND, NOW + DEFAULT_LIFE);
    for (state, before, after) in [
        (Pending, ApprovalStanding::Pending, ApprovalStanding::Expired),
        (Approved, ApprovalStanding::Approved, ApprovalStanding::Expired),
        (Rejected, ApprovalStanding::Rejected, ApprovalStanding::Rejected),
        (Expired, ApprovalStanding::Expired, ApprovalStanding::Expired),
        (Used, ApprovalStanding::Expired, ApprovalStanding::Expired),
    ] {
        let approval = approval(state);
        assert_eq!(approval.standing(&approval.call, just_before), before, "{state}");
        assert_eq!(approval.standing(&approval.call, at_the_end), after, "{state}");
        assert_eq!(approval.state_at(just_before), state);
    }
}

#[test]
fn a_yes_is_good_for_exactly_the_call_it_was_asked_for() {
    let given = approval(ApprovalState::Approved);
    let others: [fn(&mut Call); 11] = [
        |call| call.context = Private(r#"{"amount":501}"#.to_owned()),
        |call| call.context = Private("{}".to_owned()),
        |call| call.context = Private::default(),
        |call| call.agent_instance_id = InstanceId(uuid_v7(NOW, &SystemEntropy)),
        |call| call.sponsor_id = "bob".parse().unwrap(),
        |call| call.tool_id = "search".parse().unwrap(),
        |call| call.action = "charge".parse().unwrap(),
        |call| call.request_hash = Some([8; 32]),
        |call| call.request_hash = None,
        |call| call.purpose = "triage ticket 4711: and more".to_owned(),
        |call| call.purpose = String::new(),
    ];
    for (nth, change) in others.into_iter().enumerate() {
        let mut call = given.call.clone();
        change(&mut call);
        assert_eq!(given.standing(&call, NOW), ApprovalStanding::Mismatch, "{nth}");
    }
    let hashless = Approval { call: Call { request_hash: None, ..given.call.clone() }, ..given.clone() };
    assert_eq!(hashless.standing(&hashless.call, NOW), ApprovalStanding::Approved);
    assert_eq!(hashless.standing(&given.call, NOW), ApprovalStanding::Mismatch, "a yes without a hash is for no hash");
}

#[test]
fn only_what_waits_is_answered_and_a_yes_is_a_second_persons() {
    let pending = approval(ApprovalState::Pending);
    assert_eq!(pending.check(NOW), Ok(()));
    assert_eq!(pending.check(pending.expire_time), Err(ApprovalRule::NotPending(ApprovalState::Expired)));
    for state in ApprovalState::ALL.into_iter().filter(|state| *state != ApprovalState::Pending) {
        assert_eq!(approval(state).check(NOW), Err(ApprovalRule::NotPending(state)));
    }
    let asked = [login("gate-1", "gate-1"), login("oidc.corp@3f2a", "rita")];
    assert_eq!(pending.check_yes(&login("oscar", "oscar"), &asked), Ok(()));
    for who in ["gate-1", "rita"] {
        assert!(
            matches!(pending.check_yes(&login("another-login", who), &asked), Err(ApprovalRule::Person(_))),
            "{who}"
        );
    }
    assert!(pending.check_yes(&Login { operator_id: "oscar".parse().unwrap(), person: None }, &[]).is_err());
}

#[test]
fn states_are_read_as_written() {
    for state in ApprovalState::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
}

proptest! {
    /// In any order of steps and at any time, an approval counts at most once, and only if a person gave it in time.
    #[test]
    fn a_yes_counts_once_and_only_where_it_was_given(steps in prop::collection::vec((0_u8..4, 0_i64..1_200), 1..40)) {
        let mut approval = approval(ApprovalState::Pending);
        let (mut now, mut given, mut used) = (NOW, false, 0);
        for (step, seconds) in steps {
            now += Duration::seconds(seconds);
            match step {
                0 | 1 => {
                    let yes = step == 0;
                    if approval.check(now).is_ok() {
                        prop_assert!(now < approval.expire_time && !given);
                        approval.state = if yes { ApprovalState::Approved } else { ApprovalState::Rejected };
                        given = yes;
                    }
                }
                2 => {
                    if approval.standing(&approval.call, now) == ApprovalStanding::Approved {
                        prop_assert!(given && now < approval.expire_time);
                        approval.state = ApprovalState::Used;
                        used += 1;
                    }
                }
                _ => approval.state = approval.state_at(now),
            }
        }
        prop_assert!(used <= 1);
    }
}

#[test]
fn what_is_shown_reads_as_what_was_sent_and_hides_nothing() {
    let sent = "{\"to\":\"a\u{202e}b\u{200b}\u{e0041}\u{feff} \u{e4}\u{1f600}\"}";
    let shown = Private(sent.to_owned()).shown();
    assert_eq!(shown, "{\"to\":\"a\\u202eb\\u200b\\udb40\\udc41\\ufeff \u{e4}\u{1f600}\"}");
    let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
    assert_eq!(value(&shown), value(sent));
    let logged = format!("{:?}", approval(ApprovalState::Pending));
    // With the brace: ids are at random, and have digits.
    assert!(["amount", "cents", ":500}"].iter().all(|said| !logged.contains(said)), "out of logs: {logged}");
}
