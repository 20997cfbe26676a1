//! Transitions, ends and acceptances, by table.

use uuid::Uuid;

use super::*;
use crate::sponsor::{
    SponsorState,
    tests::{login, sponsor},
};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn instance(state: InstanceState, parent: Option<InstanceId>) -> Instance {
    let id = InstanceId(Uuid::from_bytes([1; 16]));
    Instance {
        agent_instance_id: id,
        parent_agent_id: parent,
        root_instance_id: parent.unwrap_or(id),
        chain: parent.into_iter().collect(),
        sponsor_id: "alice".parse().unwrap(),
        agent: "support-assistant".parse().unwrap(),
        role: "support".parse().unwrap(),
        inherited_roles: Vec::new(),
        tools: Vec::new(),
        purpose: "triage".to_owned(),
        depth: 0,
        state,
        labels: BTreeMap::new(),
        create_time: NOW,
        expire_time: NOW + Duration::MINUTE,
        end_time: None,
        rev: 0,
        custody_ref: [0; 32],
        revision: 3,
        on_behalf_of: None,
        parent_credential_id: None,
        root_agent: None,
    }
}

#[test]
fn an_instance_is_stopped_or_accepted_as_its_state_allows() {
    use InstanceState::{Ended, Live, Orphaned, Revoked};
    use InstanceTransition::{Accept, End, Revoke};
    let legal = [(Revoke, Live, Revoked), (Revoke, Orphaned, Revoked), (End, Live, Ended), (Accept, Orphaned, Live)];
    for transition in InstanceTransition::ALL {
        for from in InstanceState::ALL {
            let wanted = legal.iter().find(|(t, f, _)| *t == transition && *f == from).map(|(_, _, to)| *to);
            assert_eq!(instance(from, None).check(transition, NOW).ok(), wanted, "{transition:?} of {from}");
        }
    }
}

#[test]
fn what_expired_is_past_stopping_once_no_verifier_takes_it() {
    let end = NOW + Duration::MINUTE + Duration::seconds(LEEWAY);
    let check = |state, at| instance(state, None).check(InstanceTransition::Revoke, at);
    assert_eq!(check(InstanceState::Live, end - Duration::SECOND), Ok(InstanceState::Revoked));
    assert!(check(InstanceState::Live, end).unwrap_err().to_string().contains("EXPIRED"));
    assert_eq!(check(InstanceState::Orphaned, end), Ok(InstanceState::Revoked));
}

#[test]
fn an_orphan_is_accepted_by_somebody_who_has_no_part_in_it() {
    let orphan = instance(InstanceState::Orphaned, None);
    let (from, to) = (sponsor(SponsorState::Departed), sponsor(SponsorState::Active));
    let to = Sponsor { sponsor_id: "bob".parse().unwrap(), person_id: Some("robert".parse().unwrap()), ..to };
    let rita = login("rita", "rita");
    let check = |who, person| orphan.check_acceptance(&login(who, person), [&from, &to], Some(&rita));
    for (who, person) in [("alice", "alice"), ("bob", "bob"), ("r", "robert")] {
        assert!(matches!(check(who, person), Err(InstanceRule::SamePerson { .. })), "{who}");
    }
    assert!(check("oscar", "rita").unwrap_err().to_string().contains("recorded the departure"));
    assert_eq!(check("oscar", "oscar"), Ok(()));
    assert_eq!(orphan.check_root(), Ok(()));
    let root = InstanceId(Uuid::from_bytes([2; 16]));
    let child = instance(InstanceState::Orphaned, Some(root));
    assert_eq!(child.check_root(), Err(InstanceRule::NotARoot { root }));
}

#[test]
fn the_etag_changes_with_the_row_and_with_revocations() {
    let etags = [
        instance(InstanceState::Live, None).etag(),
        instance(InstanceState::Revoked, None).etag(),
        Instance { revision: 4, ..instance(InstanceState::Live, None) }.etag(),
    ];
    assert_eq!(etags, ["3-LIVE", "3-REVOKED", "4-LIVE"]);
}
