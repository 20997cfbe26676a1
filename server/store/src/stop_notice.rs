//! Notices between servers that a stop waits for the log head. They only make other writers wait a moment. Whether a
//! stop is in effect is decided by the head; a lost notice only makes the stop take longer.
//!
//! Listening needs a session, so it is not possible behind a pooler in transaction mode. Sending is.

use sqlx::postgres::PgListener;

use crate::{connection::Connection, error::StoreError, store::Store};

/// The channel of the notices.
const CHANNEL: &str = "countersign_stops";

/// Sends a notice to every server that listens, including this one.
pub async fn send(conn: &mut Connection, notice: &str) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(notice).execute(conn).await?;
    Ok(())
}

/// Receives notices, on a separate connection.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    /// Listens from now on.
    pub async fn start(store: &Store) -> Result<Self, StoreError> {
        let mut listener = PgListener::connect_with(store.pools.listener.connections()).await?;
        listener.ignore_pool_close_event(false);
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// The next notice. `None` if the connection was lost and has been restored.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.0.try_recv().await?.map(|notice| notice.payload().to_owned()))
    }
}
