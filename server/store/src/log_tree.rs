//! The tree over the log, as tiles of hashes: it is continued from the events, and proofs are made from it. Also the
//! name of the log (origin), which is set once.

use std::collections::BTreeMap;

use countersign_ledger::merkle::{Frontier, Hash, Tile, TilePlace, Tiles};

use crate::{Connection, StoreError, convert, head::LOG_ID};

/// How far the tiles reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTree {
    /// The tree over all leaves that are in tiles.
    pub frontier: Frontier,
    /// The name of the log in its checkpoints. `None` until the first one is signed.
    pub origin: Option<String>,
}

struct Row {
    size: i64,
    frontier: Vec<u8>,
    origin: Option<String>,
}

impl Row {
    fn read(self) -> Result<LogTree, StoreError> {
        let size = convert::number("log_tree", "size", self.size)?;
        let frontier =
            Frontier::from_bytes(size, &self.frontier).map_err(|error| StoreError::corrupt("log_tree", error))?;
        Ok(LogTree { frontier, origin: self.origin })
    }
}

/// Locks the tree until the transaction ends. `None` if another server is at it.
#[tracing::instrument(name = "store.log_tree.try_lock", target = "countersign_trace", level = "debug", skip_all)]
pub async fn try_lock(conn: &mut Connection) -> Result<Option<LogTree>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT size, frontier, origin FROM log_tree WHERE log_id = $1 FOR UPDATE SKIP LOCKED",
        LOG_ID
    );
    row.fetch_optional(conn).await?.map(Row::read).transpose()
}

/// Reads the tree without locking it.
#[tracing::instrument(name = "store.log_tree.read", target = "countersign_trace", level = "debug", skip_all)]
pub async fn read(conn: &mut Connection) -> Result<LogTree, StoreError> {
    let row = sqlx::query_as!(Row, "SELECT size, frontier, origin FROM log_tree WHERE log_id = $1", LOG_ID);
    row.fetch_one(conn).await?.read()
}

/// Names the log, once.
#[tracing::instrument(name = "store.log_tree.name", target = "countersign_trace", level = "debug", skip_all)]
pub async fn name(conn: &mut Connection, origin: &str) -> Result<(), StoreError> {
    sqlx::query!("UPDATE log_tree SET origin = $2 WHERE log_id = $1 AND origin IS NULL", LOG_ID, origin)
        .execute(conn)
        .await?;
    Ok(())
}

/// An event's index and the hash of its stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredHash {
    /// Its place in the log.
    pub log_index: i64,
    /// The leaf hash of the bytes that are stored now.
    pub leaf_hash: Hash,
}

/// The hashes of the events from index `from` until before `to`, in the order of their indices.
#[tracing::instrument(name = "store.log_tree.leaf_hashes", target = "countersign_trace", level = "debug", skip_all)]
pub async fn leaf_hashes(conn: &mut Connection, from: i64, to: i64) -> Result<Vec<StoredHash>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT log_index, sha256('\x00'::bytea || leaf_bytes) AS "leaf_hash!" FROM custody_event
           WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index"#,
        from,
        to
    );
    let read = |row: (i64, Vec<u8>)| {
        Ok(StoredHash { log_index: row.0, leaf_hash: convert::bytes("custody_event", "leaf_hash", &row.1)? })
    };
    rows.fetch_all(conn).await?.into_iter().map(|row| read((row.log_index, row.leaf_hash))).collect()
}

/// These tiles, with all hashes that they have. Those that are not stored are left out.
#[tracing::instrument(name = "store.log_tree.tiles", target = "countersign_trace", level = "debug", skip_all)]
pub async fn tiles(conn: &mut Connection, places: &[TilePlace]) -> Result<BTreeMap<TilePlace, Vec<Hash>>, StoreError> {
    let levels: Vec<i16> = places.iter().map(|place| i16::from(place.level)).collect();
    let indices = convert::all_stored("log_tile", places.iter().map(|place| place.index))?;
    let rows = sqlx::query!(
        r#"SELECT tile.level, tile.tile_index, tile.hashes
           FROM UNNEST($2::smallint[], $3::bigint[]) AS wanted (level, tile_index)
           JOIN log_tile tile ON tile.log_id = $1 AND tile.level = wanted.level AND tile.tile_index = wanted.tile_index"#,
        LOG_ID,
        &levels,
        &indices as &[i64]
    );
    let mut tiles = BTreeMap::new();
    for row in rows.fetch_all(conn).await? {
        let place = TilePlace {
            level: convert::number("log_tile", "level", row.level)?,
            index: convert::number("log_tile", "tile_index", row.tile_index)?,
        };
        tiles.insert(place, hashes(&row.hashes)?);
    }
    Ok(tiles)
}

fn hashes(bytes: &[u8]) -> Result<Vec<Hash>, StoreError> {
    match bytes.as_chunks::<32>() {
        (hashes, []) => Ok(hashes.to_vec()),
        _ => Err(StoreError::corrupt("log_tile", format!("hashes of {} bytes", bytes.len()))),
    }
}

/// These tiles, each as wide as it is named, for a proof. Those that are not stored, or are narrower, are left out.
#[tracing::instrument(name = "store.log_tree.proof_tiles", target = "countersign_trace", level = "debug", skip_all)]
pub async fn proof_tiles(conn: &mut Connection, wanted: &[Tile]) -> Result<Tiles, StoreError> {
    let places: Vec<_> = wanted.iter().map(|tile| TilePlace { level: tile.level(), index: tile.index() }).collect();
    let stored = tiles(conn, &places).await?;
    let mut tiles = Tiles::default();
    for (tile, place) in wanted.iter().zip(places) {
        if let Some(hashes) = stored.get(&place).and_then(|hashes| hashes.get(..usize::from(tile.width()))) {
            tiles.insert(*tile, &hashes.concat()).map_err(|error| StoreError::corrupt("log_tile", error))?;
        }
    }
    Ok(tiles)
}

/// The hashes that the tree holds for the events at these indices, in the same order. `None` where no tile has one yet.
#[tracing::instrument(name = "store.log_tree.recorded_hashes", target = "countersign_trace", level = "debug", skip_all)]
pub async fn recorded_hashes(conn: &mut Connection, indices: &[i64]) -> Result<Vec<Option<Hash>>, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT (
               SELECT nullif(substring(hashes FROM (wanted.log_index % 256 * 32 + 1)::integer FOR 32), '') FROM log_tile
               WHERE log_id = $1 AND level = 0 AND tile_index = wanted.log_index / 256
           ) FROM UNNEST($2::bigint[]) WITH ORDINALITY AS wanted (log_index, place) ORDER BY wanted.place"#,
        LOG_ID,
        indices
    );
    let read = |hash: Option<Vec<u8>>| hash.map(|hash| convert::bytes("log_tile", "hashes", &hash)).transpose();
    rows.fetch_all(conn).await?.into_iter().map(read).collect()
}

/// A full tile, and the hash that the level above has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// Its index in its level.
    pub index: i64,
    /// Its hashes.
    pub hashes: Vec<Hash>,
    /// The hash above. `None` if it is missing.
    pub above: Option<Hash>,
}

/// The full tiles of a level from index `from` until before `to`.
#[tracing::instrument(name = "store.log_tree.full_tiles", target = "countersign_trace", level = "debug", skip_all)]
pub async fn full_tiles(conn: &mut Connection, level: i32, from: i64, to: i64) -> Result<Vec<FullTile>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT tile.tile_index, tile.hashes, (
               SELECT nullif(substring(parent.hashes FROM (tile.tile_index % 256 * 32 + 1)::integer FOR 32), '')
               FROM log_tile parent
               WHERE parent.log_id = $1 AND parent.level = $2 + 1 AND parent.tile_index = tile.tile_index / 256
           ) AS above
           FROM log_tile tile
           WHERE tile.log_id = $1 AND tile.level = $2 AND octet_length(tile.hashes) = 8192
             AND tile.tile_index >= $3 AND tile.tile_index < $4
           ORDER BY tile.tile_index"#,
        LOG_ID,
        level,
        from,
        to
    );
    let mut full = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let above = row.above.map(|hash| convert::bytes("log_tile", "hashes", &hash)).transpose()?;
        full.push(FullTile { index: row.tile_index, hashes: hashes(&row.hashes)?, above });
    }
    Ok(full)
}

/// Writes tiles that grew, and how far they reach now. The caller has locked the tree.
#[tracing::instrument(name = "store.log_tree.grow", target = "countersign_trace", level = "debug", skip_all)]
pub async fn grow(
    conn: &mut Connection,
    grown: impl IntoIterator<Item = (TilePlace, &[Hash])>,
    frontier: &Frontier,
) -> Result<(), StoreError> {
    let (mut levels, mut indices, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (place, tile) in grown {
        levels.push(i16::from(place.level));
        indices.push(convert::stored::<_, i64>("log_tile", place.index)?);
        hashes.push(tile.concat());
    }
    sqlx::query!(
        "WITH grown AS (
             INSERT INTO log_tile (log_id, level, tile_index, hashes)
             SELECT $1, tile.level, tile.tile_index, tile.hashes
             FROM UNNEST($2::smallint[], $3::bigint[], $4::bytea[]) AS tile (level, tile_index, hashes)
             ON CONFLICT (log_id, level, tile_index) DO UPDATE SET hashes = excluded.hashes
         )
         UPDATE log_tree SET size = $5, frontier = $6 WHERE log_id = $1",
        LOG_ID,
        &levels,
        &indices,
        &hashes,
        convert::stored::<_, i64>("log_tree", frontier.size())?,
        frontier.to_bytes()
    )
    .execute(conn)
    .await?;
    Ok(())
}
