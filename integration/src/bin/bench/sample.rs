//! A row as the server writes it, which the baselines write as well.

use std::time::{Duration, Instant};

use countersign_core::clock::{Clock as _, SystemClock, SystemEntropy, uuid_v7};
use sqlx::{AssertSqlSafe, Connection as _, types::Uuid};

use crate::{
    Result,
    figures::{Run, float, histogram},
    load::Length,
};

/// The columns of `custody_event`, in the order used in this file.
pub(crate) const COLUMNS: &str = "(log_id, log_index, event_id, kind, sponsor_id, instance_id, root_instance_id, tool_id, \
     effect, decision_id, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt)";

/// The last row of one kind that the server wrote, without its id and log index.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Sample {
    kind: String,
    sponsor_id: Option<String>,
    instance_id: Option<Uuid>,
    root_instance_id: Option<Uuid>,
    tool_id: Option<String>,
    effect: Option<String>,
    decision_id: Option<Uuid>,
    pub(crate) leaf_bytes: Vec<u8>,
    purpose: Option<String>,
    purpose_salt: Option<Vec<u8>>,
    reason: Option<String>,
    reason_salt: Option<Vec<u8>>,
    identity: Option<String>,
    identity_salt: Option<Vec<u8>>,
}

impl Sample {
    /// Reads the newest row of a kind.
    pub(crate) async fn read(url: &str, kind: &str) -> Result<Self> {
        let mut conn = countersign_integration::connect(url).await?;
        let statement = "SELECT * FROM custody_event WHERE kind = $1 ORDER BY log_index DESC LIMIT 1";
        let row = sqlx::query_as(statement).bind(kind).fetch_optional(&mut conn).await?;
        row.ok_or_else(|| format!("the server has written no event of kind {kind}").into())
    }

    /// Its values from `kind` on, as SQL.
    pub(crate) fn literals(&self) -> String {
        let text = |text: &Option<String>| quoted(text.as_deref(), "text");
        let id = |id: Option<Uuid>| quoted(id.map(|id| id.to_string()).as_deref(), "uuid");
        let bytes = |bytes: &Option<Vec<u8>>| quoted(bytes.as_deref().map(bytea).as_deref(), "bytea");
        [
            quoted(Some(&self.kind), "text"),
            text(&self.sponsor_id),
            id(self.instance_id),
            id(self.root_instance_id),
            text(&self.tool_id),
            text(&self.effect),
            id(self.decision_id),
            quoted(Some(&bytea(&self.leaf_bytes)), "bytea"),
            text(&self.purpose),
            bytes(&self.purpose_salt),
            text(&self.reason),
            bytes(&self.reason_salt),
            text(&self.identity),
            bytes(&self.identity_salt),
        ]
        .join(", ")
    }
}

fn quoted(text: Option<&str>, kind: &str) -> String {
    text.map_or_else(|| format!("NULL::{kind}"), |text| format!("'{}'::{kind}", text.replace('\'', "''")))
}

/// Bytes as Postgres reads them.
fn bytea(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

/// Writes rows like `row` into `bench_event` over one connection, `batch` per statement and commit: the speed at which
/// Postgres accepts rows from a writer that does nothing else. The rate is in rows.
pub(crate) async fn unnest(url: &str, row: &Sample, batch: usize, length: Length) -> Result<Run> {
    let mut conn = countersign_integration::connect(url).await?;
    let statement = format!(
        "INSERT INTO bench_event {COLUMNS} SELECT 0, event.* FROM UNNEST(
            $1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], $8::text[], $9::uuid[],
            $10::bytea[], $11::text[], $12::bytea[], $13::text[], $14::bytea[], $15::text[], $16::bytea[]) AS event"
    );
    let start = Instant::now() + length.warm_up;
    let (mut rows, mut times, mut index) = (0_u64, histogram(), 0_i64);
    loop {
        let before = Instant::now();
        let now = SystemClock.now();
        let ids: Vec<Uuid> = (0..batch).map(|_| uuid_v7(now, &SystemEntropy)).collect();
        let indices: Vec<i64> = (index..).take(batch).collect();
        index += i64::try_from(batch)?;
        sqlx::query(AssertSqlSafe(statement.as_str()))
            .bind(indices)
            .bind(ids)
            .bind(vec![row.kind.as_str(); batch])
            .bind(vec![row.sponsor_id.as_deref(); batch])
            .bind(vec![row.instance_id; batch])
            .bind(vec![row.root_instance_id; batch])
            .bind(vec![row.tool_id.as_deref(); batch])
            .bind(vec![row.effect.as_deref(); batch])
            .bind(vec![row.decision_id; batch])
            .bind(vec![row.leaf_bytes.as_slice(); batch])
            .bind(vec![row.purpose.as_deref(); batch])
            .bind(vec![row.purpose_salt.as_deref(); batch])
            .bind(vec![row.reason.as_deref(); batch])
            .bind(vec![row.reason_salt.as_deref(); batch])
            .bind(vec![row.identity.as_deref(); batch])
            .bind(vec![row.identity_salt.as_deref(); batch])
            .execute(&mut conn)
            .await?;
        if before < start {
            continue;
        }
        rows += u64::try_from(batch)?;
        times.saturating_record(u64::try_from(before.elapsed().as_nanos())?);
        let counted = start.elapsed();
        if counted >= length.measured.max(Duration::from_millis(1)) {
            conn.close().await?;
            return Ok(Run::of_times(float(rows) / counted.as_secs_f64(), &times));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_sql() {
        assert_eq!(quoted(Some("it's"), "text"), "'it''s'::text");
        assert_eq!(quoted(None, "uuid"), "NULL::uuid");
        assert_eq!(quoted(Some(&bytea(&[0, 255])), "bytea"), "'\\x00ff'::bytea");
    }
}
