//! Where a log that is checked comes from: a server, its database, or a folder in the layout of C2SP tlog-tiles.

use std::{fs, path::PathBuf};

use countersign_client::{Connection, v1};
use countersign_ledger::{
    leaf::Leaf,
    merkle::{EntryBundle, Tile, TilePlace},
};
use countersign_store::{Store, checkpoint, event, log_tree};
use tonic::Code;

use super::{error::CustodyError, files};
use crate::remote::RemoteArgs;

/// Largest checkpoint, in bytes.
pub(super) const MAX_CHECKPOINT: usize = 64 * 1024;
/// Largest entry bundle: 256 leaves of 16 KiB with their lengths, in bytes.
const MAX_ENTRIES: usize = 256 * (16 * 1024 + 2);

/// A log.
pub(super) enum LogSource<'a> {
    /// Over gRPC.
    Server { remote: &'a RemoteArgs, connection: Box<Connection> },
    /// By reading its tables.
    Database(Store),
    /// A folder with `checkpoint` and `tile/...`.
    Folder(PathBuf),
}

impl LogSource<'_> {
    /// The newest checkpoint, a signed note.
    pub(super) async fn checkpoint(&self) -> Result<Vec<u8>, CustodyError> {
        match self {
            Self::Server { remote, connection } => Ok(newest(remote, connection).await?.checkpoint.into_bytes()),
            Self::Database(store) => {
                let stored = checkpoint::newest(&mut *store.connection().await?).await?;
                let none =
                    || CustodyError::Arguments("the database has no checkpoint yet: start a server on it".to_owned());
                Ok(stored.ok_or_else(none)?.note.into_bytes())
            }
            Self::Folder(folder) => files::read(&folder.join("checkpoint"), MAX_CHECKPOINT),
        }
    }

    /// The public key that the source itself states. `None` if it states none.
    pub(super) async fn stated_key(&self) -> Result<Option<String>, CustodyError> {
        match self {
            Self::Server { remote, connection } => Ok(Some(newest(remote, connection).await?.verifier_key)),
            Self::Database(store) => {
                let leaves = event::leaves(&mut *store.connection().await?, 0, 1_000).await?;
                let key = |leaf: &Leaf<'static>| {
                    let states = leaf.subject.as_ref().is_some_and(|subject| subject.kind == "log_key");
                    states.then(|| leaf.changes.first().and_then(|change| change.after.clone())).flatten()
                };
                let read = leaves.iter().filter_map(|stored| Leaf::parse(&stored.leaf_bytes).ok());
                Ok(read.filter_map(|leaf| key(&leaf)).map(String::from).next())
            }
            Self::Folder(_) => Ok(None),
        }
    }

    /// The hashes of a tile, one after the other.
    pub(super) async fn tile(&self, tile: Tile) -> Result<Vec<u8>, CustodyError> {
        match self {
            Self::Server { remote, connection } => {
                let request = v1::GetTileRequest {
                    level: tile.level().into(),
                    tile_index: tile.index().cast_signed(),
                    width: if tile.is_full() { 0 } else { tile.width().into() },
                };
                let answer = connection.custody().get_tile(request).await;
                Ok(answer.map_err(|status| remote.call_failed(&status))?.into_inner().hashes)
            }
            Self::Database(store) => {
                let place = TilePlace { level: tile.level(), index: tile.index() };
                let mut tiles = log_tree::tiles(&mut *store.connection().await?, &[place]).await?;
                let hashes = tiles.remove(&place).filter(|hashes| hashes.len() >= usize::from(tile.width()));
                let cut = || CustodyError::Altered(format!("{tile} of the tree is missing or cut in the database"));
                Ok(hashes.ok_or_else(cut)?[..usize::from(tile.width())].concat())
            }
            Self::Folder(folder) => files::read(&folder.join(tile.to_string()), usize::from(tile.width()) * 32),
        }
    }

    /// The leaves of a bundle. An error names the first that is missing.
    pub(super) async fn entries(&self, bundle: EntryBundle) -> Result<Vec<Vec<u8>>, CustodyError> {
        let from = (bundle.index() * 256).cast_signed();
        match self {
            Self::Server { remote, connection } => {
                let width = if bundle.width() == 256 { 0 } else { bundle.width().into() };
                let request = v1::GetEntriesRequest { tile_index: bundle.index().cast_signed(), width };
                match connection.custody().get_entries(request).await {
                    Ok(answer) => Ok(answer.into_inner().entries),
                    Err(status) if status.code() == Code::NotFound => {
                        Err(CustodyError::Altered(status.message().to_owned()))
                    }
                    Err(status) => Err(remote.call_failed(&status).into()),
                }
            }
            Self::Database(store) => {
                let to = from + i64::from(bundle.width());
                let stored = event::leaves(&mut *store.connection().await?, from, to).await?;
                let mut leaves = Vec::new();
                for index in from..to {
                    match stored.get(leaves.len()) {
                        Some(leaf) if leaf.log_index == index => leaves.push(leaf.leaf_bytes.clone()),
                        _ => {
                            return Err(CustodyError::Altered(format!(
                                "log index {index}: the event is missing, or there twice"
                            )));
                        }
                    }
                }
                Ok(leaves)
            }
            Self::Folder(folder) => {
                let bytes = files::read(&folder.join(bundle.to_string()), MAX_ENTRIES)?;
                Ok(bundle.entries(&bytes)?.into_iter().map(<[u8]>::to_vec).collect())
            }
        }
    }

    /// Ends the use of the source.
    pub(super) async fn close(self) {
        if let Self::Database(store) = self {
            store.close().await;
        }
    }
}

pub(super) async fn newest(
    remote: &RemoteArgs,
    connection: &Connection,
) -> Result<v1::GetCheckpointResponse, CustodyError> {
    let answer = connection.custody().get_checkpoint(v1::GetCheckpointRequest {}).await;
    Ok(answer.map_err(|status| remote.call_failed(&status))?.into_inner())
}

/// Whether a folder has the layout of a log.
pub(super) fn is_log_folder(folder: &std::path::Path) -> bool {
    fs::metadata(folder.join("checkpoint")).is_ok_and(|found| found.is_file())
}
