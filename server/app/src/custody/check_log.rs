//! The worker that compares every stored event with the tree, its columns and its texts, to find events that were
//! changed, removed or added in the database (tampering): the whole log again and again, at a bounded rate, by all
//! servers together.

use countersign_ledger::{
    commitment::Opening,
    leaf::{Digest, Leaf},
    merkle::{Frontier, leaf_hash, root},
};
use countersign_store::{
    Connection, commit, database_time,
    log_check::{self, Finding, LogCheck, StoredRow},
    log_tree,
};
use time::Duration;

use super::checkpoints::publish::root_at;
use crate::{App, Error, engine::custody_leaf};

/// How many events are compared at a time at least, so that a small log is compared within minutes.
const LEAST: i64 = 256;
/// How many at most, so that it takes little of the database's time.
const MOST: i64 = 4_096;
/// How long a round over the whole log takes at most, up to some 88 million events: the whole log is compared once a day.
const LONGEST_ROUND: Duration = Duration::hours(12);
/// How long after a round the next one begins.
const BETWEEN: Duration = Duration::MINUTE;
/// How many levels of tiles there are: with eight of them the log has 2^64 events.
const TOP: i32 = 7;
/// How many tiles of 8 KiB are read at a time.
const TILES_AT_A_TIME: u16 = 64;
/// How often this worker works.
pub(crate) const CHECK_LOG: std::time::Duration = std::time::Duration::from_secs(2);

impl App {
    /// Compares the next events.
    pub(crate) async fn check_log(&self) -> Result<(), Error> {
        let store = &self.inner.engine.store;
        let mut tx = store.begin().await?;
        if let Some(mut check) = log_check::try_lock(&mut tx).await? {
            let now = database_time(&mut tx).await?;
            let tree = log_tree::read(&mut tx).await?.frontier;
            let size = i64::try_from(tree.size()).unwrap_or(i64::MAX);
            let due = check.whole_time.is_none_or(|whole| now - whole >= BETWEEN);
            if check.round_start.is_none() && due && size > 0 {
                check.round_start = Some(now);
            }
            if check.round_start.is_some() {
                let rate = (size / ticks(LONGEST_ROUND)).clamp(LEAST, MOST);
                let to = size.min(check.checked_size.saturating_add(rate));
                let mut found = compare(&mut tx, check.checked_size, to).await?;
                if found.is_none() && to >= size {
                    found = compare_levels(&mut tx, &tree).await?;
                }
                if let Some(finding) = found {
                    if check.round_bad.is_none() {
                        tracing::error!(
                            log_index = finding.log_index,
                            "the custody log was changed in the database: {}",
                            finding.why
                        );
                    }
                    check.round_bad.get_or_insert(finding);
                }
                check.checked_size = to;
                if to >= size {
                    check = LogCheck {
                        checked_size: 0,
                        round_start: None,
                        bad: check.round_bad.take(),
                        round_bad: None,
                        whole_size: Some(size),
                        whole_time: Some(now),
                    };
                }
                log_check::write(&mut tx, &check).await?;
            }
            commit(tx).await?;
        }
        self.inner.custody.look_at(log_check::read(&mut *store.connection().await?).await?);
        Ok(())
    }
}

/// How often the worker works in a time.
fn ticks(time: Duration) -> i64 {
    (time.whole_seconds() / i64::try_from(CHECK_LOG.as_secs()).unwrap_or(1)).max(1)
}

/// Compares the events from index `from` until before `to`, and the tiles above them. Returns the first that does not match.
async fn compare(conn: &mut Connection, from: i64, to: i64) -> Result<Option<Finding>, Error> {
    let rows = log_check::rows(conn, from, to).await?;
    let mut rows = rows.iter().peekable();
    for log_index in from..to {
        let wrong = match rows.next_if(|row| row.event.log_index <= log_index) {
            None => Some("the event is missing"),
            Some(row) if row.event.log_index < log_index => {
                Some("there is more than one event at the index before this one")
            }
            Some(row) => mismatch(row),
        };
        if let Some(why) = wrong {
            return Ok(Some(Finding { log_index, why: why.to_owned() }));
        }
    }
    if rows.next().is_some() {
        let why = "there is more than one event at this index".to_owned();
        return Ok(Some(Finding { log_index: to - 1, why }));
    }
    above(conn, 0, from / 256, to / 256).await
}

/// Compares the full tiles of the levels above with each other, and what they give with the root of the tree.
async fn compare_levels(conn: &mut Connection, tree: &Frontier) -> Result<Option<Finding>, Error> {
    let size = i64::try_from(tree.size()).unwrap_or(i64::MAX);
    for level in 1..TOP {
        let tiles = size >> (8 * (level + 1));
        for from in (0..tiles).step_by(TILES_AT_A_TIME.into()) {
            let to = tiles.min(from + i64::from(TILES_AT_A_TIME));
            if let Some(finding) = above(conn, level, from, to).await? {
                return Ok(Some(finding));
            }
        }
    }
    let why = "the tiles of the tree do not give its root".to_owned();
    let root = root_at(conn, size).await?;
    Ok((root != Some(tree.root())).then_some(Finding { log_index: 0, why }))
}

/// Compares these full tiles of a level with the hashes above them.
async fn above(conn: &mut Connection, level: i32, from: i64, to: i64) -> Result<Option<Finding>, Error> {
    for tile in log_tree::full_tiles(conn, level, from, to).await? {
        if tile.above != Some(root(&tile.hashes)) {
            let leaves = 1_i64 << (8 * (level + 1));
            let why =
                format!("the tree's hash over the {leaves} events from this one on is not that of the hashes below it");
            return Ok(Some(Finding { log_index: tile.index * leaves, why }));
        }
    }
    Ok(None)
}

/// What does not match between an event and the tree, or between its leaf and the columns and texts beside it.
fn mismatch(row: &StoredRow) -> Option<&'static str> {
    let bytes = &row.event.leaf_bytes;
    // Every event that is compared is below the tree's size, so a tile that has no hash for it was removed.
    if row.tile_hash != Some(leaf_hash(bytes)) {
        return Some("the leaf is not the one that was recorded: its hash is not the one in the tree");
    }
    let Ok(leaf) = Leaf::parse(bytes) else { return Some("the stored bytes are not a leaf") };
    let Ok(event) = custody_leaf::seal(&leaf, row.event.disclosed.clone()) else {
        return Some("the stored bytes are not a leaf");
    };
    let columns = event.event_id == row.event_id
        && event.kind == row.kind
        && event.sponsor_id == row.sponsor_id
        && event.instance_id == row.instance_id
        && event.root_instance_id == row.root_instance_id
        && event.tool_id == row.tool_id
        && event.effect == row.effect.as_deref()
        && event.decision_id.map(|id| id.0) == row.decision_id;
    if !columns {
        return Some("a column beside the leaf is not what the leaf says, so lists and filters are wrong about it");
    }
    let disclosed = &row.event.disclosed;
    let opens = |opening: &Option<Opening>, commitment: Option<Digest>| {
        opening.as_ref().is_none_or(|opening| commitment == Some(Digest(opening.commitment())))
    };
    let texts = opens(&disclosed.purpose, leaf.purpose_commitment)
        && opens(&disclosed.reason, leaf.reason_commitment)
        && opens(&disclosed.identity, leaf.identity_commitment)
        && opens(&disclosed.on_behalf_of, leaf.on_behalf_of_commitment);
    (!texts).then_some("a text beside the leaf is not the one that the leaf commits to")
}
