//! Notices between servers that a stop waits for the log head. They only make others wait a moment: whether a stop holds is
//! the head's to say, and a notice that is lost costs the stop time alone.
//!
//! To hear takes a session, which there is none of behind a pooler in transaction mode. To send does not.

use sqlx::postgres::PgListener;

use crate::{Connection, Store, StoreError};

/// The channel of the notices.
const CHANNEL: &str = "countersign_stops";

/// Sends a notice to every server that listens, this one among them.
pub async fn send(conn: &mut Connection, notice: &str) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(notice).execute(conn).await?;
    Ok(())
}

/// Hears notices, on a connection of its own.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    /// Listens from now on.
    pub async fn start(store: &Store) -> Result<Self, StoreError> {
        let mut listener = PgListener::connect_with(&store.pools.listener).await?;
        listener.ignore_pool_close_event(false);
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// The next notice; none: the connection was lost, and is there again.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.0.try_recv().await?.map(|notice| notice.payload().to_owned()))
    }
}
