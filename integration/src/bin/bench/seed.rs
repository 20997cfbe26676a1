//! A log that has already grown: events and their tree are written directly into the database while the server is stopped.

use countersign_ledger::merkle::{Frontier, GrowingTiles, Hash, TilePlace};
use countersign_store::{Options, Store, commit, log_tree};
use sqlx::{Connection as _, Executor as _, types::Uuid};

use crate::{
    Result,
    sample::{COLUMNS, Sample},
};

/// Events per statement.
const CHUNK: i64 = 100_000;

/// Appends `count` events like `row`, spread over the day so far, to `runs` in turn, or ten each to runs that do not
/// exist, and takes them into the tree and the head.
pub(crate) async fn grow(url: &str, row: &Sample, count: u32, runs: &[Uuid]) -> Result<()> {
    let mut conn = countersign_integration::connect(url).await?;
    let size: i64 = sqlx::query_scalar("SELECT size FROM log_head WHERE log_id = 0").fetch_one(&mut conn).await?;
    let end = size + i64::from(count);
    let statement = format!(
        "INSERT INTO custody_event {COLUMNS}
         SELECT log_id, log_index, event_id, kind, sponsor_id, run, run, tool_id, effect, decision_id, leaf_bytes,
                purpose, purpose_salt, reason, reason_salt, identity, identity_salt
         FROM (
             SELECT 0, n, (lpad(to_hex(day.start + (n - $3) * day.length / $4), 12, '0') || '7'
                          || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid,
                    coalesce(($5::uuid[])[1 + n % greatest(cardinality($5), 1)], md5((n / 10)::text)::uuid), {}
             FROM generate_series($1::bigint, $2::bigint - 1) AS n,
                  LATERAL (SELECT (extract(epoch FROM date_trunc('day', now(), 'UTC')) * 1000)::bigint AS start,
                                  (extract(epoch FROM now() - date_trunc('day', now(), 'UTC')) * 1000)::bigint AS length
                  ) AS day
         ) AS event (log_id, log_index, event_id, run, kind, sponsor_id, instance_id, root_instance_id, tool_id, effect,
                     decision_id, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt)",
        row.literals()
    );
    let mut from = size;
    while from < end {
        let to = end.min(from + CHUNK);
        let query = sqlx::query(sqlx::AssertSqlSafe(statement.as_str()));
        query.bind(from).bind(to).bind(size).bind(i64::from(count)).bind(runs).execute(&mut conn).await?;
        from = to;
    }
    let frontier = grow_tree_over_events(url, end).await?;
    sqlx::query("UPDATE log_head SET size = $1, frontier = $2 WHERE log_id = 0")
        .bind(end)
        .bind(frontier.to_bytes())
        .execute(&mut conn)
        .await?;
    conn.execute("ANALYZE custody_event").await?;
    Ok(conn.close().await?)
}

/// Takes the stored events before index `end` into the tree. Returns its frontier.
async fn grow_tree_over_events(url: &str, end: i64) -> Result<Frontier> {
    let store = Store::new(&Options::new(url.parse()?));
    let mut reading = store.begin().await?;
    let mut frontier = log_tree::read(&mut reading).await?.frontier;
    while i64::try_from(frontier.size())? < end {
        let from = i64::try_from(frontier.size())?;
        let leaves = log_tree::leaf_hashes(&mut reading, from, end.min(from + CHUNK)).await?;
        frontier = grow_tree(&store, &leaves.iter().map(|leaf| leaf.leaf_hash).collect::<Vec<_>>()).await?;
    }
    commit(reading).await?;
    store.close().await;
    Ok(frontier)
}

/// Appends leaves to the tree, as the server does. Returns its frontier.
pub(crate) async fn grow_tree(store: &Store, leaves: &[Hash]) -> Result<Frontier> {
    let mut tx = store.begin().await?;
    let mut frontier = log_tree::try_lock(&mut tx).await?.ok_or("a server is at the tree")?.frontier;
    let places: Vec<_> = TilePlace::edge(frontier.size()).map(|(place, _)| place).collect();
    let edge = log_tree::tiles(&mut tx, &places).await?;
    let mut tiles = GrowingTiles::of(frontier.size(), edge).ok_or("the newest tiles are missing or cut")?;
    for leaf in leaves {
        tiles.append(*leaf);
        frontier.append(*leaf);
    }
    log_tree::grow(&mut tx, tiles.grown(), &frontier).await?;
    commit(tx).await?;
    Ok(frontier)
}
