//! The Merkle tree of RFC 6962: SHA-256, with the prefix 0x00 for the hash of a leaf and 0x01 for that of a node; and
//! the root of the empty tree.

mod frontier;
mod growing_tiles;
mod proof;
mod proof_request;
mod tile;

use aws_lc_rs::digest::{Context, SHA256, digest};

pub use frontier::{Frontier, FrontierError};
pub use growing_tiles::{GrowingTiles, TilePlace};
pub use proof::{ProofError, consistency_proof, inclusion_proof, root, verify_consistency, verify_inclusion};
pub use proof_request::{ProofPlan, ProofRequest, Tiles};
pub use tile::{EntryBundle, TILE_WIDTH, Tile, TileError, TilePath, new_tiles, tiles};

/// A SHA-256 hash of a leaf, of a node, or of a whole tree.
pub type Hash = [u8; 32];

/// The hash of a leaf: SHA-256(0x00 || bytes).
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(bytes);
    finish(context)
}

/// The hash of a node: SHA-256(0x01 || left || right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [1; 65];
    input[1..33].copy_from_slice(left);
    input[33..].copy_from_slice(right);
    sha256(&input)
}

/// The root of the empty tree: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(&[])
}

fn sha256(bytes: &[u8]) -> Hash {
    to_hash(digest(&SHA256, bytes).as_ref())
}

pub(crate) fn finish(context: Context) -> Hash {
    to_hash(context.finish().as_ref())
}

fn to_hash(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(bytes);
    hash
}
