//! The vectors that every implementation shares, and the document that describes them.

use std::collections::BTreeSet;

use countersign_ledger::{
    commitment::commitment,
    export::{NON_LEAF_KEYS, leaf_from_export},
    leaf::{Digest, Kind, Leaf},
    merkle::{Frontier, leaf_hash},
};
use serde::Deserialize;
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../../docs/custody-leaf.md");
const SCHEMA: &str = include_str!("../../../docs/audit-log-schema.json");

#[derive(Deserialize)]
struct Vectors {
    leaves: Vec<LeafVector>,
    trees: Trees,
    commitments: Vec<Opened>,
    exports: Vec<Exported>,
    refused_exports: Vec<RefusedExport>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct LeafVector {
    name: String,
    fields: Value,
    leaf_bytes: String,
    leaf_hash: Digest,
}

#[derive(Deserialize)]
struct Trees {
    leaf_hashes: Vec<Digest>,
    roots: Vec<Root>,
}

#[derive(Deserialize)]
struct Root {
    size: usize,
    root: Digest,
}

#[derive(Deserialize)]
struct Opened {
    salt: String,
    text: String,
    commitment: Digest,
}

#[derive(Deserialize)]
struct Exported {
    name: String,
    leaf_hash: Digest,
    export: Value,
}

#[derive(Deserialize)]
struct RefusedExport {
    why: String,
    export: Value,
}

#[derive(Deserialize)]
struct Refused {
    why: String,
    leaf_bytes: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../clients/conformance/custody-leaf.json")).expect("the vectors are JSON")
}

fn salt(hex: &str) -> [u8; 16] {
    u128::from_str_radix(hex, 16).expect("a salt is hexadecimal").to_be_bytes()
}

#[test]
fn leaves_are_those_of_the_vectors_byte_for_byte() {
    for vector in vectors().leaves {
        let leaf: Leaf<'static> = serde_json::from_value(vector.fields).unwrap();
        let bytes = leaf.encode().unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), vector.leaf_bytes, "{}", vector.name);
        assert_eq!(Digest(leaf_hash(&bytes)), vector.leaf_hash, "{}", vector.name);
        assert_eq!(Leaf::parse(vector.leaf_bytes.as_bytes()).unwrap(), leaf, "{}", vector.name);
    }
}

#[test]
fn every_kind_of_event_has_a_vector() {
    let vectors = vectors().leaves;
    for kind in Kind::ALL {
        assert!(vectors.iter().any(|vector| vector.fields["kind"] == kind.as_str()), "{kind}");
    }
}

#[test]
fn roots_are_those_of_the_vectors() {
    let trees = vectors().trees;
    assert_eq!(trees.roots.len(), trees.leaf_hashes.len() + 1);
    let mut log = Frontier::default();
    for (size, vector) in trees.roots.iter().enumerate() {
        assert_eq!((vector.size, vector.root), (size, Digest(log.root())));
        if let Some(leaf) = trees.leaf_hashes.get(size) {
            log.append(leaf.0);
        }
    }
}

#[test]
fn commitments_are_those_of_the_vectors() {
    let commitments = vectors().commitments;
    assert!(!commitments.is_empty());
    for vector in commitments {
        assert_eq!(Digest(commitment(&salt(&vector.salt), &vector.text)), vector.commitment, "{}", vector.text);
    }
}

#[test]
fn exports_of_the_vectors_are_valid_and_give_their_leaf_back() {
    let validator = jsonschema::draft202012::new(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    for vector in vectors().exports {
        assert!(validator.is_valid(&vector.export), "{}", vector.name);
        assert_eq!(leaf_from_export(&vector.export).unwrap().leaf_hash, vector.leaf_hash, "{}", vector.name);
    }
}

#[test]
fn what_the_vectors_refuse_is_refused() {
    let refused = vectors().refused;
    assert!(refused.len() > 15);
    for vector in refused {
        assert!(Leaf::parse(vector.leaf_bytes.as_bytes()).is_err(), "{}", vector.why);
    }
}

#[test]
fn exports_that_the_vectors_refuse_are_refused() {
    let refused = vectors().refused_exports;
    assert!(!refused.is_empty());
    for vector in refused {
        assert!(leaf_from_export(&vector.export).is_err(), "{}", vector.why);
    }
}

/// The names in the first column of the table under `heading`.
fn table(heading: &str) -> BTreeSet<&'static str> {
    let section = DOCUMENT.split_once(heading).expect("the document has the section").1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| row.split(" |").next().unwrap_or_default().split('`').step_by(2))
        .filter(|n| n.len() > 1)
        .collect()
}

#[test]
fn the_document_lists_the_fields_the_kinds_and_their_vectors() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut fields: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    for key in NON_LEAF_KEYS {
        assert!(fields.remove(key), "{key}");
    }
    assert_eq!(table("\n## Fields\n"), fields);
    assert_eq!(table("\n## Kinds\n"), Kind::ALL.iter().map(|kind| kind.as_str()).collect());

    let leaves = vectors().leaves;
    let shown: Vec<&str> = DOCUMENT.lines().filter(|line| line.starts_with(r#"{""#)).collect();
    assert!(shown.len() >= 3);
    for line in shown {
        let vector = leaves.iter().find(|vector| vector.leaf_bytes == line).expect("a leaf of the vectors");
        assert!(DOCUMENT.contains(&vector.leaf_hash.to_string()), "{}", vector.name);
    }
    for vector in vectors().trees.roots.iter().take(4) {
        assert!(DOCUMENT.contains(&vector.root.to_string()), "root of size {}", vector.size);
    }
    assert!(DOCUMENT.contains(&vectors().commitments[0].commitment.to_string()));
}
