//! The worker that takes new events into the tree and signs checkpoints, again after a while if the log does not grow.
//! Signs nothing over an event that is missing, doubled or changed. Runs on every server; one at a time works.

use countersign_ledger::merkle::{Frontier, GrowingTiles, TilePlace};
use countersign_store::{
    Tx,
    checkpoint::{self, StoredCheckpoint},
    commit,
    head::Head,
    log_check::Finding,
    log_tree,
};
use time::Duration;

use crate::{App, Error};

/// How many events one transaction takes into the tree at most.
const AT_A_TIME: i64 = 10_000;
/// How old a checkpoint gets before a log that does not grow signs it again.
const HEARTBEAT: Duration = Duration::MINUTE;

impl App {
    /// Takes new events into the tree until it is complete, and signs its size and root. Then publishes what is newest.
    pub(crate) async fn extend_tree(&self) -> Result<(), Error> {
        while self.extend_once().await? {}
        self.publish_checkpoint().await
    }

    /// Takes the next events into the tree. Returns whether there are more.
    pub(super) async fn extend_once(&self) -> Result<bool, Error> {
        let inner = &self.inner;
        let mut tx = inner.engine.store.begin().await?;
        let Some(tree) = log_tree::try_lock(&mut tx).await? else { return Ok(false) };
        let (head, now) = Head::read(&mut tx).await?;
        let (from, mut frontier) = (size_of(&tree.frontier), tree.frontier);
        let to = head.size().min(from.saturating_add(AT_A_TIME));
        if to < from {
            let why = format!("the log has {to} events, and {from} were in its tree before: events were removed");
            inner.custody.found(Finding { log_index: to, why });
            return Ok(false);
        }
        if to > from {
            let grown = match append(&mut tx, &mut frontier, from, to).await? {
                Ok(grown) => grown,
                Err(finding) => {
                    inner.custody.found(finding);
                    return Ok(false);
                }
            };
            log_tree::grow(&mut tx, grown.grown(), &frontier).await?;
        }
        let complete = to == head.size();
        if complete && frontier != head.frontier {
            inner.custody.found(difference(&frontier, &head.frontier));
            return Ok(false);
        }
        if complete && to > 0 {
            let newest = checkpoint::newest(&mut tx).await?;
            let fresh = newest.is_some_and(|known| known.size == to && now - known.sign_time < HEARTBEAT);
            if !fresh {
                let root_hash = frontier.root();
                let note = inner.custody.key.sign(frontier.size(), root_hash)?;
                let signed = StoredCheckpoint { size: to, root_hash, note, sign_time: now };
                checkpoint::write(&mut tx, &signed).await?;
            }
        }
        commit(tx).await?;
        Ok(!complete)
    }
}

fn size_of(frontier: &Frontier) -> i64 {
    // The column has the same width.
    i64::try_from(frontier.size()).unwrap_or(i64::MAX)
}

/// Appends the events from index `from` until before `to` to the tree. The inner error is an event that is not where it should be.
async fn append(
    tx: &mut Tx,
    frontier: &mut Frontier,
    from: i64,
    to: i64,
) -> Result<Result<GrowingTiles, Finding>, Error> {
    let places: Vec<_> = TilePlace::edge(frontier.size()).map(|(place, _)| place).collect();
    let edge = log_tree::tiles(tx, &places).await?;
    let Some(mut tiles) = GrowingTiles::of(frontier.size(), edge) else {
        let why = format!("the newest tiles of the tree over {from} events are missing or cut");
        return Ok(Err(Finding { log_index: from - 1, why }));
    };
    let leaves = log_tree::leaf_hashes(tx, from, to).await?;
    for (expected, leaf) in (from..to).zip(leaves.iter().map(Some).chain(std::iter::repeat(None))) {
        match leaf {
            Some(leaf) if leaf.log_index == expected => {
                tiles.append(leaf.leaf_hash);
                frontier.append(leaf.leaf_hash);
            }
            Some(leaf) if leaf.log_index < expected => {
                let why = "there is more than one event at this index".to_owned();
                return Ok(Err(Finding { log_index: leaf.log_index, why }));
            }
            _ => return Ok(Err(Finding { log_index: expected, why: "the event is missing".to_owned() })),
        }
    }
    Ok(Ok(tiles))
}

/// Where the tree over the stored events differs from the one that was kept while they were appended: the first of the
/// largest subtrees that differ.
fn difference(stored: &Frontier, recorded: &Frontier) -> Finding {
    let size = recorded.size();
    // One node for each bit of the size, the largest first.
    let bits = (0..u64::BITS).rev().filter(|bit| (size >> bit) & 1 == 1);
    let (mut first, mut end) = (0, size);
    for ((bit, stored), recorded) in bits.zip(stored.nodes()).zip(recorded.nodes()) {
        if stored != recorded {
            end = first + (1 << bit);
            break;
        }
        first += 1 << bit;
    }
    let why = format!("this event, or one after it and before {end}, is not the one that was recorded");
    Finding { log_index: i64::try_from(first).unwrap_or(i64::MAX), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_subtree_that_differs_is_named() {
        let tree = |changed: Option<u8>| {
            let mut frontier = Frontier::default();
            for leaf in 0..7 {
                frontier.append([if Some(leaf) == changed { 99 } else { leaf }; 32]);
            }
            frontier
        };
        for (changed, first, end) in [(0, 0, 4), (3, 0, 4), (4, 4, 6), (5, 4, 6), (6, 6, 7)] {
            let finding = difference(&tree(Some(changed)), &tree(None));
            assert_eq!(finding.log_index, first, "{changed}");
            assert!(finding.why.contains(&format!("before {end},")), "{changed}: {}", finding.why);
        }
    }
}
