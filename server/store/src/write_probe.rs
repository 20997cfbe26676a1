//! Whether the database takes writes: asked by writing.

use crate::{Store, StoreError};

/// Of the filler, bytes: a page holds one.
const FILLER: i32 = 7_000;

impl Store {
    /// Writes a row and commits it, and makes a table grow and takes that back: a database that is read-only or out of space
    /// refuses the one or the other.
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
