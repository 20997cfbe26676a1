//! `countersign key rewrap`: encrypts everything in the database again with the new key-encryption key. It works
//! locally: it needs the database and both keys, and no server.

use std::{io, sync::Arc};

use countersign_core::clock::{Entropy, SystemClock, SystemEntropy};
use countersign_postgres::data_dir;
use countersign_store::Store;

use crate::{
    config::Config,
    database::{Database, DatabaseError},
    serve::{self, ServeFailure},
};

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewrapError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Serve(#[from] ServeFailure),
    #[error("nothing was changed: {0}")]
    App(#[from] countersign_app::Error),
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
}

/// Seals again what the configured key did not seal, and prints how much that was.
pub(crate) fn run(config: &Config) -> Result<(), RewrapError> {
    let data_dir = data_dir::ensure(&config.data_dir)
        .map_err(|source| ServeFailure::DataDir { path: config.data_dir.display().to_string(), source })?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let keys = serve::key_encryption_keys(config, &data_dir, &*entropy)?;
    let mut database = Database::open(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RewrapError::Runtime)?;
    let done = runtime.block_on(async {
        database.reach().await?;
        let store = Store::new(database.administering());
        let done = countersign_app::rewrap(&store, &SystemClock, &entropy, &keys).await;
        store.close().await;
        Ok::<_, RewrapError>(done?)
    });
    database.close()?;
    let done = done?;
    println!("{} secrets were encrypted with the new key; {} already were.", done.resealed, done.current);
    Ok(())
}
