//! `countersign log checkpoint`: the newest checkpoint, to be kept and to be checked against later.

use std::path::PathBuf;

use clap::Args;
use countersign_ledger::checkpoint::SignedCheckpoint;

use super::{block_on, error::CustodyError, files, log_source::newest, verify_log::read_key};
use crate::remote::{
    RemoteArgs,
    output::{note, print},
};

/// Where to keep it, and the server.
#[derive(Debug, Args)]
pub(crate) struct SaveCheckpointArgs {
    /// The new file for the checkpoint [default: standard output].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The log's public key, kept from before [default: the one that the server states].
    #[arg(long, value_name = "KEY", env = "COUNTERSIGN_LOG_KEY")]
    log_key: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Gets the checkpoint, checks its signature, and writes it.
pub(crate) fn run(args: &SaveCheckpointArgs) -> Result<(), CustodyError> {
    let newest = block_on(async { newest(&args.remote, &args.remote.connect().await?).await })?;
    let key = read_key(args.log_key.as_deref().unwrap_or(&newest.verifier_key))?;
    let opened = SignedCheckpoint::open(newest.checkpoint.as_bytes(), &key, key.name());
    let place = "what the server gave".to_owned();
    opened.map_err(|source| CustodyError::Checkpoint { place, source })?;
    match &args.file {
        Some(path) => files::write(path, newest.checkpoint.as_bytes())?,
        None => print(&newest.checkpoint)?,
    }
    note(&format!("{} events are under this checkpoint. The log's key, which checks it: {key}", newest.size));
    Ok(())
}
