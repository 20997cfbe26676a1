//! The frontier of a log: the roots of its full subtrees, which are sufficient to append a leaf and to compute the
//! root.

use super::{Hash, empty_root, node_hash};

/// Bytes that are not the frontier of a log of the given size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frontier of a log of {size} leaves is {} bytes, not {len}", size.count_ones() * 32)]
pub struct FrontierError {
    /// Size of the log, in leaves.
    pub size: u64,
    /// Length of the bytes.
    pub len: usize,
}

/// Everything that is needed to append to a log and to compute its root: the roots of its full subtrees, largest first.
///
/// One node for each bit that is set in the size, so at most 64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// Reads the result of [`Self::to_bytes`] for a log of `size` leaves.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, FrontierError> {
        let (nodes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || nodes.len() != size.count_ones() as usize {
            return Err(FrontierError { size, len: bytes.len() });
        }
        Ok(Self { size, nodes: nodes.to_vec() })
    }

    /// The nodes, largest subtree first, 32 bytes each.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.nodes.concat()
    }

    /// How many leaves the log has; also the index of the next one.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the full subtrees, largest first.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends one leaf and returns its index.
    pub fn append(&mut self, leaf_hash: Hash) -> u64 {
        let index = self.size;
        let mut node = leaf_hash;
        // As in binary addition: each trailing one of the size is a full subtree that the new leaf completes.
        for _ in 0..index.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
        index
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let smallest_first = self.nodes.iter().rev().copied();
        smallest_first.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }
}
