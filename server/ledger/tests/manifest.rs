//! Manifests: parts, and that each fits into a leaf whatever the names.

use countersign_ledger::{
    leaf::{Count, Decimal, Emitter, Kind, Leaf, MAX_COUNTS, MAX_LEAF_BYTES, Timestamp},
    manifest::{Manifest, ManifestError},
};

fn id() -> String {
    "evt_01890a5d-ac96-774b-bcce-b302099a8057".into()
}

/// Every kind, with the longest names.
fn largest(sponsors: usize) -> Manifest {
    let counts = Kind::ALL.iter().flat_map(|kind| {
        (0..sponsors).map(|nth| Count {
            count: Decimal(u64::MAX / 100_000),
            kind: *kind,
            sponsor_id: Some(format!("{nth:064}").into()),
            tool_id: Some("T".repeat(128).into()),
        })
    });
    let counts: Vec<Count<'static>> = counts.rev().collect();
    let emitters = (0..50).map(|nth| Emitter {
        emitter_id: format!("{nth:0128}").into(),
        first_seq: Decimal(u64::MAX),
        last_seq: Decimal(u64::MAX),
        missing: Decimal(u64::MAX),
    });
    let last_index = (counts.len() as u64 * (u64::MAX / 100_000)).saturating_sub(1);
    Manifest { first_index: 0, last_index, open_decisions: u64::MAX, counts, emitters: emitters.collect() }
}

fn leaves(manifest: &Manifest) -> Vec<Leaf<'static>> {
    manifest.leaves(Timestamp::from_micros(1).expect("in range"), id)
}

#[test]
fn every_part_of_the_largest_manifest_is_a_leaf() {
    for sponsors in [0, 1, 3] {
        let manifest = largest(sponsors);
        let manifest = if sponsors == 0 { Manifest { last_index: 0, ..manifest } } else { manifest };
        let parts = leaves(&manifest);
        assert_eq!(parts.len(), (manifest.counts.len() + 50).div_ceil(MAX_COUNTS));
        for part in &parts {
            assert!(part.encode().unwrap().len() <= MAX_LEAF_BYTES);
        }
    }
}

#[test]
fn parts_in_any_order_are_the_manifest() {
    let manifest = largest(3);
    let parts = leaves(&manifest);
    let mut reversed: Vec<&Leaf<'static>> = parts.iter().rev().collect();
    let back = Manifest::collect(&reversed).unwrap();
    assert_eq!((back.counts.len(), back.emitters.len()), (manifest.counts.len(), 50));
    assert_eq!((back.last_index, back.open_decisions), (manifest.last_index, u64::MAX));
    let last = parts.len() as u64;
    let lacking = |part| {
        let last_index = manifest.last_index;
        Err(ManifestError::Part { first_index: 0, last_index, part, parts: last })
    };
    reversed.remove(0);
    assert_eq!(Manifest::collect(&reversed), lacking(last));
    reversed.push(reversed[reversed.len() - 1]);
    assert_eq!(Manifest::collect(&reversed), lacking(2));
    assert_eq!(Manifest::collect(&[]), Err(ManifestError::Figure("parts")));
}
