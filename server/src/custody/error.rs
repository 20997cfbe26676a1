//! Why a command about the custody log ends without success, and its exit code: 3 if what was checked does not hold.

use std::{io, path::PathBuf};

use countersign_ledger::{checkpoint::CheckpointError, evidence::EvidenceError, merkle::TileError, note::KeyError};

use crate::remote::RemoteError;

/// Why a command about the custody log ends without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CustodyError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("the database cannot be read: {0}")]
    Store(#[from] countersign_store::StoreError),
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{} already exists, and is not overwritten: give another file, or move it away", path.display())]
    Taken { path: PathBuf },
    #[error("{} is longer than {most} bytes, which is the most", path.display())]
    TooLong { path: PathBuf, most: usize },
    #[error("the log's key {given:?} cannot be used: {source}")]
    Key { given: String, source: KeyError },
    #[error("{place} is not a checkpoint of this log: {source}")]
    Checkpoint { place: String, source: CheckpointError },
    #[error("{} does not hold: {source}", path.display())]
    Evidence { path: PathBuf, source: EvidenceError },
    #[error("the log cannot be checked: {0}")]
    Tile(#[from] TileError),
    /// The log is not the one that was signed.
    #[error("the log does not hold: {0}")]
    Altered(String),
    #[error("{0}")]
    Arguments(String),
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
}

impl CustodyError {
    /// The exit code: 2 if the command line is wrong, 3 if what was checked does not hold, otherwise 1.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Remote(error) => error.code(),
            Self::Arguments(_) | Self::Key { .. } => 2,
            Self::Altered(_) | Self::Evidence { .. } | Self::Checkpoint { .. } => 3,
            _ => 1,
        }
    }
}
