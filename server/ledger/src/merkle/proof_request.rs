//! Inclusion proofs, consistency proofs and roots from tiles: which tiles one needs, and the result from them. Each
//! needs a number of tiles that grows with the logarithm of the size.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    Hash, ProofError, empty_root, node_hash,
    proof::{consistency_ranges, inclusion_ranges},
    root,
    tile::{TILE_WIDTH, Tile, TileError},
};

const HEIGHT: u32 = 8;

/// What is to be computed from tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofRequest {
    /// The proof that leaf `index` is in the log of `size` leaves.
    Inclusion {
        /// Index of the leaf.
        index: u64,
        /// Size of the log, leaves.
        size: u64,
    },
    /// The proof that the log of `to` leaves continues that of its first `from`.
    Consistency {
        /// Size of the older log, leaves.
        from: u64,
        /// Size of the newer log, leaves.
        to: u64,
    },
    /// The root of the log of `size` leaves.
    Root {
        /// Size of the log, leaves.
        size: u64,
    },
}

/// What to fetch, and what to compute from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofPlan {
    size: u64,
    ranges: Vec<Range<u64>>,
}

/// Tiles that were fetched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tiles(BTreeMap<(u8, u64), Vec<Hash>>);

impl Tiles {
    /// Takes the bytes of a tile. Of several widths of one tile, the widest stays.
    pub fn insert(&mut self, tile: Tile, bytes: &[u8]) -> Result<(), TileError> {
        let hashes = tile.hashes(bytes)?;
        let slot = self.0.entry((tile.level(), tile.index())).or_default();
        if slot.len() < hashes.len() {
            hashes.clone_into(slot);
        }
        Ok(())
    }
}

impl ProofRequest {
    /// Plans the proof in a log that has `held` leaves: tiles are named as wide as that log has them, so that tiles of
    /// an older size, which may be gone, are not asked for. `held` is at least the size in the request.
    pub fn plan(self, held: u64) -> Result<ProofPlan, TileError> {
        let (size, ranges) = match self {
            Self::Inclusion { index, size } => (size, inclusion_ranges(index, size)?),
            Self::Consistency { from, to } => (to, consistency_ranges(from, to)?),
            Self::Root { size } => (size, std::iter::once(0..size).collect()),
        };
        if size > held {
            return Err(ProofError::Shrinking { from: size, to: held }.into());
        }
        Ok(ProofPlan { size: held, ranges })
    }
}

impl ProofPlan {
    /// The tiles that are needed, each once, in rising order.
    #[must_use]
    pub fn tiles(&self) -> Vec<Tile> {
        let subtrees = self.ranges.iter().cloned().flat_map(subtrees);
        let tiles: BTreeSet<Tile> = subtrees.filter_map(|subtree| subtree.tile(self.size)).collect();
        tiles.into_iter().collect()
    }

    /// The hashes of the proof, or the root alone.
    pub fn compute(&self, tiles: &Tiles) -> Result<Vec<Hash>, TileError> {
        self.ranges.iter().cloned().map(|range| self.hash(range, tiles)).collect()
    }

    fn hash(&self, range: Range<u64>, tiles: &Tiles) -> Result<Hash, TileError> {
        let hashes: Vec<Hash> =
            subtrees(range).map(|subtree| subtree.hash(self.size, tiles)).collect::<Result<_, _>>()?;
        Ok(hashes.into_iter().rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root))
    }
}

/// A full subtree: the `nth` of those with 2^`height` leaves.
#[derive(Clone, Copy)]
struct Subtree {
    height: u32,
    nth: u64,
}

impl Subtree {
    /// The level of the tile in which it is, its first hash in that level, and how many hashes it has there.
    const fn place(self) -> (u32, u64, usize) {
        let inner = self.height % HEIGHT;
        (self.height / HEIGHT, self.nth << inner, 1 << inner)
    }

    fn tile(self, size: u64) -> Option<Tile> {
        let (level, first, _) = self.place();
        Tile::in_log(size, u8::try_from(level).ok()?, first / TILE_WIDTH)
    }

    fn hash(self, size: u64, tiles: &Tiles) -> Result<Hash, TileError> {
        let (_, first, len) = self.place();
        let Some(tile) = self.tile(size) else {
            return Err(ProofError::IndexOutOfRange { index: self.nth << self.height, size }.into());
        };
        let at = usize::try_from(first % TILE_WIDTH).unwrap_or_default();
        let hashes = tiles.0.get(&(tile.level(), tile.index())).and_then(|hashes| hashes.get(at..)?.get(..len));
        hashes.map(root).ok_or(TileError::Missing(tile))
    }
}

/// The full subtrees of a range that begins where a subtree as long as the range may begin: largest first.
fn subtrees(range: Range<u64>) -> impl Iterator<Item = Subtree> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let height = (range.end - start).checked_ilog2()?;
        let subtree = Subtree { height, nth: start >> height };
        start += 1 << height;
        Some(subtree)
    })
}
