//! The head of the custody log: size, Merkle frontier, authority epoch, newest revocation.
//!
//! Whoever holds it locked is the only one who appends, bumps the epoch or revokes. Everything that changes what may be
//! allowed takes this lock first, so no two such transactions can deadlock, and no decision is recorded between a change
//! and its epoch.

use countersign_ledger::merkle::Frontier;

use crate::{Connection, StoreError, convert};

/// The one log there is for now.
pub(crate) const LOG_ID: i16 = 0;

/// The head row, locked until the transaction ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The tree over all leaves so far.
    pub frontier: Frontier,
    /// Counts the changes of what may be allowed.
    pub authority_epoch: i64,
    /// The newest revocation entry.
    pub revocation_seq: i64,
}

impl Head {
    /// Locks the head until `tx` ends.
    pub async fn lock(tx: &mut Connection) -> Result<Self, StoreError> {
        let row = sqlx::query_as!(
            Row,
            "SELECT size, frontier, authority_epoch, revocation_seq FROM log_head WHERE log_id = $1 FOR UPDATE",
            LOG_ID
        );
        row.fetch_one(tx).await?.try_into()
    }

    /// Reads the head without locking it.
    pub async fn read(tx: &mut Connection) -> Result<Self, StoreError> {
        let row = sqlx::query_as!(
            Row,
            "SELECT size, frontier, authority_epoch, revocation_seq FROM log_head WHERE log_id = $1",
            LOG_ID
        );
        row.fetch_one(tx).await?.try_into()
    }

    /// How many events the log holds; also the next one's index.
    #[must_use]
    pub fn size(&self) -> i64 {
        convert::column(self.frontier.size(), i64::MAX)
    }
}

struct Row {
    size: i64,
    frontier: Vec<u8>,
    authority_epoch: i64,
    revocation_seq: i64,
}

impl TryFrom<Row> for Head {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let size = convert::number("log_head", "size", row.size)?;
        let frontier =
            Frontier::from_bytes(size, &row.frontier).map_err(|error| StoreError::corrupt("log_head", error))?;
        Ok(Self { frontier, authority_epoch: row.authority_epoch, revocation_seq: row.revocation_seq })
    }
}
