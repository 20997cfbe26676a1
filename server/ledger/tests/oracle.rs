//! Our Merkle tree beside another implementation of RFC 6962, the crate ct-merkle: roots and proofs are the same bytes, and
//! each accepts the other's proofs.

use countersign_ledger::merkle::{
    Frontier, Hash, consistency_proof, inclusion_proof, leaf_hash, root, verify_consistency, verify_inclusion,
};
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use proptest::prelude::*;
use sha2::Sha256;

type Oracle = MemoryBackedTree<Sha256, Vec<u8>>;

/// A leaf of any content: its length follows from its number, and two logs differ by their seed.
fn leaf(seed: u64, number: usize) -> Vec<u8> {
    let bytes = [seed.to_be_bytes(), (number as u64).to_be_bytes()].concat();
    bytes.into_iter().cycle().take(number % 71).collect()
}

fn both(seed: u64, size: usize) -> (Vec<Hash>, Oracle) {
    let mut oracle = Oracle::new();
    let leaves = (0..size).map(|number| leaf(seed, number)).inspect(|leaf| oracle.push(leaf.clone()));
    let leaves = leaves.map(|leaf| leaf_hash(&leaf)).collect();
    (leaves, oracle)
}

/// A proof as hashes.
fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks(32).map(|hash| hash.try_into().expect("a whole hash")).collect()
}

fn root_of(oracle: &Oracle) -> Hash {
    (*oracle.root().as_bytes()).into()
}

fn named(root: Hash, size: usize) -> RootHash<Sha256> {
    RootHash::new(root.into(), size as u64)
}

/// Everything that can be asked of a log of `size` leaves about leaf `index` and its first `from` leaves.
fn agree(seed: u64, size: usize, index: usize, from: usize) {
    let (leaves, oracle) = both(seed, size);
    let ours = root(&leaves);
    assert_eq!(ours, root_of(&oracle), "the root of {size}");

    let proof = inclusion_proof(&leaves, index).expect("the leaf is there");
    let theirs = oracle.prove_inclusion(index);
    assert_eq!(proof, hashes(theirs.as_bytes()), "leaf {index} of {size}");
    verify_inclusion(&leaves[index], index as u64, size as u64, &hashes(theirs.as_bytes()), &ours)
        .expect("we accept theirs");
    let given = InclusionProof::try_from_bytes(proof.concat()).expect("whole hashes");
    named(ours, size).verify_inclusion(&leaf(seed, index), index as u64, &given).expect("they accept ours");

    let old = root(&leaves[..from]);
    let proof = consistency_proof(&leaves, from).expect("it is the start");
    let theirs = oracle.prove_consistency(size - from);
    assert_eq!(proof, hashes(theirs.as_bytes()), "{from} to {size}");
    verify_consistency(from as u64, &old, size as u64, &ours, &hashes(theirs.as_bytes())).expect("we accept theirs");
    let given = ConsistencyProof::try_from_bytes(proof.concat()).expect("whole hashes");
    named(ours, size).verify_consistency(&named(old, from), &given).expect("they accept ours");
}

#[test]
fn every_root_agrees() {
    let (mut oracle, mut ours) = (Oracle::new(), Frontier::default());
    assert_eq!(ours.root(), root_of(&oracle), "the empty tree");
    for number in 0..2_000 {
        let leaf = leaf(1, number);
        ours.append(leaf_hash(&leaf));
        oracle.push(leaf);
        assert_eq!(ours.root(), root_of(&oracle), "{} leaves", number + 1);
    }
}

#[test]
fn every_proof_of_small_trees_agrees() {
    for size in 1..=33 {
        for at in 0..size {
            agree(2, size, at, at + 1);
        }
    }
}

proptest! {
    #[test]
    fn proofs_agree(seed: u64, size in 1_usize..2_000, index: prop::sample::Index, from: prop::sample::Index) {
        agree(seed, size, index.index(size), from.index(size) + 1);
    }

    #[test]
    fn a_changed_proof_is_refused_by_both(size in 2_usize..500, index: prop::sample::Index, at: prop::sample::Index) {
        let (leaves, oracle) = both(3, size);
        let index = index.index(size);
        let mut proof = oracle.prove_inclusion(index).as_bytes().to_vec();
        let at = at.index(proof.len());
        proof[at] ^= 1;
        let ours = verify_inclusion(&leaves[index], index as u64, size as u64, &hashes(&proof), &root(&leaves));
        let given = InclusionProof::try_from_bytes(proof).unwrap();
        let theirs = oracle.root().verify_inclusion(&leaf(3, index), index as u64, &given);
        prop_assert!(ours.is_err() && theirs.is_err());
    }
}
