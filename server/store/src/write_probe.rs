//! Checks whether the database accepts writes, by writing: one that is read-only or out of disk space does not.

use crate::{error::StoreError, store::Store};

/// Size of the filler in bytes; a page holds one.
const FILLER: i32 = 7_000;

impl Store {
    /// Writes and commits a row, and makes a table grow and rolls that back: a database that is read-only or out of
    /// space refuses one or the other.
    pub async fn probe_writes(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO write_probe_filler (filler) VALUES (convert_to(repeat('x', $1), 'UTF8'))")
            .bind(FILLER)
            .execute(&mut *tx)
            .await?;
        tx.rollback().await?;
        let mut conn = self.writing().await?;
        sqlx::query("UPDATE write_probe SET probe_time = clock_timestamp()").execute(&mut *conn).await?;
        conn.done().await
    }
}
