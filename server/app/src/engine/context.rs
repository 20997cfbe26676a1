//! What every use case needs: store, clock, configuration, secrets; and the database's time, if both clocks agree.

use std::sync::Arc;

use countersign_core::clock::{Entropy, uuid_v7};
use countersign_store::{Connection, Store, database_time};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    secrets::Secrets,
    stops::Stops,
    timekeeper::{Compared, Timekeeper},
};
use crate::{Config, Error};

/// The store, the clock and other things that do not change while the server runs.
#[derive(Debug)]
pub(crate) struct Context {
    /// Identifies this server among those of the database, from start to end.
    pub(crate) server_id: Uuid,
    pub(crate) store: Store,
    pub(crate) clock: Arc<Timekeeper>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) config: Config,
    pub(crate) secrets: Secrets,
    pub(crate) stops: Stops,
}

impl Context {
    pub(crate) fn new(
        store: Store,
        clock: Arc<Timekeeper>,
        entropy: Arc<dyn Entropy>,
        config: Config,
        secrets: Secrets,
    ) -> Self {
        let server_id = uuid_v7(clock.now(), &*entropy);
        Self { server_id, store, clock, entropy, config, secrets, stops: Stops::new(server_id.to_string()) }
    }

    /// The database's clock, if it can be trusted.
    pub(crate) async fn database_now(&self, conn: &mut Connection) -> Result<OffsetDateTime, Error> {
        self.clock.trust()?;
        let sent = self.clock.now();
        let database = database_time(conn).await?;
        Compared::new(sent, database, self.clock.now()).agree()
    }
}
