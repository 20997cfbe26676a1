//! `countersign migrate`: brings the schema up to date, and prepares a role for serving (`--grant-to`). Moves the
//! tables of an older version (`--move-schema`), or only says what is missing (`--dry-run`).

use std::io;

use clap::Args;
use countersign_store::lesser_role::Settings;

use crate::{
    config::Config,
    database::{Database, DatabaseError},
};

/// The steps besides the migrations.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Grant this database role what a server needs, and no more: it can add custody events, but not change or delete
    /// them. The role must exist. Servers then connect as this role.
    #[arg(long, value_name = "ROLE")]
    grant_to: Option<String>,
    /// Move the tables of an older version's installation from the schema `public` to `countersign`. No server may be
    /// connected during the move.
    #[arg(long)]
    move_schema: bool,
    /// Change nothing: say which migrations are missing, and whether this role may run them.
    #[arg(long, conflicts_with_all = ["grant_to", "move_schema"])]
    dry_run: bool,
}

/// Why the schema is not up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(
        "--dry-run needs a database: give one with --database-url or DATABASE_URL. A private Postgres is migrated when its \
         server starts"
    )]
    NoDatabase,
    #[error("cannot start a runtime")]
    Runtime(#[from] io::Error),
}

/// Prints what a migration of the configured database would do.
fn dry_run(config: &Config) -> Result<(), MigrateError> {
    if config.database.urls.is_empty() {
        return Err(MigrateError::NoDatabase);
    }
    let mut database = Database::open(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let missing = runtime.block_on(async {
        database.reach().await?;
        database.missing_migrations().await
    });
    database.close()?;
    let missing = missing?;
    if missing.is_empty() {
        println!("The schema is up to date: `countersign migrate` would change nothing.");
        return Ok(());
    }
    println!("`countersign migrate` would run {} migration(s), in one transaction:", missing.len());
    for migration in missing {
        println!("  {migration}");
    }
    println!("Nothing was changed.");
    Ok(())
}

/// Migrates the configured database. Servers may run meanwhile, unless its tables are moved.
pub(crate) fn run(config: &Config, args: &MigrateArgs) -> Result<(), MigrateError> {
    if args.dry_run {
        return dry_run(config);
    }
    let mut database = Database::open(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let migrated = runtime.block_on(async {
        database.reach().await?;
        let moved = if args.move_schema { Some(database.move_schema().await?) } else { None };
        Ok::<_, DatabaseError>((moved, database.migrate(args.grant_to.as_deref()).await?))
    });
    database.close()?;
    let (moved, settings) = migrated?;
    println!("The schema is up to date.");
    match moved {
        Some(true) => {
            println!("The tables are now in the schema `countersign`. Start servers of this version or newer only.");
        }
        Some(false) => println!("The tables are already in the schema `countersign`."),
        None => {}
    }
    if let Some(role) = &args.grant_to {
        println!("Role {role} may serve. It cannot change or delete custody events.");
    }
    if let Some(Settings::ForAnAdministrator(statements)) = settings {
        println!(
            "This role could not set the settings of the sessions. They are needed behind a pooler: as an \
             administrator of the database, run\n{};",
            statements.join(";\n")
        );
    }
    Ok(())
}
