//! Tiles (C2SP tlog-tiles): the hashes of a log in files of 256, and its leaves in bundles of 256 (entry bundles);
//! their paths, and which tiles a log of some size has.

use std::fmt;

use super::{Hash, ProofError, root};
use crate::text::decimal;

/// Hashes in a full tile, and leaves in a full bundle.
pub const TILE_WIDTH: u64 = 256;
const HEIGHT: u32 = 8;
/// Longest path, bytes: the level, seven groups of three digits, and a width.
const MAX_PATH_BYTES: usize = 64;

/// Why something is not a tile, or not the tiles that a proof needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not a path of a tile or bundle.
    #[error(
        "a path is tile/<level or entries>/<index in groups of three digits, x before all but the last>[.p/<width>]"
    )]
    Path,
    /// The bytes are not as many as the tile has.
    #[error("tile {tile} is {} bytes, not {len}", u32::from(tile.width()) * 32)]
    Length {
        /// The tile.
        tile: Tile,
        /// Length of the bytes.
        len: usize,
    },
    /// A tile that the proof needs was not given, or was too narrow.
    #[error("the proof needs tile {0}")]
    Missing(Tile),
    /// There is no such proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A bundle ends within an entry, or has more or fewer than its width.
    #[error("an entry bundle is {0} entries, each after its length in two bytes")]
    Bundle(u16),
    /// An entry is too long for a bundle.
    #[error("an entry of a bundle is at most 65535 bytes, not {0}")]
    Entry(usize),
}

/// One tile of hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

/// One bundle of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryBundle {
    index: u64,
    width: u16,
}

/// What a path below a log's prefix names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TilePath {
    /// `tile/<level>/...`.
    Tile(Tile),
    /// `tile/entries/...`.
    Entries(EntryBundle),
}

impl Tile {
    /// The tile at `level` (0 to 63) with `index`, as wide as it is in a log of `size`. `None` if that log has none.
    #[must_use]
    pub fn in_log(size: u64, level: u8, index: u64) -> Option<Self> {
        let before = index.checked_mul(TILE_WIDTH)?;
        let width = hashes_at(size, level).checked_sub(before)?.min(TILE_WIDTH);
        let width = u16::try_from(width).ok().filter(|width| *width > 0)?;
        Some(Self { level, index, width })
    }

    /// The level: 0 is that of the leaf hashes, and a hash of each further one is over 256 of the one below.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The index within its level.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many hashes it has, 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether it has all its 256 hashes, so that it never changes.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.width as u64 == TILE_WIDTH
    }

    /// The hash of a full tile, which is a hash of the level above; `None` for a partial one.
    pub fn parent_hash(self, bytes: &[u8]) -> Result<Option<Hash>, TileError> {
        let hashes = self.hashes(bytes)?;
        Ok(self.is_full().then(|| root(hashes)))
    }

    /// The hashes in the bytes of this tile.
    pub fn hashes(self, bytes: &[u8]) -> Result<&[Hash], TileError> {
        match bytes.as_chunks::<32>() {
            (hashes, []) if hashes.len() == usize::from(self.width) => Ok(hashes),
            _ => Err(TileError::Length { tile: self, len: bytes.len() }),
        }
    }
}

impl EntryBundle {
    /// The bundle with `index`, as wide as it is in a log of `size`. `None` if that log has none.
    #[must_use]
    pub fn in_log(size: u64, index: u64) -> Option<Self> {
        Tile::in_log(size, 0, index).map(|tile| Self { index, width: tile.width })
    }

    /// The index.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many leaves it has, 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// The bytes of the bundle of `entries`, which must be as many as it is wide.
    pub fn encode<E: AsRef<[u8]>>(self, entries: &[E]) -> Result<Vec<u8>, TileError> {
        if entries.len() != usize::from(self.width) {
            return Err(TileError::Bundle(self.width));
        }
        let mut bytes = Vec::with_capacity(entries.iter().map(|entry| entry.as_ref().len() + 2).sum());
        for entry in entries {
            let entry = entry.as_ref();
            let len = u16::try_from(entry.len()).map_err(|_| TileError::Entry(entry.len()))?;
            bytes.extend(len.to_be_bytes());
            bytes.extend(entry);
        }
        Ok(bytes)
    }

    /// The entries in the bytes of this bundle.
    pub fn entries(self, bytes: &[u8]) -> Result<Vec<&[u8]>, TileError> {
        let (mut rest, mut entries) = (bytes, Vec::with_capacity(usize::from(self.width)));
        while entries.len() < usize::from(self.width) {
            let entry = rest.split_first_chunk::<2>();
            let entry = entry.and_then(|(len, rest)| rest.split_at_checked(u16::from_be_bytes(*len).into()));
            let (entry, after) = entry.ok_or(TileError::Bundle(self.width))?;
            entries.push(entry);
            rest = after;
        }
        if rest.is_empty() { Ok(entries) } else { Err(TileError::Bundle(self.width)) }
    }
}

/// How many hashes `level` has in a log of `size`.
fn hashes_at(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(level) * HEIGHT).unwrap_or(0)
}

/// Every tile of a log of `size`, the lowest level first.
pub fn tiles(size: u64) -> impl Iterator<Item = Tile> {
    new_tiles(0, size)
}

/// The tiles that a log of `to` leaves has and its first `from` leaves have not, full and partial, lowest level first.
pub fn new_tiles(from: u64, to: u64) -> impl Iterator<Item = Tile> {
    (0..8).flat_map(move |level| {
        let (old, new) = (hashes_at(from, level), hashes_at(to, level));
        let indexes = if old < new { old / TILE_WIDTH..new.div_ceil(TILE_WIDTH) } else { 0..0 };
        indexes.filter_map(move |index| Tile::in_log(to, level, index))
    })
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_place(f, self.index, self.width)
    }
}

impl fmt::Display for EntryBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_place(f, self.index, self.width)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tile(tile) => tile.fmt(f),
            Self::Entries(bundle) => bundle.fmt(f),
        }
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let digits = index.to_string();
    let digits = format!("{digits:0>len$}", len = digits.len().next_multiple_of(3));
    for at in (0..digits.len()).step_by(3) {
        let last = at + 3 == digits.len();
        write!(f, "{}{}{}", if last { "" } else { "x" }, &digits[at..at + 3], if last { "" } else { "/" })?;
    }
    if u64::from(width) < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
}

impl TilePath {
    /// Reads a path, relative to the log's prefix, in its only spelling.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        if path.len() > MAX_PATH_BYTES {
            return Err(TileError::Path);
        }
        Self::read(path).filter(|read| read.to_string() == path).ok_or(TileError::Path)
    }

    /// Reads a path in any spelling that the digits allow.
    fn read(path: &str) -> Option<Self> {
        let (level, place) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = match place.split_once(".p/") {
            Some((index, width)) => (index, decimal(width).filter(|width| (1..TILE_WIDTH).contains(width))?),
            None => (place, TILE_WIDTH),
        };
        let mut digits = String::new();
        for group in index.split('/') {
            digits.push_str(group.strip_prefix('x').unwrap_or(group));
        }
        let (index, width) = (digits.parse().ok()?, u16::try_from(width).ok()?);
        if level == "entries" {
            return Some(Self::Entries(EntryBundle { index, width }));
        }
        let level = u8::try_from(decimal(level)?).ok().filter(|level| *level < 64)?;
        Some(Self::Tile(Tile { level, index, width }))
    }
}
