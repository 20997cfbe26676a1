use super::*;
use crate::rollout::{Baseline, Gates, RolloutState, Scope};

const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn rollout(sticky_key: StickyKey) -> Rollout {
    Rollout {
        rollout_id: "roll_01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        baseline: Baseline::Observe,
        candidate: "pv_1".parse().unwrap(),
        percent: Percent::of::<10>(),
        sticky_key,
        state: RolloutState::Running,
        steps: vec![Percent::of::<10>(), Percent::ALL],
        increment_per_day: None,
        gates: Gates::default(),
        min_soak_seconds: 0,
        scope: Scope::default(),
        salt: [7; 32],
        create_time: START,
        advance_time: START,
        gates_since: START,
        person_percent: Percent::of::<10>(),
        rollback_reason: None,
        revision: 1,
        created_by: None,
        end_time: None,
    }
}

#[test]
fn a_day_with_nobody_inside_is_told_with_what_helps() {
    let (day, never) = (START + Duration::DAY, Some(Enrolment { since: START, last: None }));
    for (key, helps) in [
        (StickyKey::RootInstance, "more and shorter runs"),
        (StickyKey::Sponsor, "another rollout with the sticky key ROOT_INSTANCE"),
        (StickyKey::Agent, "another rollout with the sticky key ROOT_INSTANCE"),
    ] {
        let said = rollout(key).nobody_inside(never, 400, day).unwrap();
        assert!(
            said.starts_with("The candidate has answered no call for 24 hours: all callers are outside the 10 %"),
            "{said}"
        );
        assert!(said.contains("A higher percentage helps"), "{said}");
        assert!(said.contains(helps) && said.contains(key.as_str()), "{said}");
    }
    let said = rollout(StickyKey::Sponsor).nobody_inside(never, 0, day).unwrap();
    assert!(said.contains("no call was in the rollout's scope") && said.contains("wider scope"), "{said}");
}

#[test]
fn somebody_inside_too_early_or_not_counted_is_not_told() {
    let (day, open) = (START + Duration::DAY, rollout(StickyKey::Sponsor));
    let enrolled = |last| Some(Enrolment { since: START, last });
    let said = |rollout: &Rollout, enrolment, now| rollout.nobody_inside(enrolment, 9, now);
    assert_eq!(said(&open, None, day), None);
    assert_eq!(said(&open, enrolled(None), day - Duration::SECOND), None);
    assert_eq!(said(&open, enrolled(Some(START + Duration::SECOND)), day), None);
    assert_eq!(said(&open, Some(Enrolment { since: START + Duration::HOUR, last: None }), day), None);
    assert_eq!(said(&Rollout { percent: Percent::NONE, ..open.clone() }, enrolled(None), day), None);
    assert_eq!(said(&Rollout { state: RolloutState::RolledBack, ..open.clone() }, enrolled(None), day), None);
    assert_eq!(said(&Rollout { advance_time: day - Duration::MINUTE, ..open.clone() }, enrolled(None), day), None);
    // A daily increment begins no new day.
    let later = Rollout { advance_time: day - 2 * Duration::HOUR, state: RolloutState::Paused, ..open };
    assert!(said(&later, enrolled(None), day).is_some());
}
