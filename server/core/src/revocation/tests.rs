use std::collections::BTreeMap;

use proptest::prelude::*;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::credential::{Claims, Expect, Grant, KeySet, KeyStanding, SigningKey, sign_credential, verify_credential};

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

fn instance(n: u128) -> InstanceId {
    InstanceId(Uuid::from_u128(n))
}

/// The credential of instance 2, which 1 started; for billing and search, with `rev` 5.
fn run() -> Verified {
    let key = SigningKey::generate().unwrap();
    let claims = Claims::new(Grant {
        issuer: "test",
        audience: "countersign",
        credential_id: CredentialId(Uuid::from_u128(77)),
        ancestors: &[instance(1)],
        agent_instance_id: instance(2),
        sponsor_id: "alice".parse().unwrap(),
        agent: "support-assistant".parse().unwrap(),
        role: "support".parse().unwrap(),
        inherited_roles: Vec::new(),
        root_agent: None,
        tools: vec!["billing".parse().unwrap(), "search".parse().unwrap()],
        purpose: "triage".to_owned(),
        single_use: false,
        rev: 5,
        custody_ref: [7; 32],
        labels: BTreeMap::new(),
        on_behalf_of: None,
        ttl_seconds: 300,
        now: NOW,
    });
    let mut keys = KeySet::default();
    keys.insert(key.verifying_key().clone(), KeyStanding::Active);
    let expect = Expect { issuer: "test", audience: "countersign" };
    verify_credential(&sign_credential(&claims, &key).unwrap(), &keys, &expect, NOW).unwrap()
}

fn entry(seq: i64, kind: RevocationKind, id: &str) -> Revocation {
    Revocation { seq, kind, id: id.to_owned(), create_time: NOW }
}

/// The names that concern the run, by kind, and the reason that it is given.
fn subjects(run: &Verified) -> [(RevocationKind, String, Reason); 8] {
    [
        (RevocationKind::Sponsor, "alice".to_owned(), Reason::SponsorNotActive),
        (RevocationKind::Instance, instance(1).to_string(), Reason::InstanceNotLive),
        (RevocationKind::Instance, instance(2).to_string(), Reason::InstanceNotLive),
        (RevocationKind::Credential, run.credential_id.to_string(), Reason::CredentialRevoked),
        (RevocationKind::Key, run.kid.clone(), Reason::CredentialRevoked),
        (RevocationKind::Tool, "billing".to_owned(), Reason::CredentialRevoked),
        (RevocationKind::Tool, "search".to_owned(), Reason::CredentialRevoked),
        (RevocationKind::All, String::new(), Reason::CredentialRevoked),
    ]
}

/// The list with only these entries.
fn revocations(entries: &[Revocation]) -> Revocations {
    let mut known = Revocations::default();
    for entry in entries {
        known.enter(entry).unwrap();
    }
    known
}

fn killed(entries: &[Revocation], run: &Verified) -> Option<Reason> {
    revocations(entries).kill(run)
}

#[test]
fn an_entry_kills_what_it_matches_and_was_issued_before_it() {
    let run = run();
    for (kind, id, reason) in subjects(&run) {
        assert_eq!(killed(&[entry(6, kind, &id)], &run), Some(reason), "{kind:?} {id} after it was issued");
        // With a compromised key, a thief can write any `rev`.
        let seen = (kind == RevocationKind::Key).then_some(reason);
        assert_eq!(killed(&[entry(5, kind, &id)], &run), seen, "{kind:?} {id} that the issuer had seen");
        assert!(entry(5, kind, &id).concerns(&run) && entry(6, kind, &id).concerns(&run), "{kind:?} {id}");
        assert_eq!(killed(&[entry(4, kind, &id), entry(6, kind, &id)], &run), Some(reason), "{kind:?} {id} twice");
    }
}

#[test]
fn an_entry_about_another_subject_kills_nothing() {
    let run = run();
    let entries = [
        entry(6, RevocationKind::Sponsor, "bob"),
        entry(7, RevocationKind::Instance, &instance(3).to_string()),
        entry(8, RevocationKind::Credential, &CredentialId(Uuid::from_u128(78)).to_string()),
        entry(9, RevocationKind::Key, "another"),
        entry(10, RevocationKind::Tool, "mail"),
    ];
    assert_eq!(killed(&entries, &run), None);
    assert!(!entries.iter().any(|entry| entry.concerns(&run)));
}

#[test]
fn an_entry_is_forgotten_with_what_it_kills_but_not_a_keys() {
    let run = run();
    for (kind, id, reason) in subjects(&run) {
        let mut known = revocations(&[entry(6, kind, &id)]);
        known.forget(NOW);
        assert_eq!(known.kill(&run), Some(reason), "{kind:?} {id}");
        known.forget(NOW + Duration::SECOND);
        let forgotten = (kind != RevocationKind::Key).then_some(Reason::CredentialExpired);
        assert_eq!(known.kill(&run), forgotten.or(Some(reason)), "{kind:?} {id}");
        let later = Verified { rev: 6, ..run.clone() };
        assert_eq!(known.kill(&later).is_some(), kind == RevocationKind::Key, "{kind:?} {id}");
    }
    assert!(ENTRIES_KEPT > Duration::seconds(i64::from(HARD_MAX_TTL) + crate::credential::LEEWAY));
}

#[test]
fn an_entry_that_cannot_be_read_leaves_no_list_at_all() {
    for (kind, id) in [(RevocationKind::Instance, "inst_?"), (RevocationKind::Credential, "")] {
        let log = RevocationLog::new(3, 2, vec![entry(3, kind, id)]);
        assert_eq!(Revocations::new(&log).unwrap_err(), UnreadableEntry(3));
    }
}

#[test]
fn kinds_are_read_back_as_written() {
    for kind in RevocationKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert_eq!("SPONSOR".parse::<RevocationKind>(), Err(()));
}

proptest! {
    /// The list is an index over its entries, and gives the same result as the entries one by one.
    #[test]
    fn a_credential_dies_by_newer_entries_and_by_its_keys(picks in prop::collection::vec((0_usize..14, 0_i64..3), 0..12)) {
        let run = run();
        let mut named: Vec<_> = subjects(&run).into_iter().map(|(kind, id, _)| (kind, id)).collect();
        for (kind, id) in [
            (RevocationKind::Sponsor, "bob".to_owned()),
            (RevocationKind::Instance, instance(3).to_string()),
            (RevocationKind::Credential, CredentialId(Uuid::from_u128(78)).to_string()),
            (RevocationKind::Key, "another".to_owned()),
            (RevocationKind::Tool, "mail".to_owned()),
            (RevocationKind::Tool, "alice".to_owned()),
        ] {
            named.push((kind, id));
        }
        let mut seq = 0;
        let entries: Vec<_> = picks
            .into_iter()
            .map(|(nth, step)| {
                seq += step + 1;
                let (kind, id) = &named[nth];
                entry(seq, *kind, id)
            })
            .collect();
        let kills = |entry: &Revocation| entry.seq > run.rev || entry.kind == RevocationKind::Key;
        let dead = entries.iter().any(|entry| kills(entry) && entry.concerns(&run));
        prop_assert_eq!(killed(&entries, &run).is_some(), dead);
    }

    /// Servers that revoke, forget and raise the floor at any time of their clocks, and followers of each.
    #[test]
    fn a_dead_credential_stays_dead_above_the_floor(
        steps in prop::collection::vec((0_u8..4, 0_usize..8, -200_000_i64..200_000), 1..40),
        issued in 0_usize..40,
    ) {
        let run = run();
        let subjects = subjects(&run);
        let (mut all, mut floor): (Vec<Revocation>, i64) = (Vec::new(), 0);
        let (mut follower, mut rev) = (Revocations::default(), None);
        for (nth, (what, subject, clock)) in steps.into_iter().enumerate() {
            let seq = i64::try_from(all.len()).unwrap();
            if nth == issued {
                rev = Some(seq);
            }
            let now = NOW + Duration::seconds(clock);
            match what {
                0 | 1 => {
                    let (kind, id, _) = &subjects[subject];
                    let entry = Revocation { create_time: now, ..entry(seq + 1, *kind, id) };
                    follower.enter(&entry).unwrap();
                    all.push(entry);
                }
                // What a server does when its clock shows `now`.
                2 => {
                    let standing = all.iter().filter(|entry| entry.seq > floor);
                    let young = standing.filter(|entry| entry.create_time >= now - ENTRIES_KEPT).map(|entry| entry.seq - 1);
                    floor = floor.max(young.min().unwrap_or(seq));
                }
                _ => follower.forget(now - ENTRIES_KEPT),
            }
            let Some(rev) = rev else { continue };
            let run = Verified { rev, ..run.clone() };
            let head = i64::try_from(all.len()).unwrap();
            let kept: Vec<_> =
                all.iter().filter(|entry| entry.seq > floor || entry.kind == RevocationKind::Key).cloned().collect();
            let server = Revocations::new(&RevocationLog::new(head, floor, kept)).unwrap();
            let mut told = follower.clone();
            told.raise_floor(floor);
            let dead = killed(&all, &run);
            for (who, known) in [("server", &server), ("follower", &follower), ("follower that was told", &told)] {
                let alive = known.kill(&run).is_none();
                prop_assert!(!(alive && dead.is_some()), "{} lets live what {:?} killed", who, dead);
                // And no credential that was issued at the floor or above is revoked by it.
                prop_assert!(alive || dead.is_some() || known.floor > rev, "{} kills what nothing killed", who);
            }
        }
    }
}
