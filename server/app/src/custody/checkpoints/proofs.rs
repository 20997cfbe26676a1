//! GetCheckpoint, GetInclusionProof, GetConsistencyProof, GetTile and GetEntries: always of a tree that a published
//! checkpoint is over; a larger size or index is refused.

use std::sync::Arc;

use countersign_core::Violation;
use countersign_ledger::merkle::{Hash, ProofRequest, TILE_WIDTH, Tile, TileError, TilePlace};
use countersign_store::{
    checkpoint::{self, StoredCheckpoint},
    event, log_tree,
};

use crate::{App, Error};

/// A proof that an event is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The audit path, leaf to root.
    pub hashes: Vec<Hash>,
    /// The hash that the tree holds for the event.
    pub leaf_hash: Hash,
    /// The size of the tree.
    pub tree_size: i64,
    /// The checkpoint of exactly this size. `None` if none is stored.
    pub checkpoint: Option<String>,
}

/// A proof that the log only grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The hashes.
    pub hashes: Vec<Hash>,
    /// The size of the later tree.
    pub to_size: i64,
}

impl App {
    /// The name of the log.
    #[must_use]
    pub fn log_origin(&self) -> &str {
        self.inner.custody.key.origin()
    }

    /// The public key of the log, as C2SP writes it.
    #[must_use]
    pub fn log_verifier_key(&self) -> String {
        self.inner.custody.key.verifier().to_string()
    }

    /// The newest published checkpoint.
    pub fn checkpoint(&self) -> Result<Arc<StoredCheckpoint>, Error> {
        self.inner.custody.published().ok_or_else(|| {
            Error::NotReady(
                "no checkpoint of the log was published by this server yet; try again in a second".to_owned(),
            )
        })
    }

    /// Proves that an event is in the tree of `tree_size`, or of the newest checkpoint.
    pub async fn inclusion_proof(&self, log_index: i64, tree_size: Option<i64>) -> Result<InclusionProof, Error> {
        let newest = self.checkpoint()?;
        let tree_size = within("tree_size", tree_size, &newest)?;
        if log_index >= tree_size {
            return Err(invalid("log_index", format!("must be below {tree_size}, the tree's size, is {log_index}")));
        }
        let index = unsigned(log_index);
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let request = ProofRequest::Inclusion { index, size: unsigned(tree_size) };
        let plan = request.plan(unsigned(newest.size)).map_err(unprovable)?;
        let tiles = log_tree::proof_tiles(&mut conn, &plan.tiles()).await?;
        let hashes = plan.compute(&tiles).map_err(unprovable)?;
        let leaf_hash = log_tree::recorded_hashes(&mut conn, &[log_index]).await?.pop().flatten();
        let leaf_hash = leaf_hash.ok_or_else(|| Error::internal("the tree has no hash of an event", log_index))?;
        let checkpoint = checkpoint::of_size(&mut conn, tree_size).await?.map(|stored| stored.note);
        Ok(InclusionProof { hashes, leaf_hash, tree_size, checkpoint })
    }

    /// Proves that the tree of `to_size`, or of the newest checkpoint, continues the tree of `from_size`.
    pub async fn consistency_proof(&self, from_size: i64, to_size: Option<i64>) -> Result<ConsistencyProof, Error> {
        let newest = self.checkpoint()?;
        let to_size = within("to_size", to_size, &newest)?;
        if from_size > to_size {
            return Err(invalid("from_size", format!("must not be above {to_size}, the later size, is {from_size}")));
        }
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let request = ProofRequest::Consistency { from: unsigned(from_size), to: unsigned(to_size) };
        let plan = request.plan(unsigned(newest.size)).map_err(unprovable)?;
        let tiles = log_tree::proof_tiles(&mut conn, &plan.tiles()).await?;
        Ok(ConsistencyProof { hashes: plan.compute(&tiles).map_err(unprovable)?, to_size })
    }

    /// A tile of the newest published tree, with its first `width` hashes.
    pub async fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, Error> {
        let tile = self.published_tile(level, index, width)?;
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let place = TilePlace { level, index };
        let mut tiles = log_tree::tiles(&mut conn, &[place]).await?;
        let hashes = tiles.remove(&place).filter(|hashes| hashes.len() >= usize::from(width));
        let hashes = hashes.ok_or_else(|| unprovable(TileError::Missing(tile)))?;
        Ok(hashes[..usize::from(width)].concat())
    }

    /// The first `width` leaves below a tile of level 0, exactly as they are stored.
    pub async fn entries(&self, index: u64, width: u16) -> Result<Vec<Vec<u8>>, Error> {
        self.published_tile(0, index, width)?;
        let from = i64::try_from(index * TILE_WIDTH).map_err(|_| Error::Internal)?;
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let leaves = event::leaves(&mut conn, from, from + i64::from(width)).await?;
        for (expected, stored) in (from..).zip(&leaves) {
            if stored.log_index != expected {
                return Err(Error::NotFound { what: "event", id: format!("at log index {expected}") });
            }
        }
        if leaves.len() == usize::from(width) {
            return Ok(leaves.into_iter().map(|leaf| leaf.leaf_bytes).collect());
        }
        let missing = from + i64::try_from(leaves.len()).unwrap_or(i64::MAX);
        Err(Error::NotFound { what: "event", id: format!("at log index {missing}") })
    }

    fn published_tile(&self, level: u8, index: u64, width: u16) -> Result<Tile, Error> {
        let newest = self.checkpoint()?;
        let tile = Tile::in_log(unsigned(newest.size), level, index).filter(|tile| tile.width() >= width);
        let id = || format!("{index} of level {level} with {width} hashes, in a tree of {} events", newest.size);
        tile.ok_or_else(|| Error::NotFound { what: "tile", id: id() })
    }
}

/// The size that a request names, which must not be above the newest checkpoint's.
fn within(field: &'static str, asked: Option<i64>, newest: &StoredCheckpoint) -> Result<i64, Error> {
    match asked {
        Some(size) if size > newest.size => {
            Err(invalid(field, format!("must not be above {}, the newest checkpoint's size, is {size}", newest.size)))
        }
        Some(size) => Ok(size),
        None => Ok(newest.size),
    }
}

fn invalid(field: &'static str, why: String) -> Error {
    Error::Invalid(vec![Violation::new(field, why)])
}

/// Sizes and indices in requests are checked to be at least 0.
fn unsigned(number: i64) -> u64 {
    number.unsigned_abs()
}

fn unprovable(error: TileError) -> Error {
    Error::internal("tiles of the log are missing or cut", error)
}
