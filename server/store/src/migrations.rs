//! The migrations, and the lock under which the schema is changed.

use sqlx::Executor as _;

use crate::connection::Session;

/// The schema, embedded.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// Waits until no one else changes the schema, and keeps others from changing it until the transaction ends.
pub(crate) async fn lock(tx: &mut Session) -> Result<(), sqlx::Error> {
    tx.execute("SELECT pg_advisory_xact_lock(hashtext('countersign.schema'))").await?;
    Ok(())
}
