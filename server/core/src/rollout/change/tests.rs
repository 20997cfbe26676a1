//! Steps, increments, and the states they are for.

use std::str::FromStr;

use proptest::prelude::*;

use super::*;
use crate::{
    ids::{PolicyVersion, RolloutId},
    rollout::{Baseline, DEFAULT_STEPS, Gates, Scope, StickyKey},
};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn percent(number: u32) -> Percent {
    number.try_into().unwrap()
}

fn rollout(at: u32, increment: Option<u32>) -> Rollout {
    Rollout {
        rollout_id: RolloutId::from_str("roll_01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
        baseline: Baseline::Observe,
        candidate: PolicyVersion(1),
        percent: percent(at),
        sticky_key: StickyKey::RootInstance,
        state: RolloutState::Running,
        steps: DEFAULT_STEPS.to_vec(),
        increment_per_day: increment.map(percent),
        gates: Gates::default(),
        min_soak_seconds: 3_600,
        scope: Scope::default(),
        salt: [1; 32],
        create_time: NOW,
        advance_time: NOW,
        gates_since: NOW,
        person_percent: percent(at),
        rollback_reason: None,
        revision: 1,
        created_by: None,
        end_time: None,
    }
}

#[test]
fn a_person_advances_what_runs_and_has_soaked_and_only_upwards() {
    let running = rollout(10, None);
    let soaked = NOW + Duration::HOUR;
    assert_eq!(running.check_advance(percent(30), soaked, false), Ok(()));
    assert_eq!(running.check_advance(percent(30), NOW, false), Err(RolloutRule::Soaking { left_seconds: 3_600 }));
    assert_eq!(running.check_advance(percent(30), NOW, true), Ok(()));
    for to in [0, 9, 10].map(percent) {
        assert_eq!(running.check_advance(to, soaked, true), Err(RolloutRule::NotGrowing { from: percent(10), to }));
    }
    for state in [RolloutState::Paused, RolloutState::Completed, RolloutState::RolledBack] {
        let other = Rollout { state, ..rollout(10, None) };
        assert_eq!(other.check_advance(percent(30), soaked, true), Err(RolloutRule::NotRunning(state)));
    }
}

#[test]
fn every_transition_is_for_its_state_and_counts_a_revision() {
    for state in RolloutState::ALL {
        let of = || Rollout { state, ..rollout(10, None) };
        let mut paused = of();
        assert_eq!(paused.pause().is_ok(), state == RolloutState::Running);
        let mut resumed = of();
        assert_eq!(resumed.resume(NOW + Duration::HOUR).is_ok(), state == RolloutState::Paused);
        let mut undone = of();
        assert_eq!(undone.roll_back(NOW, "why".to_owned()).is_ok(), state.is_open());
        for changed in [paused, resumed, undone] {
            assert_eq!(changed.revision == 2, changed.state != state, "{changed:?}");
        }
    }
    let mut paused = rollout(10, None);
    paused.pause().unwrap();
    paused.resume(NOW + Duration::HOUR).unwrap();
    assert_eq!((paused.gates_since, paused.advance_time), (NOW + Duration::HOUR, NOW));
}

#[test]
fn increments_come_daily_up_to_the_step_after_a_persons() {
    let mut growing = rollout(10, Some(7));
    let mut now = NOW;
    let mut path = Vec::new();
    for _ in 0..10 {
        now += Duration::DAY - Duration::SECOND;
        assert_eq!(growing.due_increment(now), None, "not a day yet");
        now += Duration::SECOND;
        if let Some(to) = growing.due_increment(now) {
            growing.advance(to, now, false);
            assert_eq!(growing.due_increment(now), None, "once a day");
            path.push(to);
        }
    }
    assert_eq!(path, [17, 24, 30].map(percent), "30 is the next step, and further takes a person");
    growing.advance(percent(31), now, true);
    assert_eq!(growing.due_increment(now + Duration::DAY), Some(percent(38)));
}

#[test]
fn automation_completes_nothing() {
    let mut last = rollout(60, Some(100));
    assert_eq!(last.due_increment(NOW + Duration::DAY), Some(percent(99)));
    last.advance(percent(99), NOW, false);
    assert_eq!(last.due_increment(NOW + Duration::WEEK), None);
}

#[test]
fn increments_wait_for_the_soak_and_for_a_rollout_that_runs() {
    let soaking = Rollout { min_soak_seconds: 3 * 86_400, ..rollout(10, Some(2)) };
    assert_eq!(soaking.due_increment(NOW + Duration::days(2)), None);
    assert_eq!(soaking.due_increment(NOW + Duration::days(3)), Some(percent(12)));
    let paused = Rollout { state: RolloutState::Paused, ..rollout(10, Some(2)) };
    assert_eq!(paused.due_increment(NOW + Duration::WEEK), None);
    assert_eq!(rollout(10, None).due_increment(NOW + Duration::WEEK), None);
}

proptest! {
    #[test]
    fn a_clock_that_jumps_adds_at_most_once_for_each_day_it_shows(jumps in prop::collection::vec(-400_000_i64..400_000, 1..40)) {
        let mut growing = rollout(10, Some(2));
        let mut added = 0;
        let mut furthest = NOW;
        for jump in jumps {
            let now = NOW + Duration::seconds(jump);
            furthest = furthest.max(now);
            if let Some(to) = growing.due_increment(now) {
                growing.advance(to, now, false);
                added += 1;
            }
        }
        prop_assert!(added <= (furthest - NOW).whole_days());
        prop_assert!(growing.percent <= percent(30));
    }
}
