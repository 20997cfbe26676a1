//! `countersign operator recover`: creates an administrator key if all others are lost, expired or revoked. It works
//! locally: it needs the database and the key-encryption key, and no server.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use countersign_app::RecoverAdmin;
use countersign_core::{
    clock::{Entropy, SystemClock, SystemEntropy},
    names::OperatorId,
};
use countersign_postgres::data_dir;
use countersign_store::Store;
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use crate::{
    arguments::reason,
    config::Config,
    database::{Database, DatabaseError},
    secret_file,
    serve::{self, ServeFailure},
};

/// The operator, the key file, and the reason.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Whose key: an admin, or a new id, which gets every role.
    #[arg(long, value_name = "ID", default_value = "admin")]
    operator: OperatorId,
    /// The reason, for the custody log.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// The file to write the key into; it must not exist yet [default: recovered-admin.key in the data folder].
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Serve(#[from] ServeFailure),
    #[error("cannot make a key: {0}")]
    App(#[from] countersign_app::Error),
    #[error("cannot write the key to {path}")]
    KeyFile { path: String, source: io::Error },
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
}

/// Creates the key, and prints only the name of the file that contains it.
pub(crate) fn run(config: &Config, args: RecoverArgs) -> Result<(), RecoverError> {
    let data_dir = data_dir::ensure(&config.data_dir)
        .map_err(|source| ServeFailure::DataDir { path: config.data_dir.display().to_string(), source })?;
    let path = args.key_file.unwrap_or_else(|| data_dir.join("recovered-admin.key"));
    let command = RecoverAdmin { operator_id: args.operator, reason: args.reason };
    let mut database = Database::open(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RecoverError::Runtime)?;
    let made = runtime.block_on(recover(config, &data_dir, &mut database, &command, &path));
    database.close()?;
    made?;
    println!("{}", path.display());
    Ok(())
}

async fn recover(
    config: &Config,
    data_dir: &Path,
    database: &mut Database,
    command: &RecoverAdmin,
    path: &Path,
) -> Result<(), RecoverError> {
    database.reach().await?;
    let store = Store::new(database.administering());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let keys = serve::key_encryption_keys(config, data_dir, &*entropy)?;
    let mut written = None;
    let made = countersign_app::recover_admin(&store, &SystemClock, &entropy, keys, command, |key| {
        let line = Zeroizing::new(format!("{}\n", key.expose_secret()));
        let outcome = secret_file::create(path, &line);
        let told = outcome.as_ref().copied().map_err(|error| error.kind().into());
        written = Some(outcome);
        told
    })
    .await;
    store.close().await;
    let named = |source| RecoverError::KeyFile { path: path.display().to_string(), source };
    match (written, made) {
        (Some(Err(source)), _) => Err(named(source)),
        (_, Ok(end)) => {
            tracing::info!("the key is valid until {end}: make another one with CreateApiKey before then");
            Ok(())
        }
        (None, Err(error)) => Err(error.into()),
        (Some(Ok(())), Err(error)) => {
            // It contains a key that was not stored.
            fs::remove_file(path).map_err(named)?;
            Err(error.into())
        }
    }
}
