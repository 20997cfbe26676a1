//! Of what reads custody leaves, exports and proofs: what is taken is the bytes that are hashed, and no proof shows what is not so.

use aws_lc_rs::signature::Ed25519KeyPair;
use countersign_ledger::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    evidence::{Expected, verify},
    export::{Disclosed, ExportError, export_json, leaf_from_export},
    leaf::{Leaf, LeafError, MAX_LEAF_BYTES},
    merkle::{
        EntryBundle, Hash, TilePath, consistency_proof, inclusion_proof, leaf_hash, root, verify_consistency,
        verify_inclusion,
    },
    note::{Note, VerifierKey},
    tlog_proof::TlogProof,
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

const ORIGIN: &str = "countersign.example/log";

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("32 bytes are a seed")
}

fn key() -> VerifierKey {
    VerifierKey::of(ORIGIN, &pair()).expect("the origin is a name")
}

fn signed(size: u8) -> Note {
    let checkpoint =
        Checkpoint { origin: ORIGIN.into(), size: size.into(), root: root(&log(size)), extensions: Vec::new() };
    checkpoint.sign(ORIGIN, &pair()).expect("a checkpoint").note
}

/// One sentence without control characters.
fn sentence(said: &str) {
    assert!(!said.is_empty() && !said.chars().any(char::is_control), "{said:?}");
}

/// Notes: of a text, of checkpoints, with a cosignature; and a verifier key.
#[must_use]
pub fn note_seeds() -> Vec<Vec<u8>> {
    let mut cosigned = signed(9);
    let mut other = cosigned.signatures()[0].clone();
    (other.name, other.signature) = ("witness".into(), vec![0; 72]);
    cosigned.add(other).expect("a second signature");
    let text = Note::sign("text\n\nmore\n", ORIGIN, &pair()).expect("a note");
    let notes = [text, signed(0), signed(9), cosigned];
    notes.iter().map(|note| note.to_string().into_bytes()).chain([key().to_string().into_bytes()]).collect()
}

/// A note that is read is written as the same bytes, and verifies with a text that was signed only.
pub fn note(data: &[u8]) {
    if let Some(key) = std::str::from_utf8(data).ok().and_then(|text| VerifierKey::parse(text).ok()) {
        assert_eq!(key.to_string().as_bytes(), data);
    }
    match Note::parse(data) {
        Ok(note) => {
            assert_eq!(note.to_string().as_bytes(), data);
            if note.verify(&[key()]).is_ok() {
                let seeds = note_seeds();
                assert!(seeds.iter().any(|seed| seed.starts_with(note.text().as_bytes())));
            }
        }
        Err(error) => sentence(&error.to_string()),
    }
}

/// Checkpoints, signed.
#[must_use]
pub fn checkpoint_seeds() -> Vec<Vec<u8>> {
    note_seeds()
}

/// A checkpoint that opens is one that was signed, and is written as the same text.
pub fn checkpoint(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(read) = Checkpoint::parse(text)
    {
        assert_eq!(read.to_string(), text);
    }
    match SignedCheckpoint::open(data, &key(), ORIGIN) {
        Ok(opened) => {
            let size = u8::try_from(opened.checkpoint.size).expect("a size that was signed");
            assert_eq!(opened.checkpoint.root, root(&log(size)));
            assert!(opened.cosignatures(&key()).count() < opened.note.signatures().len());
        }
        Err(error) => sentence(&error.to_string()),
    }
}

/// Paths of tiles and bundles.
#[must_use]
pub fn tile_path_seeds() -> Vec<Vec<u8>> {
    let paths = ["tile/0/000", "tile/63/x001/x234/067", "tile/entries/x001/000.p/255", "tile/1/999.p/1"];
    paths.map(|path| path.as_bytes().to_vec()).to_vec()
}

/// A path that is read is written the same.
pub fn tile_path(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    match TilePath::parse(path) {
        Ok(read) => assert_eq!(read.to_string(), path),
        Err(error) => sentence(&error.to_string()),
    }
}

/// Bundles, after the number of their entries less one.
#[must_use]
pub fn entries_seeds() -> Vec<Vec<u8>> {
    vec![b"\x00\x00\x00".to_vec(), b"\x01\x00\x03one\x00\x00".to_vec(), [&[255][..], &[0; 512]].concat()]
}

/// A bundle that is read is written as the same bytes.
pub fn entries(data: &[u8]) {
    let Some((last, bytes)) = data.split_first() else { return };
    let bundle = EntryBundle::in_log(u64::from(*last) + 1, 0).expect("a log that is not empty has a bundle");
    match bundle.entries(bytes) {
        Ok(entries) => assert_eq!(bundle.encode(&entries).expect("it was one"), bytes),
        Err(error) => sentence(&error.to_string()),
    }
}

/// Proofs as texts.
#[must_use]
pub fn tlog_proof_seeds() -> Vec<Vec<u8>> {
    let proof = |index: u8, size: u8, extra: Option<Vec<u8>>| {
        let hashes = inclusion_proof(&log(size), index.into()).expect("it is in");
        TlogProof { extra, index: index.into(), hashes, checkpoint: signed(size) }.to_string().into_bytes()
    };
    vec![proof(0, 1, None), proof(5, 13, None), proof(39, 40, Some(b"more".to_vec()))]
}

/// A proof that is read is written as the same bytes, and proves no leaf but that of its index.
pub fn tlog_proof(data: &[u8]) {
    match TlogProof::parse(data) {
        Ok(proof) => {
            assert_eq!(proof.to_string().as_bytes(), data);
            for leaf in 0..40 {
                assert!(proof.verify(&[leaf], &key(), ORIGIN).is_err() || u64::from(leaf) == proof.index);
            }
        }
        Err(error) => sentence(&error.to_string()),
    }
}

/// A bundle that holds, and ends of bundles.
#[must_use]
pub fn evidence_seeds() -> Vec<Vec<u8>> {
    let whole = include_bytes!("../../clients/conformance/evidence.json");
    vec![whole.to_vec(), whole[whole.len() - 78..].to_vec()]
}

/// Of all bundles that anyone can make, the one that was written holds, and no other.
pub fn evidence(data: &[u8]) {
    match verify(data, Expected { key: Some(&key()), origin: Some(ORIGIN) }) {
        Ok(report) => assert!(report.key_is_expected && data == evidence_seeds()[0]),
        Err(error) => sentence(&error.to_string()),
    }
}
