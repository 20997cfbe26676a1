//! `countersign log recover`: gives up published checkpoints that a restored backup is behind of, so that servers start
//! again. It works locally: it needs the database and the key-encryption key, and no server.

use std::{io, sync::Arc};

use clap::Args;
use countersign_core::clock::{Entropy, SystemClock, SystemEntropy};
use countersign_postgres::data_dir;
use countersign_store::Store;

use crate::{
    arguments::reason,
    config::Config,
    database::{Database, DatabaseError},
    serve::{self, ServeFailure},
};

/// The reason.
#[derive(Debug, Args)]
pub(crate) struct RecoverLogArgs {
    /// The reason, for the custody log: what was lost, and who decided to go on without it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// Why nothing was given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverLogError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Serve(#[from] ServeFailure),
    #[error("nothing was given up: {0}")]
    App(#[from] countersign_app::Error),
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
}

/// Gives up the published checkpoint, and prints what is lost.
pub(crate) fn run(config: &Config, args: &RecoverLogArgs) -> Result<(), RecoverLogError> {
    let data_dir = data_dir::ensure(&config.data_dir)
        .map_err(|source| ServeFailure::DataDir { path: config.data_dir.display().to_string(), source })?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let keys = serve::key_encryption_keys(config, &data_dir, &*entropy)?;
    let place = serve::checkpoint_file(config, &data_dir)?;
    let mut database = Database::open(config)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RecoverLogError::Runtime)?;
    let done = runtime.block_on(async {
        database.reach().await?;
        let store = Store::new(database.administering());
        let done = countersign_app::recover_log(&store, &SystemClock, &entropy, keys, &place, &args.reason).await;
        store.close().await;
        Ok::<_, RecoverLogError>(done?)
    });
    database.close()?;
    let (lost, log_index) = done?;
    println!(
        "{lost} published events are given up; the custody log says so at index {log_index}. Servers start again."
    );
    Ok(())
}
