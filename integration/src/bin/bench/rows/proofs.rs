//! The row about proofs: how the time of an inclusion proof grows with the log, as GetInclusionProof makes it from the
//! tiles in Postgres.

use std::time::{Duration, Instant};

use countersign_ledger::merkle::{Hash, ProofRequest, leaf_hash, verify_inclusion};
use countersign_store::{Connection, Options, Store, log_tree};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{Bench, Side, by_round};
use crate::{
    Result,
    figures::{Run, float, histogram},
    load::Length,
    report::Finding,
    seed,
};

/// Leaves that are written in one transaction.
const CHUNK: u64 = 1 << 18;

/// A log of synthetic leaves in a database of its own.
struct Log {
    store: Store,
    size: u64,
    root: Hash,
}

/// Proofs in logs of a thousandth, a hundredth and a tenth of the leaves, and of all of them.
pub(super) async fn proofs(bench: &Bench<'_>) -> Result<Finding> {
    let most = u64::from(bench.options.leaves());
    let mut logs = Vec::new();
    for size in [1000, 100, 10, 1].map(|part| most / part) {
        eprintln!("  writing the tiles of {size} leaves");
        logs.push(write(bench, size).await?);
    }
    let length = bench.options.length();
    let sides = logs
        .iter()
        .map(|log| {
            let mut seed = 0;
            Side::new(format!("{} leaves", log.size), move |_| {
                seed += 1;
                prove(log, seed, length)
            })
        })
        .collect();
    let parts = bench.interleave(sides).await?;
    let note = "one connection, leaves at random; every proof is verified, outside of its time".to_owned();
    let last = logs.len() - 1;
    Ok(Finding::Measured { rounds: by_round(&parts, |runs| runs[last].p50_us() / runs[0].p50_us()), parts, note })
}

/// What the leaf at an index is here.
fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

/// A log of `size` synthetic leaves behind what a first start recorded. No event is behind them, so no server runs on it.
async fn write(bench: &Bench<'_>, size: u64) -> Result<Log> {
    let (mut server, database) = bench.serve(&format!("proofs_{size}")).await?;
    server.ask_to_stop()?;
    server.ended().await?;
    let store = Store::new(&Options::new(database.url.parse()?));
    let mut frontier = seed::grow_tree(&store, &[]).await?;
    while frontier.size() < size {
        let leaves: Vec<Hash> = (frontier.size()..size.min(frontier.size() + CHUNK)).map(leaf).collect();
        frontier = seed::grow_tree(&store, &leaves).await?;
    }
    Ok(Log { store, size, root: frontier.root() })
}

/// Makes proofs one after the other.
async fn prove(log: &Log, seed: u64, length: Length) -> Result<Run> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut conn = log.store.for_reads().connection().await?;
    let (mut times, mut spent) = (histogram(), Duration::ZERO);
    let start = Instant::now();
    while start.elapsed() < length.warm_up + length.measured {
        let index = random.random_range(0..log.size);
        let asked = Instant::now();
        let (proof, hash) = inclusion(&mut conn, index, log.size).await?;
        let took = asked.elapsed();
        verify_inclusion(&hash, index, log.size, &proof, &log.root)?;
        if start.elapsed() > length.warm_up {
            times.record(u64::try_from(took.as_nanos())?.max(1))?;
            spent += took;
        }
    }
    Ok(Run::of_times(float(times.len()) / spent.as_secs_f64(), &times))
}

/// What GetInclusionProof reads and computes.
async fn inclusion(conn: &mut Connection, index: u64, size: u64) -> Result<(Vec<Hash>, Hash)> {
    let plan = ProofRequest::Inclusion { index, size }.plan(size)?;
    let tiles = log_tree::proof_tiles(conn, &plan.tiles()).await?;
    let recorded = log_tree::recorded_hashes(conn, &[i64::try_from(index)?]).await?;
    let hash = recorded.into_iter().next().flatten().ok_or("the tree lacks a leaf")?;
    Ok((plan.compute(&tiles)?, hash))
}
