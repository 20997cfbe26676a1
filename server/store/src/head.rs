//! The head of the custody log: size, Merkle frontier, authority epoch, newest revocation; its lock, and how long a
//! transaction that holds it may wait for another lock or be idle.
//!
//! Only the transaction that has locked the head appends, raises the epoch or revokes. Every change of what may be
//! allowed takes this lock first, so no two such transactions can deadlock, and no decision is recorded between a
//! change and its epoch.

use countersign_ledger::merkle::Frontier;
use time::OffsetDateTime;

use crate::{Connection, StoreError, convert};

/// The only log at present.
pub(crate) const LOG_ID: i16 = 0;

/// The head row, locked until the transaction ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The tree over all leaves so far.
    pub frontier: Frontier,
    /// The number of changes of what may be allowed.
    pub authority_epoch: i64,
    /// The newest revocation entry.
    pub revocation_seq: i64,
    /// Revocation entries up to this one are forgotten; credentials whose `rev` is below it count as expired.
    pub revocation_floor: i64,
}

impl Head {
    /// Locks the head until `tx` ends. Also returns the database's clock at the moment of the lock.
    #[tracing::instrument(name = "store.head.lock", target = "countersign_trace", level = "debug", skip_all)]
    pub async fn lock(tx: &mut Connection) -> Result<(Self, OffsetDateTime), StoreError> {
        // The clock is read from the locked row, outside of the part that waits for the lock. The limits for the rest
        // of the transaction are set there too: however long the wait for the head was, the transaction that holds it
        // must neither wait for another lock nor stay idle for long, because every other writer waits for it.
        let row = sqlx::query_as!(
            Row,
            r#"SELECT size AS "size!", frontier AS "frontier!", authority_epoch AS "authority_epoch!",
                   revocation_seq AS "revocation_seq!", revocation_floor AS "revocation_floor!",
                   CASE WHEN set_config('lock_timeout', '300', true)
                             || set_config('idle_in_transaction_session_timeout', '2000', true) IS NOT NULL
                        THEN clock_timestamp() END AS "at!"
               FROM (
                   SELECT size, frontier, authority_epoch, revocation_seq, revocation_floor
                   FROM log_head WHERE log_id = $1 FOR UPDATE
               ) AS locked"#,
            LOG_ID
        );
        row.fetch_one(tx).await?.read()
    }

    /// Reads the head without locking it, and the database's clock.
    #[tracing::instrument(name = "store.head.read", target = "countersign_trace", level = "debug", skip_all)]
    pub async fn read(tx: &mut Connection) -> Result<(Self, OffsetDateTime), StoreError> {
        let row = sqlx::query_as!(
            Row,
            r#"SELECT size, frontier, authority_epoch, revocation_seq, revocation_floor, clock_timestamp() AS "at!"
               FROM log_head WHERE log_id = $1"#,
            LOG_ID
        );
        row.fetch_one(tx).await?.read()
    }

    /// Raises the floor of the revocations; it never goes down. The caller holds the head and starts a new epoch.
    #[tracing::instrument(name = "store.head.move_floor", target = "countersign_trace", level = "debug", skip_all)]
    pub async fn move_floor(tx: &mut Connection, floor: i64) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE log_head SET revocation_floor = greatest(revocation_floor, $2) WHERE log_id = $1",
            LOG_ID,
            floor
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    /// How many events the log holds, which is also the index of the next one.
    #[must_use]
    pub fn size(&self) -> i64 {
        // The column has the same width, and every event has a row.
        i64::try_from(self.frontier.size()).unwrap_or(i64::MAX)
    }
}

struct Row {
    size: i64,
    frontier: Vec<u8>,
    authority_epoch: i64,
    revocation_seq: i64,
    revocation_floor: i64,
    at: OffsetDateTime,
}

impl Row {
    fn read(self) -> Result<(Head, OffsetDateTime), StoreError> {
        let size = convert::number("log_head", "size", self.size)?;
        let frontier =
            Frontier::from_bytes(size, &self.frontier).map_err(|error| StoreError::corrupt("log_head", error))?;
        let Self { authority_epoch, revocation_seq, revocation_floor, at, .. } = self;
        Ok((Head { frontier, authority_epoch, revocation_seq, revocation_floor }, at))
    }
}
