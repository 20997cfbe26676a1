use proptest::prelude::*;
use time::Duration;

use super::{
    SponsorState::{Active, Departed, Pending, Rejected, Revoked, Suspended},
    *,
};
use crate::person::LoginPerson;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

pub(crate) fn sponsor(state: SponsorState) -> Sponsor {
    Sponsor {
        sponsor_id: "alice".parse().unwrap(),
        display_name: "Alice".into(),
        email: "alice@example.com".into(),
        person_id: None,
        person_confirmed: false,
        roles: vec!["support".parse().unwrap(), "user".parse().unwrap()],
        max_ttl_seconds: 900,
        max_depth: 3,
        state,
        review_due_at: Some(NOW + DEFAULT_REVIEW),
        create_time: NOW,
        approve_time: None,
        revoke_time: None,
        revision: 1,
        labels: BTreeMap::new(),
        registered_by: "rita".parse().unwrap(),
        changed_by: Some("carl".parse().unwrap()),
        terms_by: vec!["carl".parse().unwrap()],
        suspend_cause: (state == Suspended).then_some(SuspendCause::Operator),
        departure: None,
        grant_leaf: None,
    }
}

fn by(name: &str) -> OperatorId {
    name.parse().unwrap()
}

#[test]
fn only_the_drawn_transitions_are_legal() {
    let legal = [
        (Transition::Approve, Pending, Active),
        (Transition::Reject, Pending, Rejected),
        (Transition::Suspend, Active, Suspended),
        (Transition::Reinstate, Suspended, Active),
        (Transition::Recertify, Active, Active),
        (Transition::Recertify, Suspended, Suspended),
        (Transition::Depart, Active, Departed),
        (Transition::Depart, Suspended, Departed),
        (Transition::Revoke, Active, Revoked),
        (Transition::Revoke, Suspended, Revoked),
        (Transition::Revoke, Departed, Revoked),
    ];
    for transition in Transition::ALL {
        for from in SponsorState::ALL {
            let wanted = legal.iter().find(|(t, f, _)| *t == transition && *f == from).map(|(_, _, to)| *to);
            assert_eq!(transition.apply(from, false).ok(), wanted, "{transition:?} from {from}");
            let lapsed = if (transition, from) == (Transition::Recertify, Suspended) { Some(Active) } else { wanted };
            assert_eq!(transition.apply(from, true).ok(), lapsed, "{transition:?} from {from}, lapsed");
        }
    }
}

/// A login with a confirmed binding to the person of that name.
pub(crate) fn login(operator: &str, person: &str) -> Login {
    Login {
        operator_id: by(operator),
        person: Some(LoginPerson { person_id: person.parse().unwrap(), confirmed: true }),
    }
}

fn check_person(sponsor: &Sponsor, transition: Transition, actor: &Login) -> Result<(), SponsorRule> {
    let writers: Vec<_> = sponsor.writers().map(|writer| login(writer.as_str(), writer.as_str())).collect();
    sponsor.check_person(transition, actor, &writers)
}

#[test]
fn who_vouches_is_not_the_sponsor_nor_wrote_the_terms() {
    for (transition, from) in [(Transition::Approve, Pending), (Transition::Recertify, Active)] {
        let check = |who: &str, person: &str| check_person(&sponsor(from), transition, &login(who, person));
        // Whatever the name of the login is.
        for (who, person) in [("rita", "rita"), ("carl", "carl"), ("oidc.corp@3f2a", "rita"), ("bob", "carl")] {
            assert!(matches!(check(who, person), Err(SponsorRule::Person(PersonRule::SamePerson { .. }))), "{who}");
        }
        // Under every name that she has.
        for own in ["alice", "oidc.corp.alice", "alice@example.com", "oidc.corp.alice@example.com"] {
            assert_eq!(check(own, "a-person"), Err(SponsorRule::OwnApproval { transition }), "{own}");
        }
        assert_eq!(check("bob", "bob"), Ok(()));
        let hers = Sponsor { person_id: Some("ann".parse().unwrap()), ..sponsor(from) };
        let refused = Err(SponsorRule::OwnApproval { transition });
        assert_eq!(check_person(&hers, transition, &login("bob", "ann")), refused);
        let nobodys = Login { operator_id: by("bob"), person: None };
        assert!(check_person(&sponsor(from), transition, &nobodys).is_err());
    }
}

#[test]
fn everybody_who_changed_terms_since_approval_wrote_them() {
    let writers = |sponsor: &Sponsor| sponsor.terms_by.iter().map(ToString::to_string).collect::<Vec<_>>();
    let ttl = |seconds| SponsorChange { max_ttl_seconds: Some(seconds), ..SponsorChange::default() };
    let first = sponsor(Active).changed(ttl(60), &by("dora")).unwrap().unwrap().sponsor;
    let second = first.changed(ttl(61), &by("emil")).unwrap().unwrap().sponsor;
    let third = second.changed(ttl(62), &by("dora")).unwrap().unwrap().sponsor;
    assert_eq!(
        (writers(&first), writers(&third)),
        (vec!["dora".to_owned()], vec!["dora".to_owned(), "emil".to_owned()])
    );
    for who in ["rita", "dora", "emil"] {
        assert!(check_person(&third, Transition::Approve, &login(who, who)).is_err(), "{who}");
    }
    assert_eq!(check_person(&third, Transition::Approve, &login("carl", "carl")), Ok(()));
}

#[test]
fn a_sponsor_may_stop_and_never_re_enable_themself() {
    let alice = login("alice", "alice");
    for transition in Transition::ALL {
        assert!(!(transition.is_own() && transition.needs_four_eyes()), "{transition:?}");
        assert!(!transition.is_own() || transition.stops_instances(), "{transition:?}");
    }
    assert_eq!(check_person(&sponsor(Active), Transition::Suspend, &alice), Ok(()));
    for transition in [Transition::Reinstate, Transition::Recertify] {
        let refused = Err(SponsorRule::OwnApproval { transition });
        assert_eq!(check_person(&sponsor(Suspended), transition, &alice), refused);
    }
}

#[test]
fn a_lapsed_review_counts_before_any_worker_noticed() {
    let due = NOW + DEFAULT_REVIEW;
    assert!(
        sponsor(Active).is_active(due - Duration::SECOND) && !sponsor(Active).review_lapsed(due - Duration::SECOND)
    );
    assert!(!sponsor(Active).is_active(due) && sponsor(Active).review_lapsed(due));
    assert!(!sponsor(Suspended).review_lapsed(due));
    let late = sponsor(Suspended).check(Transition::Reinstate, due);
    assert_eq!(late, Err(SponsorRule::ReviewLapsed));
}

#[test]
fn recertifying_undoes_a_lapsed_review_and_no_persons_order() {
    let lapsed = Sponsor { suspend_cause: Some(SuspendCause::ReviewLapsed), ..sponsor(Suspended) };
    assert_eq!(lapsed.check(Transition::Recertify, NOW), Ok(Active));
    assert_eq!(sponsor(Suspended).check(Transition::Recertify, NOW), Ok(Suspended));
}

#[test]
fn a_review_is_due_in_the_future_and_400_days_ahead_at_most() {
    assert_eq!(next_review(NOW, None), Ok(NOW + Duration::days(90)));
    for (asked, fits) in [
        (Duration::ZERO, false),
        (-Duration::DAY, false),
        (Duration::SECOND, true),
        (MAX_REVIEW, true),
        (MAX_REVIEW + Duration::SECOND, false),
    ] {
        let due = next_review(NOW, Some(NOW + asked));
        assert_eq!(due, if fits { Ok(NOW + asked) } else { Err(SponsorRule::ReviewDate) }, "{asked}");
    }
}

#[test]
fn a_change_of_what_was_approved_takes_a_new_approval() {
    let changes = [
        SponsorChange { display_name: Some("Alicia".into()), ..SponsorChange::default() },
        SponsorChange { email: Some("a@example.com".into()), ..SponsorChange::default() },
        SponsorChange { roles: Some(vec!["support".parse().unwrap()]), ..SponsorChange::default() },
        SponsorChange { max_ttl_seconds: Some(60), ..SponsorChange::default() },
        SponsorChange { max_depth: Some(0), ..SponsorChange::default() },
    ];
    for change in changes {
        for state in [Pending, Active, Suspended] {
            let after = sponsor(state).changed(change.clone(), &by("dora")).unwrap().unwrap();
            assert!(after.needs_approval(), "{change:?}");
            let after = after.sponsor;
            assert_eq!((after.state, after.suspend_cause, after.revision), (Pending, None, 2));
            assert_eq!((after.review_due_at, after.changed_by), (None, Some(by("dora"))));
        }
        for state in [Rejected, Revoked, Departed] {
            let refused = Err(SponsorRule::IllegalTransition { verb: "change", from: state });
            assert_eq!(sponsor(state).changed(change.clone(), &by("dora")), refused);
        }
    }
}

#[test]
fn labels_alone_leave_the_approval_and_nothing_is_no_change() {
    let before = sponsor(Active);
    let labels = BTreeMap::from([("team".to_owned(), "billing".to_owned())]);
    let change = SponsorChange { labels: Some(labels.clone()), ..SponsorChange::default() };
    let changed = before.changed(change, &by("dora")).unwrap().unwrap();
    assert!(!changed.needs_approval());
    assert_eq!(changed.sponsor, Sponsor { labels, revision: 2, ..before.clone() });

    let same = SponsorChange {
        display_name: Some("Alice".into()),
        roles: Some(vec!["user".parse().unwrap(), "support".parse().unwrap()]),
        ..SponsorChange::default()
    };
    assert_eq!(before.changed(same, &by("dora")), Ok(None));
}

#[test]
fn the_differences_name_every_role_that_came_and_went() {
    let change = SponsorChange {
        roles: Some(vec!["user".parse().unwrap(), "admin".parse().unwrap()]),
        max_ttl_seconds: Some(300),
        ..SponsorChange::default()
    };
    let terms = sponsor(Active).changed(change, &by("dora")).unwrap().unwrap().terms;
    let said: Vec<_> = terms.iter().map(|d| (d.field.as_str(), d.before.as_deref(), d.after.as_deref())).collect();
    let expected = [
        ("max_ttl_seconds", Some("900"), Some("300")),
        ("role_added.00", None, Some("admin")),
        ("role_removed.00", Some("support"), None),
    ];
    assert_eq!(said, expected);
}

proptest! {
    /// The custody leaf requires them sorted by their fields, each once.
    #[test]
    fn differences_come_in_the_order_of_their_fields(
        roles in proptest::collection::btree_set("[a-z]{1,8}", 1..32), max_ttl in 1u32..900, max_depth in 0u32..8,
    ) {
        let roles = roles.iter().map(|role| role.parse().unwrap()).collect();
        let change = SponsorChange {
            roles: Some(roles),
            max_ttl_seconds: Some(max_ttl),
            max_depth: Some(max_depth),
            ..SponsorChange::default()
        };
        let changed = sponsor(Active).changed(change, &by("dora")).unwrap();
        let terms = changed.map(|changed| changed.terms).unwrap_or_default();
        prop_assert!(terms.is_sorted_by(|a, b| a.field < b.field));
    }
}

#[test]
fn what_cannot_be_asked_is_told_with_when_it_can() {
    for transition in Transition::ALL {
        for from in [Pending, Active, Suspended, Rejected, Revoked, Departed] {
            let Err(rule) = transition.apply(from, false) else { continue };
            let said = rule.to_string();
            let (is, only) = said.split_once("; only a sponsor that is ").unwrap();
            assert!(is.ends_with(from.as_str()) && !only.contains(from.as_str()), "{said}");
        }
    }
    let said = Transition::Reinstate.apply(Active, false).unwrap_err().to_string();
    assert_eq!(said, "the sponsor is already ACTIVE; only a sponsor that is SUSPENDED can be reinstated");
}
