//! Time that passes when a test says so, for a server and for its database.
//!
//! Statements read the database's clock by `now()` and `clock_timestamp()`. In a database of this kind a schema before
//! `pg_catalog` in the search path holds two functions of these names, which read a sequence: what a test sets there is
//! seen at once, by every session and inside open transactions. The server's code and its statements are the shipped
//! ones. On an installation whose tables are in their own schema such a search path is refused (`session.rs`).

use std::sync::Arc;

use countersign_core::clock::{Clock as _, unix_micros};
use countersign_store::{Options, own_schema::OWN};
use sqlx::Executor as _;
use time::{Duration, OffsetDateTime, macros::datetime};

use crate::{Database, Failure, ManualClock};

/// When the tests begin: at no boundary of a day or an hour.
const BEGIN: OffsetDateTime = datetime!(2026-03-09 10:17:23.000_456 UTC);

/// The two functions. Their time is that of the sequence, in microseconds since 1970.
const FUNCTIONS: &str = "
    CREATE SCHEMA by_hand;
    CREATE SEQUENCE by_hand.clock;
    CREATE FUNCTION by_hand.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
        $$ SELECT '1970-01-01 00:00:00Z'::timestamptz + make_interval(secs => last_value / 1000000)
                  + (last_value % 1000000) * interval '1 microsecond' FROM by_hand.clock $$;
    CREATE FUNCTION by_hand.now() RETURNS timestamptz VOLATILE LANGUAGE sql AS $$ SELECT by_hand.clock_timestamp() $$;";

/// A database with a clock that stands still, and the clock of the server on it, which shows the same time.
#[derive(Debug)]
pub struct HandMoved {
    /// The database.
    pub database: Database,
    /// The server's clock.
    pub clock: Arc<ManualClock>,
}

impl HandMoved {
    /// Gives this database such a clock.
    pub async fn on(database: Database) -> Result<Self, Failure> {
        database.connect().await?.execute(FUNCTIONS).await?;
        let moved = Self { database, clock: Arc::new(ManualClock::at(BEGIN)) };
        moved.database_shows(BEGIN).await?;
        Ok(moved)
    }

    /// Time passes, for both.
    pub async fn passes(&self, by: Duration) -> Result<(), Failure> {
        self.clock.passes(by);
        self.database_shows(self.clock.now()).await
    }

    /// The database's clock is set to this time.
    pub async fn database_shows(&self, time: OffsetDateTime) -> Result<(), Failure> {
        let set = sqlx::query("SELECT setval('by_hand.clock', $1)").bind(unix_micros(time));
        set.execute(&mut self.database.connect().await?).await?;
        Ok(())
    }

    /// How a server connects, as the database's owner.
    pub fn options(&self) -> Result<Options, Failure> {
        let connect = self.database.url.parse::<sqlx::postgres::PgConnectOptions>()?;
        let path = format!("{OWN}, by_hand, pg_catalog");
        Ok(Options { max_connections: 5, own_schema: false, ..Options::new(connect.options([("search_path", path)])) })
    }
}
