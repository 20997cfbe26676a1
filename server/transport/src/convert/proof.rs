//! Conversion of checkpoints, proofs and tiles.

use countersign_app::{ConsistencyProof, Error, InclusionProof, StoredCheckpoint};
use countersign_proto::v1;

use super::{
    read,
    time::timestamp,
    violations::{Refused, Violations},
};

/// Hashes in a full tile.
const FULL: u16 = 256;

/// The event to prove, and in which tree. `None`: the newest checkpoint's.
pub(crate) struct Inclusion {
    pub(crate) log_index: i64,
    pub(crate) tree_size: Option<i64>,
}

/// The trees, the later of which continues the earlier. `None`: the newest checkpoint's.
pub(crate) struct Consistency {
    pub(crate) from_size: i64,
    pub(crate) to_size: Option<i64>,
}

/// A tile, or the leaves below one.
pub(crate) struct WantedTile {
    pub(crate) level: u8,
    pub(crate) index: u64,
    pub(crate) width: u16,
}

pub(crate) fn inclusion(request: &v1::GetInclusionProofRequest) -> Result<Inclusion, Error> {
    read(|v| {
        let log_index = v.number("log_index", request.log_index, 0..=i64::MAX);
        let tree_size = size(v, "tree_size", request.tree_size);
        Ok(Inclusion { log_index: log_index?, tree_size: tree_size? })
    })
}

pub(crate) fn consistency(request: &v1::GetConsistencyProofRequest) -> Result<Consistency, Error> {
    read(|v| {
        let from_size = v.number("from_size", request.from_size, 1..=i64::MAX);
        let to_size = size(v, "to_size", request.to_size);
        Ok(Consistency { from_size: from_size?, to_size: to_size? })
    })
}

pub(crate) fn tile(request: &v1::GetTileRequest) -> Result<WantedTile, Error> {
    read(|v| {
        let level = v.number("level", request.level, 0..=7);
        let index = v.number("tile_index", request.tile_index, 0..=i64::MAX);
        let width = width(v, request.width);
        Ok(WantedTile { level: level?, index: index?, width: width? })
    })
}

pub(crate) fn entries(request: &v1::GetEntriesRequest) -> Result<WantedTile, Error> {
    read(|v| {
        let index = v.number("tile_index", request.tile_index, 0..=i64::MAX);
        let width = width(v, request.width);
        Ok(WantedTile { level: 0, index: index?, width: width? })
    })
}

fn size(v: &mut Violations, field: &str, size: i64) -> Result<Option<i64>, Refused> {
    let size: i64 = v.number(field, size, 0..=i64::MAX)?;
    Ok(Some(size).filter(|size| *size > 0))
}

fn width(v: &mut Violations, width: i32) -> Result<u16, Refused> {
    let width: u16 = v.number("width", width, 0..=255)?;
    Ok(if width == 0 { FULL } else { width })
}

pub(crate) fn checkpoint(
    checkpoint: &StoredCheckpoint,
    origin: &str,
    verifier_key: String,
) -> v1::GetCheckpointResponse {
    v1::GetCheckpointResponse {
        checkpoint: checkpoint.note.clone(),
        size: checkpoint.size,
        root_hash: checkpoint.root_hash.to_vec(),
        sign_time: Some(timestamp(checkpoint.sign_time)),
        origin: origin.to_owned(),
        verifier_key,
    }
}

pub(crate) fn inclusion_proof(proof: InclusionProof) -> v1::GetInclusionProofResponse {
    v1::GetInclusionProofResponse {
        hashes: proof.hashes.iter().map(|hash| hash.to_vec()).collect(),
        leaf_hash: proof.leaf_hash.to_vec(),
        tree_size: proof.tree_size,
        checkpoint: proof.checkpoint.unwrap_or_default(),
    }
}

pub(crate) fn consistency_proof(proof: &ConsistencyProof) -> v1::GetConsistencyProofResponse {
    let hashes = proof.hashes.iter().map(|hash| hash.to_vec()).collect();
    v1::GetConsistencyProofResponse { hashes, to_size: proof.to_size }
}
