//! Of what reads custody leaves, exports and proofs: what is taken is the bytes that are hashed, and no proof shows what is not so.

use countersign_ledger::{
    export::{Disclosed, ExportError, export_json, leaf_from_export},
    leaf::{Leaf, LeafError, MAX_LEAF_BYTES},
    merkle::{Hash, consistency_proof, inclusion_proof, leaf_hash, root, verify_consistency, verify_inclusion},
};
use serde_json::Value;

/// The cases that verifiers in every language share.
const VECTORS: &str = include_str!("../../clients/conformance/custody-leaf.json");
/// What no refusal may repeat: free text that got where a leaf has none.
const SECRET: &str = "hunter2hunter2";
/// Most leaves of a log that proofs are tried on.
const MOST: usize = 40;

fn vectors() -> Value {
    serde_json::from_str(VECTORS).expect("the cases are JSON")
}

fn texts(of: &Value, name: &str) -> Vec<Vec<u8>> {
    let text = |case: &Value| match &case[name] {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Null => None,
        other => Some(other.to_string().into_bytes()),
    };
    of.as_array().into_iter().flatten().filter_map(text).collect()
}

/// Every leaf of the shared cases, those that are refused among them.
#[must_use]
pub fn leaf_seeds() -> Vec<Vec<u8>> {
    let vectors = vectors();
    let mut seeds = texts(&vectors["leaves"], "leaf_bytes");
    seeds.extend(texts(&vectors["refused"], "leaf_bytes"));
    seeds.push([format!("{{\"action\":\"{SECRET}\",").as_bytes(), &seeds[0][1..]].concat());
    seeds.push(format!("{{\"kind\":\"{SECRET}\"}}").into_bytes());
    seeds
}

/// A leaf that is read is written as the same bytes, which are canonical, and comes back from its export.
pub fn leaf(data: &[u8]) {
    let leaf = match Leaf::parse(data) {
        Ok(leaf) => leaf,
        Err(error) => return of_leaf(&error),
    };
    assert!(data.len() <= MAX_LEAF_BYTES);
    assert_eq!(leaf.encode().expect("it was one").as_slice(), data);
    let value: Value = serde_json::from_slice(data).expect("a leaf is JSON");
    assert_eq!(serde_json_canonicalizer::to_vec(&value).expect("a canonical form").as_slice(), data);
    let exported = export_json(data, 7, &Disclosed::default()).expect("a leaf can be exported");
    let back = leaf_from_export(&exported).expect("an export is read back");
    assert_eq!((back.leaf_bytes.as_slice(), back.log_index, back.leaf_hash.0), (data, 7, leaf_hash(data)));
}

/// Every export of the shared cases, those that are refused among them.
#[must_use]
pub fn export_seeds() -> Vec<Vec<u8>> {
    let vectors = vectors();
    let mut seeds = texts(&vectors["exports"], "export");
    seeds.extend(texts(&vectors["refused_exports"], "export"));
    seeds
}

/// An export that is taken is the export of its leaf, with texts that the leaf commits to.
pub fn export(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    match leaf_from_export(&value) {
        Ok(taken) => {
            let again = export_json(&taken.leaf_bytes, taken.log_index, &taken.disclosed).expect("it was one");
            assert_eq!(again, value);
            leaf(&taken.leaf_bytes);
        }
        Err(ExportError::Leaf(error)) => of_leaf(&error),
        Err(other) => {
            let said = other.to_string();
            assert!(!said.is_empty() && !said.contains(SECRET), "{said}");
        }
    }
}

fn of_leaf(error: &LeafError) {
    let said = error.to_string();
    assert!(!said.is_empty() && !said.contains(SECRET), "{said}");
}

/// Proofs of some logs: two sizes, an index, and the hashes.
#[must_use]
pub fn proof_seeds() -> Vec<Vec<u8>> {
    let places = [(1, 0, 1), (2, 1, 1), (7, 3, 4), (8, 7, 8), (13, 12, 5), (40, 20, 33)];
    let proofs = places.map(|(size, index, from)| {
        let log = log(size);
        let mut inclusion = vec![size, index, from, 0];
        inclusion.extend(inclusion_proof(&log, index.into()).expect("it is in").concat());
        let mut consistency = vec![size, index, from, 1];
        consistency.extend(consistency_proof(&log, from.into()).expect("it grew").concat());
        [inclusion, consistency]
    });
    proofs.into_iter().flatten().collect()
}

fn log(size: u8) -> Vec<Hash> {
    (0..size).map(|nth| leaf_hash(&[nth])).collect()
}

/// Only the proof that the log gives is accepted, and only of what is so.
pub fn proof(data: &[u8]) {
    let &[size, index, from, kind, ref hashes @ ..] = data else { return };
    if usize::from(size) > MOST || !hashes.len().is_multiple_of(32) {
        return;
    }
    let log = log(size);
    let proof: Vec<Hash> = hashes.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect();
    let root_of = root(&log);
    // Numbers that no log has are refused, and nothing more.
    let far = u64::from_le_bytes([index, from, kind, size, index, from, kind, size]);
    assert!(verify_inclusion(&root_of, far, u64::from(size), &proof, &root_of).is_err() || far < u64::from(size));
    let _ = verify_consistency(u64::from(from), &root_of, far, &root_of, &proof);
    if kind == 0 {
        let leaf = leaf_hash(&[index]);
        let shown = verify_inclusion(&leaf, index.into(), size.into(), &proof, &root_of).is_ok();
        assert_eq!(shown, inclusion_proof(&log, index.into()).is_ok_and(|right| right == proof));
    } else {
        let old = log.get(..usize::from(from)).map_or_else(|| leaf_hash(&[from]), root);
        let shown = verify_consistency(from.into(), &old, size.into(), &root_of, &proof).is_ok();
        assert_eq!(shown, consistency_proof(&log, from.into()).is_ok_and(|right| right == proof));
    }
}
