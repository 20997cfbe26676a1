//! The tree against known roots, against the definition, and its proofs against tampering.

use aws_lc_rs::digest::{SHA256, digest};
use countersign_ledger::{
    leaf::Digest,
    merkle::{
        Frontier, FrontierError, Hash, ProofError, consistency_proof, empty_root, inclusion_proof, leaf_hash, root,
        verify_consistency, verify_inclusion,
    },
};
use proptest::{collection::vec, prelude::*};

/// The tree head exactly as RFC 6962 section 2.1 defines it, sharing no code with the crate.
fn defined(entries: &[Vec<u8>]) -> Vec<u8> {
    let hash = |parts: &[&[u8]]| digest(&SHA256, &parts.concat()).as_ref().to_vec();
    match entries {
        [] => hash(&[]),
        [entry] => hash(&[&[0], entry]),
        _ => {
            let mut k = 1;
            while k * 2 < entries.len() {
                k *= 2;
            }
            hash(&[&[1], &defined(&entries[..k]), &defined(&entries[k..])])
        }
    }
}

fn hashes(entries: &[Vec<u8>]) -> Vec<Hash> {
    entries.iter().map(|entry| leaf_hash(entry)).collect()
}

fn frontier(leaves: &[Hash]) -> Frontier {
    let mut frontier = Frontier::default();
    for (index, leaf) in leaves.iter().enumerate() {
        assert_eq!(frontier.append(*leaf), index as u64);
    }
    frontier
}

/// Entries and roots of the reference implementation of Certificate Transparency.
#[test]
fn roots_are_those_of_certificate_transparency() {
    let entries: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    for (size, wanted) in roots.iter().enumerate() {
        assert_eq!(Digest(root(&leaves[..size])).to_string(), *wanted, "size {size}");
        assert_eq!(Digest(frontier(&leaves[..size]).root()).to_string(), *wanted, "size {size}");
    }
}

#[test]
fn a_frontier_of_the_wrong_length_is_refused() {
    for (size, len) in [(0, 32), (1, 0), (1, 64), (3, 32), (3, 65), (5, 63), (u64::MAX, 63 * 32)] {
        assert_eq!(Frontier::from_bytes(size, &vec![7; len]), Err(FrontierError { size, len }));
    }
    assert_eq!(Frontier::from_bytes(0, &[]).unwrap().root(), empty_root());
}

#[test]
fn proofs_of_what_does_not_exist_are_refused() {
    let leaves = hashes(&[vec![1], vec![2]]);
    assert_eq!(inclusion_proof(&leaves, 2), Err(ProofError::IndexOutOfRange { index: 2, size: 2 }));
    assert_eq!(consistency_proof(&leaves, 3), Err(ProofError::Shrinking { from: 3, to: 2 }));
    let whole = root(&leaves);
    assert_eq!(verify_inclusion(&whole, 0, 0, &[], &whole), Err(ProofError::IndexOutOfRange { index: 0, size: 0 }));
    assert_eq!(verify_consistency(2, &whole, 1, &whole, &[]), Err(ProofError::Shrinking { from: 2, to: 1 }));
    assert_eq!(verify_consistency(0, &whole, 2, &whole, &[]), Err(ProofError::RootMismatch));
    assert_eq!(verify_consistency(2, &empty_root(), 2, &whole, &[]), Err(ProofError::RootMismatch));
}

#[test]
fn every_proof_of_every_small_log_verifies_and_no_other_index_or_size_does() {
    let leaves = hashes(&(0_u8..20).map(|n| vec![n]).collect::<Vec<_>>());
    for size in 0..=leaves.len() {
        let whole = root(&leaves[..size]);
        for index in 0..size {
            let proof = inclusion_proof(&leaves[..size], index).unwrap();
            for other in 0..size as u64 {
                let verdict = verify_inclusion(&leaves[index], other, size as u64, &proof, &whole);
                assert_eq!(verdict.is_ok(), other == index as u64, "{index} as {other} of {size}");
            }
        }
        for from in 0..=size {
            let proof = consistency_proof(&leaves[..size], from).unwrap();
            let old = root(&leaves[..from]);
            assert_eq!(verify_consistency(from as u64, &old, size as u64, &whole, &proof), Ok(()), "{from} to {size}");
        }
    }
}

proptest! {
    #[test]
    fn frontier_and_root_are_what_the_rfc_defines(entries in vec(vec(any::<u8>(), 0..40), 0..70)) {
        let leaves = hashes(&entries);
        let frontier = frontier(&leaves);
        prop_assert_eq!(frontier.root().to_vec(), defined(&entries));
        prop_assert_eq!(root(&leaves), frontier.root());
    }

    #[test]
    fn a_frontier_that_was_stored_goes_on_as_if_it_had_not_been(
        before in vec(any::<[u8; 32]>(), 0..70), after in vec(any::<[u8; 32]>(), 0..20),
    ) {
        let stored = frontier(&before);
        let mut read = Frontier::from_bytes(stored.size(), &stored.to_bytes()).unwrap();
        prop_assert_eq!(&read, &stored);
        prop_assert_eq!(read.nodes().len(), before.len().count_ones() as usize);
        for leaf in &after {
            read.append(*leaf);
        }
        prop_assert_eq!(read, frontier(&[before, after].concat()));
    }

    #[test]
    fn a_tampered_inclusion_proof_does_not_verify(
        leaves in vec(any::<[u8; 32]>(), 2..200), pick: prop::sample::Index, at: prop::sample::Index, bit in 0_u32..8,
    ) {
        let (index, size, whole) = (pick.index(leaves.len()), leaves.len() as u64, root(&leaves));
        let leaf = leaves[index];
        let check = |leaf: &Hash, proof: &[Hash]| verify_inclusion(leaf, index as u64, size, proof, &whole);
        let mut proof = inclusion_proof(&leaves, index).unwrap();
        prop_assert_eq!(check(&leaf, &proof), Ok(()));
        prop_assert_eq!(check(&leaf, &proof[1..]), Err(ProofError::WrongLength));
        let longer = [&proof[..], &[whole]].concat();
        prop_assert_eq!(check(&leaf, &longer), Err(ProofError::WrongLength));
        let hash = at.index(proof.len());
        proof[hash][at.index(32)] ^= 1 << bit;
        prop_assert_eq!(check(&leaf, &proof), Err(ProofError::RootMismatch));
    }

    #[test]
    fn a_log_that_rewrote_its_past_has_no_consistency_proof(
        leaves in vec(any::<[u8; 32]>(), 2..150), pick: prop::sample::Index, at: prop::sample::Index,
    ) {
        let from = 1 + pick.index(leaves.len() - 1);
        let (old, to) = (root(&leaves[..from]), leaves.len() as u64);
        let proof = consistency_proof(&leaves, from).unwrap();
        prop_assert_eq!(verify_consistency(from as u64, &old, to, &root(&leaves), &proof), Ok(()));
        prop_assert!(verify_consistency(from as u64, &old, to, &root(&leaves), &proof[1..]).is_err());

        let mut rewritten = leaves;
        rewritten[at.index(from)][0] ^= 1;
        let proof = consistency_proof(&rewritten, from).unwrap();
        let verdict = verify_consistency(from as u64, &old, to, &root(&rewritten), &proof);
        prop_assert_eq!(verdict, Err(ProofError::RootMismatch));
    }
}
