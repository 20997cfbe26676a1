//! The proofs that others publish for RFC 6962: what they accept and refuse, we do. `data/rfc6962.json` names its source.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_ledger::merkle::{Hash, leaf_hash, verify_consistency, verify_inclusion};
use serde_json::Value;

const VECTORS: &str = include_str!("data/rfc6962.json");

/// A hash. Where a vector has other bytes, which our types cannot hold, another hash stands for them.
fn hash(of: &Value) -> Hash {
    let bytes = STANDARD.decode(of.as_str().unwrap_or_default()).unwrap();
    bytes.as_slice().try_into().unwrap_or_else(|_| leaf_hash(&bytes))
}

fn proof(of: &Value) -> Vec<Hash> {
    of.as_array().map_or_else(Vec::new, |hashes| hashes.iter().map(hash).collect())
}

fn check(kind: &str, verify: impl Fn(&Value) -> bool) {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors[kind].as_array().unwrap();
    assert_eq!(cases.len(), 98);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        // There they hold a comparison with an empty log useless; here every log continues the empty one.
        let empty = name == "additional/size1-is-zero-and-size2-is-not-zero";
        let wanted = !case["wantErr"].as_bool().unwrap();
        assert_eq!(verify(case), wanted || empty, "{kind} {name}: {case}");
    }
}

#[test]
fn published_inclusion_proofs() {
    let is_hash = |of: &Value| STANDARD.decode(of.as_str().unwrap()).unwrap().len() == 32;
    check("inclusion", |case| {
        if !is_hash(&case["leafHash"]) || !is_hash(&case["root"]) {
            return false;
        }
        let (index, size) = (case["leafIdx"].as_u64().unwrap(), case["treeSize"].as_u64().unwrap());
        let (leaf, root) = (hash(&case["leafHash"]), hash(&case["root"]));
        verify_inclusion(&leaf, index, size, &proof(&case["proof"]), &root).is_ok()
    });
}

#[test]
fn published_consistency_proofs() {
    check("consistency", |case| {
        let (from, to) = (case["size1"].as_u64().unwrap(), case["size2"].as_u64().unwrap());
        let (old, new) = (hash(&case["root1"]), hash(&case["root2"]));
        verify_consistency(from, &old, to, &new, &proof(&case["proof"])).is_ok()
    });
}
