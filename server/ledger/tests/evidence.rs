//! Evidence bundles: one that holds, every byte of it flipped, and forgeries that agree with themselves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bundles;

use std::thread;

use bundles::{
    FROM, bundle,
    forgeries::{EDITS, Forgery, forgeries},
    key, log, pair, refused_file,
};
use countersign_ledger::{
    evidence::{Bundle, ChainSelection, EvidenceError, Expected, MAX_BUNDLE_BYTES, Report, Selection, verify},
    leaf::Decimal,
    note::VerifierKey,
};

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

/// The same for what must be refused, as edits of that bundle.
#[test]
fn the_shared_refusals_are_these() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/conformance/evidence-refused.json");
    let text = refused_file::text();
    if std::env::var_os("EVIDENCE_WRITE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    // As values: the order of members follows a feature of serde_json that other crates of a build may switch on.
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&std::fs::read_to_string(path).unwrap()), value(&text));
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
    for (from, to, member) in EDITS {
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
    for front in [
        &b""[..],
        b"{",
        b"[]",
        b"{\"format\":\"countersign.evidence.v1\"",
        "[".repeat(100_000).as_bytes(),
        &[0xff; 100],
    ] {
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

#[test]
fn every_forgery_is_refused_in_one_sentence() {
    for Forgery { name, bundle, wanted } in forgeries() {
        let error = verify(&bundle.write().unwrap(), Expected::default()).unwrap_err();
        assert!(!error.damaged, "{name}: {error}");
        let said = error.to_string();
        assert!(said.contains(wanted), "{name}: {said}");
        assert!(!said.contains('\n'), "{name}: {said}");
    }
}

#[test]
fn a_manifest_counts_until_its_timestamp() {
    let mut late = log();
    late.change(5, |leaf| leaf.received_time = FROM());
    check(&bundle(&late)).unwrap();
}

#[test]
fn a_chain_has_its_event_and_its_count() {
    let mut whole = bundle(&log());
    let id = log().leaves[6].policy_decision_id.clone().unwrap().into_owned();
    whole.selection = Selection::Chain(ChainSelection { id, count: Decimal(whole.events.len() as u64) });
    assert_eq!(check(&whole).unwrap().completeness, None);
}
