//! `countersign log verify`: recomputes the tree from the leaves and holds it to a signed checkpoint, all of it, a range, or
//! what came since an older checkpoint.

use std::{collections::HashMap, env, path::PathBuf};

use clap::Args;
use countersign_ledger::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    leaf::Leaf,
    merkle::{EntryBundle, Hash, ProofRequest, TILE_WIDTH, Tile, Tiles, leaf_hash, root},
    note::VerifierKey,
};
use countersign_store::{Options, Store};
use serde_json::json;

use super::{
    block_on,
    error::CustodyError,
    files,
    log_source::{LogSource, MAX_CHECKPOINT, is_log_folder},
};
use crate::remote::{
    RemoteArgs,
    output::{note, print},
};

/// What to check, and against which key.
#[derive(Debug, Args)]
pub(crate) struct VerifyLogArgs {
    /// The log's public key, kept from before: origin, key id and base64 with plus signs between [default: the one that the source
    /// states, which only shows that it agrees with itself].
    #[arg(long, value_name = "KEY", env = "COUNTERSIGN_LOG_KEY")]
    log_key: Option<String>,
    /// Check from this index on [default: 0].
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// Check until before this index [default: the checkpoint's size].
    #[arg(long, value_name = "INDEX")]
    to: Option<u64>,
    /// An older checkpoint of the log, as `log checkpoint` writes it: check that the log continues it, and what came since.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to"])]
    since: Option<PathBuf>,
    /// Read the tables of a database instead of asking a server: the one at URL, or without a value the one in DATABASE_URL. Other
    /// users of this machine can see flags, so a URL with a password belongs there.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "", conflicts_with = "folder")]
    database: Option<String>,
    /// Read a folder in the layout of C2SP tlog-tiles instead (checkpoint, tile/...).
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// How many tiles are remembered before those of leaf hashes are forgotten again.
const MOST_TILES: usize = 4_096;

/// Checks, and prints what was checked.
pub(crate) fn run(args: &VerifyLogArgs) -> Result<(), CustodyError> {
    let key = args.log_key.as_deref().map(read_key).transpose()?;
    let since = args.since.as_deref().map(|path| files::read(path, MAX_CHECKPOINT)).transpose()?;
    let text = block_on(async {
        let source = source(args).await?;
        let checked = check(args, &source, key, since.as_deref()).await;
        source.close().await;
        checked
    })?;
    Ok(print(&text)?)
}

pub(super) fn read_key(given: &str) -> Result<VerifierKey, CustodyError> {
    VerifierKey::parse(given.trim()).map_err(|source| CustodyError::Key { given: given.to_owned(), source })
}

async fn source(args: &VerifyLogArgs) -> Result<LogSource<'_>, CustodyError> {
    match (&args.database, &args.folder) {
        (Some(url), _) => Ok(LogSource::Database(database(url)?)),
        (None, Some(folder)) if is_log_folder(folder) => Ok(LogSource::Folder(folder.clone())),
        (None, Some(folder)) => Err(CustodyError::Arguments(format!(
            "{} has no file checkpoint: it is not the folder of a log",
            folder.display()
        ))),
        (None, None) => {
            let connection = Box::new(args.remote.connect().await?);
            Ok(LogSource::Server { remote: &args.remote, connection })
        }
    }
}

/// The database to read from.
fn database(url: &str) -> Result<Store, CustodyError> {
    let named = if url.is_empty() { env::var("DATABASE_URL").ok() } else { Some(url.to_owned()) };
    let named = named.ok_or_else(|| {
        CustodyError::Arguments(
            "--database has no value, and DATABASE_URL is not set: name the database in one of them".to_owned(),
        )
    })?;
    let wrong =
        |_| CustodyError::Arguments("the URL of the database cannot be read: postgres://user@host/name".to_owned());
    Ok(Store::new(&Options { max_connections: 2, ..Options::new(named.parse().map_err(wrong)?) }))
}

async fn check(
    args: &VerifyLogArgs,
    source: &LogSource<'_>,
    expected: Option<VerifierKey>,
    since: Option<&[u8]>,
) -> Result<String, CustodyError> {
    let key_is_expected = expected.is_some();
    let key = if let Some(key) = expected {
        key
    } else {
        let none = || CustodyError::Arguments("the source states no key of the log: give it with --log-key".to_owned());
        read_key(&source.stated_key().await?.ok_or_else(none)?)?
    };
    let open = |bytes: &[u8], place: &str| {
        let opened = SignedCheckpoint::open(bytes, &key, key.name());
        opened.map_err(|source| CustodyError::Checkpoint { place: place.to_owned(), source })
    };
    let newest = open(&source.checkpoint().await?, "the newest checkpoint")?.checkpoint;
    let mut reader = TreeReader { source, newest: &newest, tiles: HashMap::new() };
    reader.check_root().await?;
    let (mut from, to) = (args.from.unwrap_or(0), args.to.unwrap_or(newest.size));
    if let Some(since) = since {
        let place = args.since.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
        let old = open(since, &place)?.checkpoint;
        reader.check_continues(&old).await?;
        from = old.size;
    }
    if from > to || to > newest.size {
        let why = format!(
            "--from {from} and --to {to} must be in this order, and not above {}, the checkpoint's size",
            newest.size
        );
        return Err(CustodyError::Arguments(why));
    }
    reader.check_leaves(from, to).await?;
    if !key_is_expected {
        note(&format!(
            "The key {key} was taken from the source itself, so this shows only that the log agrees with itself. Compare the key \
             with one that you know from elsewhere, and give it with --log-key."
        ));
    }
    let answer = json!({
        "origin": newest.origin, "key": key.to_string(), "key_is_expected": key_is_expected, "size": newest.size.to_string(),
        "root": hex::encode(newest.root), "from": from.to_string(), "to": to.to_string(), "events": (to - from).to_string(),
    });
    if args.remote.json() {
        return Ok(format!("{answer:#}\n"));
    }
    let since = if since.is_some() { "; the log continues the older checkpoint" } else { "" };
    let what = if from == to { "no event".to_owned() } else { format!("{} events, {from} to {}", to - from, to - 1) };
    Ok(format!(
        "The log {} holds: {what}, each is the one under the signed checkpoint over {} events{since}.\nkey   {key}\nroot  {}\n",
        newest.origin,
        newest.size,
        hex::encode(newest.root)
    ))
}

/// Reads a tree whose tiles are believed only if the signed root holds them.
struct TreeReader<'a> {
    source: &'a LogSource<'a>,
    newest: &'a Checkpoint,
    /// Tiles that lead to the signed root.
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl TreeReader<'_> {
    /// Checks that the tiles at the right edge give the signed root.
    async fn check_root(&mut self) -> Result<(), CustodyError> {
        let plan = ProofRequest::Root { size: self.newest.size }.plan(self.newest.size)?;
        let mut tiles = Tiles::default();
        for tile in plan.tiles() {
            let bytes = self.source.tile(tile).await?;
            tiles.insert(tile, &bytes)?;
            // The root is over every hash of these.
            self.tiles.insert((tile.level(), tile.index()), tile.hashes(&bytes)?.to_vec());
        }
        if plan.compute(&tiles)?.first() == Some(&self.newest.root) {
            return Ok(());
        }
        Err(CustodyError::Altered("the tiles of the tree do not give the root of the signed checkpoint".to_owned()))
    }

    /// Checks that the first events are those that an older checkpoint is over.
    async fn check_continues(&mut self, old: &Checkpoint) -> Result<(), CustodyError> {
        if old.size > self.newest.size {
            let why = format!(
                "an older checkpoint is over {} events, and the newest one over {}",
                old.size, self.newest.size
            );
            return Err(CustodyError::Altered(format!("{why}: events were removed, or a backup was restored")));
        }
        let given = self.compute(ProofRequest::Root { size: old.size }).await?;
        if given.first() == Some(&old.root) {
            return Ok(());
        }
        let why = format!("the first {} events are not those that the older checkpoint is over", old.size);
        Err(CustodyError::Altered(format!("{why}: the history was rewritten")))
    }

    async fn compute(&mut self, request: ProofRequest) -> Result<Vec<Hash>, CustodyError> {
        let plan = request.plan(self.newest.size)?;
        let mut tiles = Tiles::default();
        for tile in plan.tiles() {
            tiles.insert(tile, &self.tile(tile.level(), tile.index()).await?.concat())?;
        }
        Ok(plan.compute(&tiles)?)
    }

    /// Checks the leaves from index `from` until before `to`: the first that is not the one under the root is named.
    async fn check_leaves(&mut self, from: u64, to: u64) -> Result<(), CustodyError> {
        if from == to {
            return Ok(());
        }
        for index in from / TILE_WIDTH..=(to - 1) / TILE_WIDTH {
            let missing =
                || CustodyError::Altered(format!("log index {}: the tree has no such event", index * TILE_WIDTH));
            let bundle = EntryBundle::in_log(self.newest.size, index).ok_or_else(missing)?;
            let recorded = self.tile(0, index).await?;
            let entries = self.source.entries(bundle).await?;
            for (leaf, number) in entries.iter().zip(index * TILE_WIDTH..) {
                let Some(recorded) = usize::try_from(number % TILE_WIDTH).ok().and_then(|at| recorded.get(at)) else {
                    return Err(missing());
                };
                if *recorded != leaf_hash(leaf) {
                    let said = shown(leaf);
                    return Err(CustodyError::Altered(format!(
                        "log index {number}: the event is not the one that was recorded{said}"
                    )));
                }
            }
            if entries.len() != usize::from(bundle.width()) {
                let first = index * TILE_WIDTH + entries.len() as u64;
                return Err(CustodyError::Altered(format!("log index {first}: the event is missing")));
            }
        }
        Ok(())
    }

    /// The hashes of a tile of this tree, which lead to the signed root.
    async fn tile(&mut self, level: u8, index: u64) -> Result<Vec<Hash>, CustodyError> {
        // From the tile upwards until one that is known to lead there; then down again, each held to the one above.
        let mut next = (level, index);
        let mut below = Vec::new();
        while !self.tiles.contains_key(&next) {
            let none = || CustodyError::Altered(format!("the tree has no tile {} of level {}", next.1, next.0));
            let tile = Tile::in_log(self.newest.size, next.0, next.1).ok_or_else(none)?;
            let hashes = tile.hashes(&self.source.tile(tile).await?)?.to_vec();
            below.push((next.0, next.1, hashes));
            next = (next.0 + 1, next.1 / TILE_WIDTH);
        }
        while let Some((level, index, hashes)) = below.pop() {
            let above = self.tiles.get(&(level + 1, index / TILE_WIDTH));
            let at = usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX);
            if above.and_then(|above| above.get(at)) != Some(&root(&hashes)) {
                let first = index << (8 * (u32::from(level) + 1));
                return Err(CustodyError::Altered(format!(
                    "log index {first}: the tree's hashes of the events from here on are not those under the signed root"
                )));
            }
            self.tiles.insert((level, index), hashes);
        }
        let found = self.tiles.get(&(level, index)).cloned().unwrap_or_default();
        if self.tiles.len() > MOST_TILES && level == 0 {
            self.tiles.remove(&(level, index));
        }
        Ok(found)
    }
}

/// What an altered leaf says of itself, in short.
fn shown(leaf: &[u8]) -> String {
    let Ok(leaf) = Leaf::parse(leaf) else { return ": what is stored is not an event at all".to_owned() };
    let parts = [("tool", &leaf.tool_id), ("action", &leaf.action), ("sponsor", &leaf.sponsor_id)];
    let parts = parts.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!(", {name} {value}")));
    format!(": it now says {}{}", leaf.kind, parts.collect::<String>())
}
