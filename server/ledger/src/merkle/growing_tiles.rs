//! The tiles of a log while leaves are appended: the partial tiles at the right edge, and the tiles that grew.

use std::collections::{BTreeMap, BTreeSet};

use super::{Hash, root};

/// How many hashes a full tile has.
const TILE_WIDTH: usize = 256;
/// How many levels of tiles a log can have: with 256 hashes a tile, eight levels are 2^64 leaves.
const TILE_LEVELS: u8 = 8;

/// Which tile: its level, and its index in the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePlace {
    /// 0 for leaf hashes; `n` for the roots of full tiles of level `n - 1`.
    pub level: u8,
    /// From the left, from 0.
    pub index: u64,
}

impl TilePlace {
    /// The partial tiles at the right edge of a log of `size` leaves, each with the number of its hashes.
    pub fn edge(size: u64) -> impl Iterator<Item = (Self, usize)> {
        (0..TILE_LEVELS).filter_map(move |level| {
            let hashes = size >> (8 * u32::from(level));
            // Below 256, so that it fits.
            let width = (hashes % 256) as usize;
            (width > 0).then_some((Self { level, index: hashes / 256 }, width))
        })
    }
}

/// The tiles of a log while leaves are appended. It holds the right edge and what has grown, not the whole log.
#[derive(Debug, Clone, Default)]
pub struct GrowingTiles {
    size: u64,
    tiles: BTreeMap<TilePlace, Vec<Hash>>,
    grown: BTreeSet<TilePlace>,
}

impl GrowingTiles {
    /// Continues a log of `size` leaves with the partial tiles of [`TilePlace::edge`]. `None` if a tile is missing or has
    /// too few hashes. Hashes beyond the edge are ignored.
    #[must_use]
    pub fn of(size: u64, mut tiles: BTreeMap<TilePlace, Vec<Hash>>) -> Option<Self> {
        let mut edge = BTreeMap::new();
        for (place, width) in TilePlace::edge(size) {
            let mut hashes = tiles.remove(&place)?;
            if hashes.len() < width {
                return None;
            }
            hashes.truncate(width);
            edge.insert(place, hashes);
        }
        Some(Self { size, tiles: edge, grown: BTreeSet::new() })
    }

    /// Appends one leaf.
    pub fn append(&mut self, leaf_hash: Hash) {
        let (mut hash, mut number) = (leaf_hash, self.size);
        for level in 0..TILE_LEVELS {
            let place = TilePlace { level, index: number / 256 };
            let tile = self.tiles.entry(place).or_default();
            tile.push(hash);
            self.grown.insert(place);
            if tile.len() < TILE_WIDTH {
                break;
            }
            (hash, number) = (root(tile), number / 256);
        }
        self.size += 1;
    }

    /// How many leaves the log has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The tiles that grew, each with all its hashes.
    pub fn grown(&self) -> impl Iterator<Item = (TilePlace, &[Hash])> {
        self.grown.iter().filter_map(|place| Some((*place, self.tiles.get(place)?.as_slice())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::leaf_hash;

    /// All tiles of these leaves, by the definition.
    fn all(leaves: &[Hash]) -> BTreeMap<TilePlace, Vec<Hash>> {
        let (mut tiles, mut hashes, mut level) = (BTreeMap::new(), leaves.to_vec(), 0);
        while !hashes.is_empty() {
            for (index, tile) in (0..).zip(hashes.chunks(TILE_WIDTH)) {
                tiles.insert(TilePlace { level, index }, tile.to_vec());
            }
            hashes = hashes.as_chunks::<TILE_WIDTH>().0.iter().map(|tile| root(tile)).collect();
            level += 1;
        }
        tiles
    }

    #[test]
    fn tiles_that_grow_in_steps_are_those_of_the_whole_log() {
        let leaves: Vec<Hash> = (0..70_000_u32).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect();
        let (mut stored, mut size) = (BTreeMap::new(), 0);
        for step in [1, 254, 1, 1, 255, 1_000, 0, 64_000, 24, 4_464] {
            let mut tiles = GrowingTiles::of(size as u64, stored.clone()).unwrap();
            for leaf in &leaves[size..size + step] {
                tiles.append(*leaf);
            }
            stored.extend(tiles.grown().map(|(place, hashes)| (place, hashes.to_vec())));
            size += step;
            assert_eq!((tiles.size(), &stored), (size as u64, &all(&leaves[..size])), "{size}");
        }
        assert_eq!(size, leaves.len());
    }

    #[test]
    fn an_edge_that_lacks_hashes_is_refused_and_one_with_more_is_cut() {
        let leaves: Vec<Hash> = (0..300_u32).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect();
        let tiles = all(&leaves);
        assert!(GrowingTiles::of(301, tiles.clone()).is_none());
        assert!(GrowingTiles::of(300, BTreeMap::new()).is_none());
        let mut cut = GrowingTiles::of(299, tiles.clone()).unwrap();
        cut.append(leaves[299]);
        let grown: Vec<_> = cut.grown().map(|(place, hashes)| (place, hashes.to_vec())).collect();
        assert_eq!(grown, [(TilePlace { level: 0, index: 1 }, leaves[256..].to_vec())]);
    }
}
