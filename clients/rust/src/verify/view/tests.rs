use std::collections::BTreeMap;

use countersign_core::{
    clock::{SystemEntropy, uuid_v7},
    credential::{Claims, Grant, KeyStanding, SigningKey, sign_credential},
    ids::{CredentialId, InstanceId},
};
use time::macros::datetime;

use super::*;

const WALL: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
/// The server's clock is hours off ours.
const SERVER: OffsetDateTime = datetime!(2026-01-02 09:04:05 UTC);
const EXPECT: Expect<'static> = Expect { issuer: "https://id.example", audience: "countersign" };

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A verifier's view, at an instant of the test's choosing.
struct Watched {
    view: View,
    key: SigningKey,
    dial: Dial,
    /// When the stream was asked for.
    start: Instant,
}

impl Watched {
    /// Of an installation in which nothing was revoked yet, as told 100 ms after it was asked for.
    fn new() -> Self {
        let start = Instant::now();
        let (view, key) = (View::default(), SigningKey::generate().unwrap());
        let mut this = Self { view, key, dial: Dial::new(start), start };
        this.hears(&snapshot(0, vec![]), 100).unwrap();
        this
    }

    fn hears(&mut self, message: &v1::WatchRevocationsResponse, after: u64) -> Result<(), Garbled> {
        let keys = message.snapshot.then(|| keys(&self.key));
        self.view.hear(message, keys, &mut self.dial, self.start + millis(after))
    }

    fn says(&self, token: &str, after: u64) -> Result<Verified, Denied> {
        self.view.check(token, &EXPECT, self.start + millis(after), WALL)
    }

    fn accepts(&self, token: &str, after: u64) -> bool {
        self.says(token, after).is_ok()
    }

    fn token(&self, rev: i64) -> String {
        self.token_with(rev, false)
    }

    fn token_with(&self, rev: i64, single_use: bool) -> String {
        let id = || uuid_v7(WALL, &SystemEntropy);
        let claims = Claims::new(Grant {
            issuer: EXPECT.issuer,
            audience: EXPECT.audience,
            credential_id: CredentialId(id()),
            ancestors: &[],
            agent_instance_id: InstanceId(id()),
            sponsor_id: "alice".parse().unwrap(),
            agent: "support-assistant".parse().unwrap(),
            role: "support".parse().unwrap(),
            inherited_roles: Vec::new(),
            root_agent: None,
            tools: vec!["billing".parse().unwrap()],
            purpose: "triage".to_owned(),
            single_use,
            rev,
            custody_ref: [7; 32],
            labels: BTreeMap::new(),
            on_behalf_of: None,
            ttl_seconds: 300,
            now: WALL,
        });
        sign_credential(&claims, &self.key).unwrap()
    }
}

fn keys(key: &SigningKey) -> KeySet {
    let mut keys = KeySet::default();
    keys.insert(key.verifying_key().clone(), KeyStanding::Active);
    keys
}

fn entry(seq: i64, kind: v1::RevocationKind, id: &str) -> v1::RevocationEntry {
    v1::RevocationEntry { seq, kind: kind.into(), id: id.to_owned(), create_time: Some(proto(SERVER)) }
}

fn proto(at: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.unix_timestamp(), nanos: at.nanosecond().cast_signed() }
}

/// As of that many milliseconds after the first message, by the server's clock.
fn message(seq: i64, entries: Vec<v1::RevocationEntry>, after: i64) -> v1::WatchRevocationsResponse {
    v1::WatchRevocationsResponse {
        heartbeat: entries.is_empty(),
        entries,
        seq,
        server_time: Some(proto(SERVER + time::Duration::milliseconds(after))),
        ..Default::default()
    }
}

fn snapshot(seq: i64, entries: Vec<v1::RevocationEntry>) -> v1::WatchRevocationsResponse {
    v1::WatchRevocationsResponse { snapshot: true, heartbeat: false, ..message(seq, entries, 0) }
}

#[test]
fn nothing_is_accepted_before_the_first_snapshot() {
    let watched = Watched::new();
    let now = Instant::now();
    assert_eq!(View::default().check(&watched.token(0), &EXPECT, now, WALL), Err(Denied::CutOff));
    assert!(watched.accepts(&watched.token(0), 100));
}

#[test]
fn everything_is_denied_from_five_seconds_after_what_was_last_known() {
    let mut watched = Watched::new();
    let token = watched.token(0);
    assert!(watched.accepts(&token, 4_999));
    assert_eq!(watched.says(&token, 5_000), Err(Denied::CutOff), "counted from when the snapshot was asked for");
    watched.hears(&message(0, vec![], 3_000), 3_150).unwrap();
    assert!(watched.accepts(&token, 7_999));
    assert_eq!(watched.says(&token, 8_000), Err(Denied::CutOff));
    watched.hears(&message(0, vec![], 9_000), 9_100).unwrap();
    assert!(watched.accepts(&token, 9_100), "and accepted again");
}

#[test]
fn a_heartbeat_that_was_long_on_its_way_is_as_old_as_it_is() {
    let mut watched = Watched::new();
    let token = watched.token(0);
    watched.hears(&message(0, vec![], 1_000), 4_900).unwrap();
    assert!(watched.accepts(&token, 5_999));
    assert_eq!(watched.says(&token, 6_000), Err(Denied::CutOff));
}

#[test]
fn a_server_whose_clock_is_set_is_never_taken_to_speak_of_the_future() {
    let mut watched = Watched::new();
    let token = watched.token(0);
    watched.hears(&message(0, vec![], 3_600_000), 1_000).unwrap();
    assert!(watched.accepts(&token, 5_999));
    assert_eq!(watched.says(&token, 6_000), Err(Denied::CutOff));
    let mut watched = Watched::new();
    watched.hears(&message(0, vec![], -3_600_000), 1_000).unwrap();
    assert!(watched.accepts(&watched.token(0), 4_999), "what was known is still known");
}

#[test]
fn an_entry_kills_what_was_issued_before_it() {
    for (kind, id, reason) in [
        (v1::RevocationKind::Sponsor, "alice", Reason::SponsorNotActive),
        (v1::RevocationKind::Tool, "billing", Reason::CredentialRevoked),
        (v1::RevocationKind::All, "", Reason::CredentialRevoked),
    ] {
        let mut watched = Watched::new();
        watched.hears(&message(3, vec![entry(3, kind, id)], 200), 300).unwrap();
        assert_eq!(watched.says(&watched.token(2), 400), Err(Denied::Revoked(reason)), "{kind:?}");
        assert!(watched.accepts(&watched.token(3), 400), "{kind:?}");
        assert_eq!(watched.view.seq(), 3);
    }
}

#[test]
fn an_instance_and_a_credential_are_killed_by_their_ids() {
    let mut watched = Watched::new();
    let (first, second) = (watched.token(0), watched.token(0));
    let instance = watched.says(&first, 200).unwrap().agent_instance_id.to_string();
    let credential = watched.says(&second, 200).unwrap().credential_id.to_string();
    let entries =
        vec![entry(1, v1::RevocationKind::Instance, &instance), entry(2, v1::RevocationKind::Credential, &credential)];
    watched.hears(&message(2, entries, 200), 300).unwrap();
    assert_eq!(watched.says(&first, 300), Err(Denied::Revoked(Reason::InstanceNotLive)));
    assert_eq!(watched.says(&second, 300), Err(Denied::Revoked(Reason::CredentialRevoked)));
    assert!(watched.accepts(&watched.token(0), 300));
}

#[test]
fn what_a_compromised_key_signed_is_dead_whatever_it_says_and_for_good() {
    let mut watched = Watched::new();
    let kid = watched.key.kid().to_owned();
    watched.hears(&message(1, vec![entry(1, v1::RevocationKind::Key, &kid)], 200), 300).unwrap();
    let forged = watched.token(i64::MAX);
    assert_eq!(watched.says(&forged, 300), Err(Denied::Refused(Refusal::KeyCompromised)));
    watched.hears(&message(1, vec![], 3_600_000), 3_600_000).unwrap();
    assert_eq!(watched.says(&forged, 3_600_000), Err(Denied::Refused(Refusal::KeyCompromised)));
}

#[test]
fn a_snapshot_replaces_what_was_known_and_an_entry_told_twice_is_one() {
    let mut watched = Watched::new();
    let alice = || entry(3, v1::RevocationKind::Sponsor, "alice");
    watched.hears(&message(3, vec![alice()], 200), 300).unwrap();
    watched.hears(&message(3, vec![alice()], 300), 400).unwrap();
    assert_eq!((watched.view.seq(), watched.accepts(&watched.token(0), 400)), (3, false));
    watched.hears(&snapshot(2, vec![entry(2, v1::RevocationKind::Sponsor, "bob")]), 500).unwrap();
    assert_eq!((watched.view.seq(), watched.accepts(&watched.token(0), 500)), (2, true));
}

#[test]
fn what_is_below_the_floor_has_expired_whatever_its_time_says() {
    let mut watched = Watched::new();
    let floor = |floor| v1::WatchRevocationsResponse { floor: Some(floor), ..message(5, vec![], 200) };
    let bob = entry(5, v1::RevocationKind::Sponsor, "bob");
    watched.hears(&message(5, vec![entry(3, v1::RevocationKind::Sponsor, "alice"), bob], 200), 300).unwrap();
    for (told, rev, expected) in [
        (2, 1, Some(Denied::Revoked(Reason::CredentialExpired))),
        (2, 2, Some(Denied::Revoked(Reason::SponsorNotActive))),
        (2, 3, None),
        (4, 3, Some(Denied::Revoked(Reason::CredentialExpired))),
        (4, 4, None),
        (3, 3, Some(Denied::Revoked(Reason::CredentialExpired))),
    ] {
        watched.hears(&floor(told), 300).unwrap();
        assert_eq!(watched.says(&watched.token(rev), 300).err(), expected, "rev {rev}, told {told}");
    }
    let begun = v1::WatchRevocationsResponse { floor: Some(4), ..snapshot(5, vec![]) };
    watched.hears(&begun, 400).unwrap();
    assert_eq!(watched.says(&watched.token(3), 400), Err(Denied::Revoked(Reason::CredentialExpired)));
    assert!(watched.accepts(&watched.token(4), 400));
    assert_eq!(watched.hears(&floor(6), 500), Err(Garbled), "above the newest entry");
}

#[test]
fn of_a_server_that_states_no_floor_entries_are_kept_as_long_as_they_can_matter() {
    let mut watched = Watched::new();
    watched.hears(&message(3, vec![entry(3, v1::RevocationKind::Sponsor, "alice")], 200), 300).unwrap();
    let later = i64::try_from(ENTRIES_KEPT.whole_milliseconds()).unwrap();
    for (after, denied) in [(later, Reason::SponsorNotActive), (later + 1, Reason::CredentialExpired)] {
        watched.hears(&message(3, vec![], after), after.unsigned_abs()).unwrap();
        assert_eq!(watched.says(&watched.token(0), after.unsigned_abs()), Err(Denied::Revoked(denied)), "{after}");
    }
    let after = later + 1;
    assert!(watched.says(&watched.token(3), after.unsigned_abs()).is_ok(), "issued after it");
}

#[test]
fn a_single_use_credential_is_for_decide_alone() {
    let watched = Watched::new();
    assert_eq!(watched.says(&watched.token_with(0, true), 200), Err(Denied::SingleUse));
}

#[test]
fn a_key_that_is_not_known_is_told_from_a_token_that_does_not_hold() {
    let (watched, other) = (Watched::new(), Watched::new());
    assert_eq!(watched.says(&other.token(0), 200), Err(Denied::Refused(Refusal::UnknownKey)));
    assert!(matches!(watched.says("a.b.c", 200), Err(Denied::Refused(Refusal::Malformed(_)))));
}

#[test]
fn what_cannot_be_read_leaves_nothing_to_accept_by() {
    let unknown = v1::RevocationEntry { kind: 99, ..entry(1, v1::RevocationKind::All, "") };
    let bad_id = entry(1, v1::RevocationKind::Instance, "inst_?");
    let ahead = entry(2, v1::RevocationKind::All, "");
    let timeless = v1::WatchRevocationsResponse { server_time: None, ..message(0, vec![], 0) };
    let undated = v1::RevocationEntry { create_time: None, ..entry(1, v1::RevocationKind::All, "") };
    for garbled in [
        message(1, vec![unknown], 200),
        message(1, vec![bad_id], 200),
        message(1, vec![ahead], 200),
        message(1, vec![undated], 200),
        message(-1, vec![], 200),
        v1::WatchRevocationsResponse { floor: Some(-1), ..message(0, vec![], 200) },
        timeless,
    ] {
        let mut watched = Watched::new();
        assert_eq!(watched.hears(&garbled, 300), Err(Garbled), "{garbled:?}");
        assert_eq!(watched.says(&watched.token(0), 300), Err(Denied::CutOff), "{garbled:?}");
        assert_eq!(watched.hears(&message(0, vec![], 300), 400), Err(Garbled), "only a snapshot can help");
        watched.hears(&snapshot(0, vec![]), 500).unwrap();
        assert!(watched.accepts(&watched.token(0), 500));
    }
}
