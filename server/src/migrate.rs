//! `countersign migrate`: brings the schema up to date, and makes a role ready to serve on it.

use std::io;

use clap::Args;
use countersign_store::lesser_role::Settings;

use crate::{
    config::Config,
    database::{Database, DatabaseError},
};

/// What beside the migrations.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Let this database role serve, and no more than serve: it can add custody events and neither change nor delete them. The
    /// role must exist. Servers then connect as it.
    #[arg(long, value_name = "ROLE")]
    grant_to: Option<String>,
}

/// Why the schema is not up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("cannot start a runtime")]
    Runtime(#[from] io::Error),
}

/// Migrates the configured database. Servers may run meanwhile.
pub(crate) fn run(config: &Config, args: &MigrateArgs) -> Result<(), MigrateError> {
    let database = Database::open(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let migrated = runtime.block_on(async {
        database.reach().await?;
        database.migrate(args.grant_to.as_deref()).await
    });
    database.close()?;
    let settings = migrated?;
    println!("The schema is up to date.");
    if let Some(role) = &args.grant_to {
        println!("Role {role} may serve, and may neither change nor delete custody events.");
    }
    if let Some(Settings::ForAnAdministrator(statements)) = settings {
        println!(
            "The settings of its sessions could not be set by this role. Behind a pooler they are needed: as an administrator of the \
             database, run\n{};",
            statements.join(";\n")
        );
    }
    Ok(())
}
