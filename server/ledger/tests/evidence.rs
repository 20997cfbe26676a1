//! Evidence bundles: one that holds, every byte of it flipped, and forgeries that agree with themselves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bundles;

use std::thread;

use bundles::{ALICE, FROM, Log, TO, bundle, key, log, pair};
use countersign_ledger::{
    evidence::{Bundle, ChainSelection, EvidenceError, Expected, MAX_BUNDLE_BYTES, Report, Selection, verify},
    leaf::{Decimal, Digest, Kind, Leaf},
    merkle::leaf_hash,
    note::VerifierKey,
};

type EditLeaf<'e> = &'e dyn Fn(&mut Leaf<'static>);
type EditWithLog<'e> = &'e dyn Fn(&mut Leaf<'static>, &Log);

fn check(bundle: &Bundle) -> Result<Report, EvidenceError> {
    verify(&bundle.write().unwrap(), Expected { key: Some(&key()), origin: None })
}

/// The refusal of a bundle whose own hash fits, so that only its content speaks against it.
#[track_caller]
fn refused(bundle: &Bundle) -> String {
    let error = check(bundle).unwrap_err();
    assert!(!error.damaged, "{error}");
    error.to_string()
}

#[test]
fn a_bundle_that_holds_says_what_was_checked() {
    let report = check(&bundle(&log())).unwrap();
    assert_eq!((report.size, report.earlier_size, report.key_is_expected), (12, Some(4), true));
    assert_eq!(report.kinds.get("decision"), Some(&1));
    assert_eq!((report.disclosed, report.undisclosed, report.policies), (2, 0, 1));
    let tree: Vec<_> = report.instances.iter().map(|one| (one.log_index, one.parent.as_deref())).collect();
    assert_eq!(tree, [(3, None), (4, Some(report.instances[0].id.as_str()))]);
    assert_eq!(report.keys_missing, Vec::<String>::new());
    let complete = report.completeness.unwrap();
    assert_eq!((complete.decisions, complete.events, complete.manifests), (1, 2, 1));
    assert_eq!((complete.open_decisions, complete.missing_reports), (1, 3));
    let unasked = verify(&bundle(&log()).write().unwrap(), Expected::default()).unwrap();
    assert!(!unasked.key_is_expected);
}

/// The file that readers in other languages are tested with. `EVIDENCE_WRITE=1` writes it.
#[test]
fn the_shared_bundle_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/conformance/evidence.json");
    let bytes = bundle(&log()).write().unwrap();
    if std::env::var_os("EVIDENCE_WRITE").is_some() {
        std::fs::write(path, &bytes).unwrap();
    }
    assert_eq!(std::fs::read(path).unwrap(), bytes);
}

#[test]
fn every_flipped_byte_is_refused_as_damage() {
    let bytes = bundle(&log()).write().unwrap();
    let key = key();
    thread::scope(|scope| {
        for part in 0..2 {
            let (bytes, key) = (&bytes, &key);
            scope.spawn(move || {
                let mut flipped = bytes.clone();
                for at in (part..bytes.len()).step_by(2) {
                    for bit in [at % 8, (at + 5) % 8] {
                        flipped[at] ^= 1 << bit;
                        let error = verify(&flipped, Expected { key: Some(key), origin: None }).unwrap_err();
                        assert!(error.damaged || error.member == "file", "byte {at}, bit {bit}: {error}");
                        flipped[at] ^= 1 << bit;
                    }
                }
            });
        }
    });
}

/// Where a text was changed is named, not only that something was.
#[test]
fn the_member_that_was_changed_is_named() {
    let text = String::from_utf8(bundle(&log()).write().unwrap()).unwrap();
    for (from, to, member) in [
        ("evidence.v1", "evidence.v2", "format"),
        (r#""origin":"c"#, r#""origin":"d"#, "checkpoint"),
        (r#""log_key":"countersign.example/log+"#, r#""log_key":"countersign.example/log-"#, "log_key"),
        ("permit", "forbid", "policies[0]"),
        ("refund twice", "refund never", "events[5].disclosed[0] (log index 6)"),
        (r#"\"effect\":\"ALLOW\""#, r#"\"effect\":\"DENY_\""#, "events[5].leaf (log index 6)"),
        (r#"\"tool_id\":\"billing\""#, r#"\"tool_id\":\"bilking\""#, "events[5].proof (log index 6)"),
        (r#""log_index":"6""#, r#""log_index":"5""#, "events[5].log_index (log index 5)"),
        (r#""log_index":"6""#, r#""log_index":"8""#, "events[5].proof (log index 8)"),
        (r#","events":"#, r#", "events":"#, "file"),
        (r#","events":"#, r#","event":"#, "event"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = verify(text.replacen(from, to, 1).as_bytes(), Expected::default()).unwrap_err();
        assert!(error.damaged, "{error}");
        assert!(error.to_string().starts_with(&format!("{member}: ")), "{from}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn what_is_cut_empty_huge_or_something_else_is_refused() {
    let bytes = bundle(&log()).write().unwrap();
    for cut in (0..bytes.len()).step_by(97).chain(bytes.len() - 80..bytes.len()) {
        assert_eq!(verify(&bytes[..cut], Expected::default()).unwrap_err().member, "file", "cut at {cut}");
    }
    let huge = verify(&vec![b' '; MAX_BUNDLE_BYTES + 1], Expected::default()).unwrap_err().to_string();
    assert_eq!(huge, "file: a bundle is at most 67108864 bytes, not 67108865");
    let end = &bytes[bytes.len() - 78..];
    for front in [&b""[..], b"{", b"[]", b"{\"format\":\"countersign.evidence.v1\"", &vec![b'['; 100_000], &[0xff; 100]]
    {
        assert!(verify(&[front, end].concat(), Expected::default()).is_err());
    }
}

#[test]
fn a_bundle_of_another_log_or_key_is_refused() {
    let whole = bundle(&log());
    let bytes = whole.write().unwrap();
    let other = VerifierKey::of(&whole.origin, &pair(9)).unwrap();
    let error = verify(&bytes, Expected { key: Some(&other), origin: None }).unwrap_err().to_string();
    assert!(error.starts_with("log_key: the bundle is of the key "), "{error}");
    let error = verify(&bytes, Expected { key: None, origin: Some("other.example") }).unwrap_err().to_string();
    assert_eq!(error, "origin: the bundle is of the log \"countersign.example/log\", not of \"other.example\"");
    // A key of the same name and id that signed nothing.
    let lying = Bundle { log_key: other.to_string(), ..whole };
    assert!(refused(&lying).starts_with("log_key: "));
    let error = verify(&lying.write().unwrap(), Expected::default()).unwrap_err().to_string();
    assert_eq!(error, "checkpoint: the checkpoint is not a note of the expected key: no known key signed this note");
}

/// Changes a leaf of the log, and everything that follows from it, but signs with another key or not at all.
#[test]
fn an_event_replaced_under_another_root_is_refused() {
    let mut other = log();
    other.change(6, |leaf| leaf.tool_id = Some("wires".into()));
    let (whole, forged) = (bundle(&log()), bundle(&other));
    let events = Bundle { events: forged.events.clone(), ..whole.clone() };
    assert_eq!(
        refused(&events),
        "events[0].proof (log index 0): the leaf is not in the log of the checkpoint: the proof leads to another root"
    );
    let note = whole.checkpoint.split_once("\n\n").unwrap().1;
    let unsigned = forged.checkpoint.split_once("\n\n").unwrap().0.to_owned() + "\n\n" + note;
    let whole_forgery = Bundle { checkpoint: unsigned, ..forged.clone() };
    assert!(refused(&whole_forgery).contains("does not hold for this text"));
    // Even the log's own signature under a rewritten history does not fit the earlier checkpoint.
    let rewritten = Bundle {
        earlier: whole.earlier,
        ..bundle(&{
            let mut other = log();
            other.change(2, |leaf| leaf.operator_id = Some("mallory".into()));
            other
        })
    };
    assert!(refused(&rewritten).starts_with("earlier.proof: the log of the checkpoint does not continue"));
}

#[test]
fn swapped_leaves_salts_and_documents_are_refused() {
    let whole = bundle(&log());
    let with = |edit: &dyn Fn(&mut Bundle)| {
        let mut other = whole.clone();
        edit(&mut other);
        refused(&other)
    };
    let swapped = with(&|b| {
        let (first, rest) = b.events.split_at_mut(1);
        std::mem::swap(&mut first[0].leaf, &mut rest[0].leaf);
    });
    assert!(swapped.starts_with("events[0].proof (log index 0): "), "{swapped}");
    let reordered = with(&|b| b.events.swap(0, 1));
    assert!(reordered.starts_with("events[1].log_index (log index 0): it is not above"), "{reordered}");
    let salt = with(&|b| b.events[5].disclosed[0].salt = "00".repeat(16));
    assert_eq!(salt, "events[5].disclosed[0] (log index 6): purpose is not the text that the leaf commits to");
    let twice = with(&|b| b.events[5].disclosed = vec![b.events[5].disclosed[0].clone(); 2]);
    assert!(twice.contains("or twice"), "{twice}");
    let document = with(&|b| {
        b.policies[0].document = "rules: []".into();
        b.policies[0].hash = countersign_ledger::evidence::policy_hash("rules: []", "");
    });
    assert_eq!(document, "policies[0]: no leaf names this document");
    let none = with(&|b| b.policies.clear());
    assert!(none.ends_with("the policy document that it names is not in the bundle"), "{none}");
    let other = with(&|b| b.signing_keys = b.signing_keys.take().map(|keys| keys.replacen("\"x\":\"", "\"x\":\"A", 1)));
    assert!(other.contains("each with its thumbprint as its id"), "{other}");
    let keys = with(&|b| b.signing_keys = Some("{}".into()));
    assert!(keys.starts_with("signing_keys: "), "{keys}");
}

#[test]
fn whatever_is_left_out_is_named() {
    let whole = bundle(&log());
    let without = |index: u64| {
        let mut other = whole.clone();
        other.events.retain(|event| event.log_index.0 != index);
        refused(&other)
    };
    assert!(without(7).ends_with(
        "count 1 tool_call events of sponsor alice on tool billing from index 5 to 10, and the bundle has 0"
    ));
    assert!(without(6).contains("the event that decision_ref names is not in the bundle"));
    assert!(without(4).contains("the event that custody_ref names is not in the bundle"));
    assert!(without(0).contains("the event that custody_ref names is not in the bundle"));
    assert!(without(11).contains("no manifest of the bundle counts what is in the log from index 5 on"));
    assert!(without(5).contains("no manifest shows that index 5 was not received before it"));
    let with = |edit: &dyn Fn(&mut countersign_ledger::evidence::SponsorSelection)| {
        let mut other = whole.clone();
        if let Selection::Sponsor(wanted) = &mut other.selection {
            edit(wanted);
        }
        refused(&other)
    };
    assert!(with(&|wanted| wanted.count = Decimal(0)).contains("it says 0 decisions, and the bundle has 1"));
    assert!(with(&|wanted| wanted.last_index = Decimal(11)).contains("from index 11 on"));
    assert!(with(&|wanted| wanted.first_index = Decimal(7)).contains("no manifest of the bundle counts"));
    assert!(
        with(&|wanted| wanted.to = bundles::time(12)).contains("the last manifest counts until less than a minute")
    );
    assert!(with(&|wanted| wanted.from = bundles::time(1)).contains("was not received before it"));
    assert!(with(&|wanted| wanted.to = FROM()).contains("in the wrong order"));
    assert!(with(&|wanted| wanted.sponsor_id = "bob".into()).contains("of sponsor bob"));
    let _ = (TO(), ALICE);
}

#[test]
fn a_manifest_counts_until_its_timestamp() {
    // It was appended much later, and what was received in between is in the next one.
    let mut late = log();
    late.change(11, |leaf| leaf.timestamp = TO());
    assert!(refused(&bundle(&late)).contains("the last manifest counts until less than a minute after it"));
    let mut late = log();
    late.change(5, |leaf| leaf.received_time = FROM());
    check(&bundle(&late)).unwrap();
}

#[test]
fn a_manifest_that_does_not_add_up_is_refused() {
    let edits: [(EditLeaf, &str); 4] = [
        (&|leaf| leaf.counts[0].count = Decimal(7), "do not add up to its range"),
        (&|leaf| leaf.figures[0].value = Decimal(7), "do not add up to its figure"),
        (
            &|leaf| {
                leaf.figures.iter_mut().for_each(|f| {
                    if f.name == "parts" {
                        f.value = Decimal(2);
                    }
                });
            },
            "part 2 is missing",
        ),
        (&|leaf| leaf.figures.retain(|f| f.name != "last_index"), "must state last_index"),
    ];
    for (edit, wanted) in edits {
        let mut other = log();
        other.change(11, edit);
        let said = refused(&bundle(&other));
        assert!(said.starts_with("events[7].leaf (log index 11): ") && said.contains(wanted), "{said}");
    }
}

#[test]
fn references_must_be_what_they_say() {
    let edits: [(usize, EditWithLog, &str); 4] = [
        (7, &|leaf, log| leaf.decision_ref = Some(log.hash(3)), "is not the decision with its policy_decision_id"),
        (6, &|leaf, log| leaf.custody_ref = Some(log.hash(3)), "is not a grant of its instance"),
        (4, &|leaf, log| leaf.custody_ref = Some(log.hash(1)), "is not a grant of its parent"),
        (3, &|leaf, _| leaf.custody_ref = Some(Digest(leaf_hash(b"nothing"))), "is not in the bundle"),
    ];
    for (index, edit, wanted) in edits {
        let (mut other, before) = (log(), log());
        other.change(index, |leaf| edit(leaf, &before));
        let said = refused(&bundle(&other));
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn a_chain_has_its_event_and_its_count() {
    let mut whole = bundle(&log());
    let id = log().leaves[6].policy_decision_id.clone().unwrap().into_owned();
    let count = Decimal(whole.events.len() as u64);
    whole.selection = Selection::Chain(ChainSelection { id: id.clone(), count });
    assert_eq!(check(&whole).unwrap().completeness, None);
    whole.selection = Selection::Chain(ChainSelection { id, count: Decimal(3) });
    assert_eq!(refused(&whole), "selection.chain.count: it says 3 events, and the bundle has 8");
    whole.selection = Selection::Chain(ChainSelection { id: "dec_other".into(), count });
    assert_eq!(refused(&whole), "selection.chain.id: no event of the bundle has this id");
    assert!(log().leaves.iter().any(|leaf| leaf.kind == Kind::Decision));
}
