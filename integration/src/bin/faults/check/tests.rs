//! Each harm that can be done to a log is found.

use super::*;
use crate::journal::Journal;

const AT: &str = "2026-01-02T03:04:11.000000Z";

fn uuid(number: u8) -> String {
    format!("01890a5d-ac96-774b-bcce-0000000000{number:02x}")
}

fn decision(number: u8, instance: u8, effect: &str) -> Vec<u8> {
    let (event, question) = (uuid(number), format!("{number:02x}").repeat(32));
    format!(
        r#"{{"action":"refund","agent_instance_id":"inst_{}","effect":"{effect}","enforcement":"enforced","event_id":"evt_{event}","kind":"decision","policy_decision_id":"dec_{event}","reason":"ALLOWED_BY_RULE","received_time":"{AT}","request_hash":"{question}","schema":"countersign.custody.v1","sponsor_id":"alice","sponsor_state":"live","timestamp":"{AT}","tool_id":"billing"}}"#,
        uuid(instance)
    )
    .into_bytes()
}

fn outcome(number: u8, of: u8) -> Vec<u8> {
    let reference = "ab".repeat(32);
    format!(
        r#"{{"decision_ref":"{reference}","event_id":"evt_{}","kind":"tool_call","outcome":"SUCCESS","policy_decision_id":"dec_{}","received_time":"{AT}","schema":"countersign.custody.v1","timestamp":"{AT}"}}"#,
        uuid(number),
        uuid(of)
    )
    .into_bytes()
}

fn revocation(number: u8, instance: u8) -> Vec<u8> {
    format!(
        r#"{{"agent_instance_id":"inst_{}","event_id":"evt_{}","kind":"instance_revoked","received_time":"{AT}","schema":"countersign.custody.v1","state_after":"REVOKED","timestamp":"{AT}"}}"#,
        uuid(instance),
        uuid(number)
    )
    .into_bytes()
}

fn log(leaves: Vec<Vec<u8>>) -> Log {
    let mut frontier = Frontier::default();
    for leaf in &leaves {
        frontier.append(leaf_hash(leaf));
    }
    let size = i64::try_from(leaves.len()).unwrap();
    Log { events: (0..).zip(leaves).collect(), size, frontier: frontier.to_bytes() }
}

/// A log of two decisions, an outcome of the first, and the revocation of another run; and what callers were told.
fn whole() -> (Log, Entries) {
    let leaves = vec![decision(1, 90, "ALLOW"), outcome(2, 1), decision(3, 90, "DENY"), revocation(4, 91)];
    let journal = Journal::default();
    let told = |number: u8, effect, index| {
        let what = What::Decision { id: format!("dec_{}", uuid(number)), effect, question: [number; 32] };
        journal.told(0, what, Some(index));
    };
    told(1, Effect::Allow, 0);
    let (event_id, decision) = (format!("evt_{}", uuid(2)), format!("dec_{}", uuid(1)));
    journal.told(0, What::Outcome { event_id, decision }, Some(1));
    told(3, Effect::Deny, 2);
    journal.told(1, What::Revocation { instance: format!("inst_{}", uuid(91)) }, Some(3));
    (log(leaves), journal.entries())
}

/// The same, where the checkpoint that was published is over what is there now.
fn published(log: &Log, mut told: Entries) -> Entries {
    let mut frontier = Frontier::default();
    for (_, leaf) in &log.events {
        frontier.append(leaf_hash(leaf));
    }
    told.checkpoints.insert(frontier.size(), frontier.root());
    told
}

fn harms(log: &Log, told: &Entries) -> HashSet<Harm> {
    check(log, told).into_iter().map(|finding| finding.harm).collect()
}

#[track_caller]
fn leaves_are(leaves: Vec<Vec<u8>>, wanted: &[Harm]) {
    let (_, told) = whole();
    let log = log(leaves);
    let told = published(&log, told);
    assert_eq!(harms(&log, &told), wanted.iter().copied().collect(), "{:?}", check(&log, &told));
}

#[test]
fn a_whole_log_is_found_whole() {
    let (log, told) = whole();
    assert_eq!(check(&log, &published(&log, told)), []);
}

#[test]
fn what_was_acknowledged_and_is_gone_is_lost() {
    let (log, told) = whole();
    let told = published(&log, told);
    let cut = super::tests::log(log.events[..3].iter().map(|(_, leaf)| leaf.clone()).collect());
    assert_eq!(harms(&cut, &told), HashSet::from([Harm::Lost]), "{:?}", check(&cut, &told));
    let [first, second, third, fourth] =
        [decision(1, 90, "DENY"), outcome(2, 1), decision(3, 90, "DENY"), revocation(4, 91)];
    leaves_are(vec![first, second, third, fourth], &[Harm::Lost]);
}

#[test]
fn a_gap_and_an_index_twice_are_found() {
    let (mut log, told) = whole();
    log.events[3].0 = 4;
    assert!(harms(&log, &told).contains(&Harm::Lost));
    log.events[3].0 = 2;
    assert!(harms(&log, &told).contains(&Harm::Doubled));
}

#[test]
fn what_is_elsewhere_than_acknowledged_is_found() {
    let moved = vec![outcome(2, 1), decision(1, 90, "ALLOW"), decision(3, 90, "DENY"), revocation(4, 91)];
    leaves_are(moved, &[Harm::Lost]);
}

#[test]
fn a_request_with_two_decisions_is_doubled() {
    let again = String::from_utf8(decision(1, 90, "ALLOW")).unwrap().replace(&uuid(1), &uuid(9));
    let (log, _) = whole();
    let mut leaves: Vec<_> = log.events.into_iter().map(|(_, leaf)| leaf).collect();
    leaves.push(again.into_bytes());
    leaves_are(leaves.clone(), &[Harm::Doubled]);
    leaves[4] = outcome(9, 1);
    leaves_are(leaves.clone(), &[Harm::Doubled]);
    leaves[4] = decision(1, 90, "ALLOW");
    leaves_are(leaves, &[Harm::Doubled]);
}

#[test]
fn an_allow_after_a_revocation_is_out_of_order() {
    let (log, _) = whole();
    let mut leaves: Vec<_> = log.events.into_iter().map(|(_, leaf)| leaf).collect();
    leaves.push(decision(9, 91, "DENY"));
    leaves_are(leaves.clone(), &[]);
    leaves.push(decision(10, 91, "ALLOW"));
    leaves_are(leaves, &[Harm::OutOfOrder]);
}

#[test]
fn later_answers_to_a_caller_come_later() {
    let (log, mut told) = whole();
    told.acknowledged.get_mut(&0).unwrap().reverse();
    assert_eq!(harms(&log, &published(&log, told)), HashSet::from([Harm::OutOfOrder]));
}

#[test]
fn a_log_that_is_not_as_signed_is_unproven() {
    let (log, told) = whole();
    assert_eq!(harms(&log, &told), HashSet::from([Harm::Unproven]), "no checkpoint");
    let mut told = published(&log, told);
    told.checkpoints.insert(2, [7; 32]);
    assert_eq!(harms(&log, &told), HashSet::from([Harm::Unproven]), "another root");
    told.checkpoints.remove(&2);
    let other = Log { frontier: vec![0; 32], ..log.clone() };
    assert_eq!(harms(&other, &told), HashSet::from([Harm::Unproven]), "another frontier");
    let longer = Log { size: 5, ..log };
    assert_eq!(harms(&longer, &told), HashSet::from([Harm::Unproven]), "another size");
}
