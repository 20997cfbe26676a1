//! `countersign migrate`: brings the schema up to date and nothing else.

use std::io;

use countersign_store::{Store, StoreError};

use crate::{
    config::Config,
    database::{Database, DatabaseError},
};

/// Why the schema is not up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot start a runtime")]
    Runtime(#[from] io::Error),
}

/// Migrates the configured database. Servers may run meanwhile.
pub(crate) fn run(config: &Config) -> Result<(), MigrateError> {
    let database = Database::open(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        database.reach().await?;
        let store = Store::new(&database.options);
        let migrated = store.migrate().await;
        store.close().await;
        Ok::<_, MigrateError>(migrated?)
    })?;
    database.close()?;
    println!("The schema is up to date.");
    Ok(())
}
