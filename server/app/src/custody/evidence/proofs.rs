//! The inclusion proofs of many events in one tree.

use countersign_ledger::merkle::{Hash, ProofRequest, Tile};
use countersign_store::{Connection, log_tree};
use std::collections::BTreeSet;

use crate::Error;

/// How many events are proven with the tiles of one read.
const AT_A_TIME: usize = 256;

/// The proof of each of these indices, in the same order, in the tree of `size`.
pub(super) async fn inclusion(conn: &mut Connection, indices: &[i64], size: i64) -> Result<Vec<Vec<Hash>>, Error> {
    let failed = |error| Error::internal("tiles of the log are missing or cut", error);
    let size = size.unsigned_abs();
    let mut proofs = Vec::with_capacity(indices.len());
    for some in indices.chunks(AT_A_TIME) {
        let plan =
            |index: &i64| ProofRequest::Inclusion { index: index.unsigned_abs(), size }.plan(size).map_err(failed);
        let plans = some.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
        let wanted: BTreeSet<Tile> = plans.iter().flat_map(countersign_ledger::merkle::ProofPlan::tiles).collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let tiles = log_tree::proof_tiles(conn, &wanted).await?;
        for plan in plans {
            proofs.push(plan.compute(&tiles).map_err(failed)?);
        }
    }
    Ok(proofs)
}
