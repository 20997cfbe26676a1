//! Inclusion and consistency proofs, which are made from leaf hashes and checked with hashes only (RFC 6962 section
//! 2.1, RFC 9162 section 2.1); and the root over leaf hashes.

use std::ops::Range;

use super::{Hash, empty_root, node_hash};

/// A proof that does not prove what it should, or a request for a proof that cannot exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf is not in a log of that size.
    #[error("leaf {index} is not in a log of {size} leaves")]
    IndexOutOfRange {
        /// Index of the leaf.
        index: u64,
        /// Size of the log, leaves.
        size: u64,
    },
    /// The older log is larger than the newer one.
    #[error("a log of {from} leaves cannot have grown into one of {to}")]
    Shrinking {
        /// Size of the older log, leaves.
        from: u64,
        /// Size of the newer log, leaves.
        to: u64,
    },
    /// The proof has more or fewer hashes than the sizes require.
    #[error("the proof has the wrong number of hashes")]
    WrongLength,
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    RootMismatch,
}

/// The root over `leaves`.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
            node_hash(&root(left), &root(right))
        }
    }
}

/// The proof that leaf `index` is in the log of `leaves`: the siblings from the leaf upwards.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Result<Vec<Hash>, ProofError> {
    Ok(roots(leaves, inclusion_ranges(index as u64, leaves.len() as u64)?))
}

/// The proof that the log of `leaves` continues the log of its first `from` leaves. Empty if `from` is 0 or all.
pub fn consistency_proof(leaves: &[Hash], from: usize) -> Result<Vec<Hash>, ProofError> {
    Ok(roots(leaves, consistency_ranges(from as u64, leaves.len() as u64)?))
}

fn roots(leaves: &[Hash], ranges: Vec<Range<u64>>) -> Vec<Hash> {
    // The ranges are within the log, whose length is a usize.
    let at = |index| usize::try_from(index).unwrap_or(usize::MAX);
    ranges.into_iter().map(|range| root(&leaves[at(range.start)..at(range.end)])).collect()
}

/// The leaves below each hash of an inclusion proof.
pub(super) fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let (mut ranges, mut walk) = (Vec::new(), 0..size);
    while walk.end - walk.start > 1 {
        let middle = walk.start + split(walk.end - walk.start);
        if index < middle {
            ranges.push(middle..walk.end);
            walk.end = middle;
        } else {
            ranges.push(walk.start..middle);
            walk.start = middle;
        }
    }
    ranges.reverse();
    Ok(ranges)
}

/// The leaves below each hash of a consistency proof.
pub(super) fn consistency_ranges(from: u64, to: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if from > to {
        return Err(ProofError::Shrinking { from, to });
    }
    if from == 0 {
        return Ok(Vec::new());
    }
    let (mut ranges, mut walk) = (Vec::new(), 0..to);
    while from < walk.end {
        let middle = walk.start + split(walk.end - walk.start);
        if from <= middle {
            ranges.push(middle..walk.end);
            walk.end = middle;
        } else {
            ranges.push(walk.start..middle);
            walk.start = middle;
        }
    }
    // The verifier has the old root; any other subtree in which the walk ends must be in the proof.
    if walk.start > 0 {
        ranges.push(walk);
    }
    ranges.reverse();
    Ok(ranges)
}

/// Checks that a leaf hash is at `index` in the log of `size` leaves whose root is `root`.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // The right edge: levels at which this node has no sibling are not in the proof.
            while node.is_multiple_of(2) && node != 0 {
                node /= 2;
                last /= 2;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node /= 2;
        last /= 2;
    }
    settle(last == 0, hash == *root)
}

/// Checks that the log of `to` leaves continues the log of `from` leaves.
pub fn verify_consistency(
    from: u64,
    from_root: &Hash,
    to: u64,
    to_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if from > to {
        return Err(ProofError::Shrinking { from, to });
    }
    if from == 0 || from == to {
        // The empty log is the start of every log, and every log continues itself.
        let holds = (from != 0 || *from_root == empty_root()) && (from != to || from_root == to_root);
        return settle(proof.is_empty(), holds);
    }
    // A full old tree is a subtree of the new one: the walk starts at its root.
    let (start, rest) = match proof.split_first() {
        _ if from.is_power_of_two() => (*from_root, proof),
        Some((first, rest)) => (*first, rest),
        None => return Err(ProofError::WrongLength),
    };
    let level = (from - 1).trailing_ones();
    let (mut node, mut last) = ((from - 1) >> level, (to - 1) >> level);
    let (mut old, mut new) = (start, start);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node % 2 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node.is_multiple_of(2) && node != 0 {
                node /= 2;
                last /= 2;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node /= 2;
        last /= 2;
    }
    settle(last == 0, old == *from_root && new == *to_root)
}

const fn settle(complete: bool, equal: bool) -> Result<(), ProofError> {
    match (complete, equal) {
        (false, _) => Err(ProofError::WrongLength),
        (true, false) => Err(ProofError::RootMismatch),
        (true, true) => Ok(()),
    }
}

/// The largest power of two below `len`, which is at least 2.
const fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}
