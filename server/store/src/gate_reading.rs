//! What each gate of a rollout last said.

use std::collections::HashMap;

use countersign_core::{ids::RolloutId, rollout::Reading};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, StoreError,
    convert::{number, parse},
};

const TABLE: &str = "gate_reading";

/// Keeps these readings in place of the ones before, unless those are newer.
pub async fn keep(
    conn: &mut Connection,
    id: RolloutId,
    readings: &[Reading],
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    let column = |get: fn(&Reading) -> u64| {
        readings.iter().map(|reading| i64::try_from(get(reading)).unwrap_or(i64::MAX)).collect::<Vec<_>>()
    };
    let observed: Vec<Option<i64>> = readings
        .iter()
        .map(|reading| reading.observed.map(|observed| i64::try_from(observed).unwrap_or(i64::MAX)))
        .collect();
    sqlx::query!(
        "INSERT INTO gate_reading AS kept
             (rollout_id, gate, verdict, observed, threshold, samples, needed, evaluate_time)
         SELECT $1, reading.*, $2 FROM UNNEST($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
             AS reading
         ON CONFLICT (rollout_id, gate) DO UPDATE SET verdict = excluded.verdict, observed = excluded.observed,
             threshold = excluded.threshold, samples = excluded.samples, needed = excluded.needed,
             evaluate_time = excluded.evaluate_time
         WHERE kept.evaluate_time < excluded.evaluate_time",
        id.0,
        at,
        &readings.iter().map(|reading| reading.gate.as_str().to_owned()).collect::<Vec<_>>(),
        &readings.iter().map(|reading| reading.verdict.as_str().to_owned()).collect::<Vec<_>>(),
        &observed as &[Option<i64>],
        &column(|reading| reading.limit),
        &column(|reading| reading.samples),
        &column(|reading| reading.needed),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The readings of these rollouts, each with when it was made.
pub async fn of(
    conn: &mut Connection,
    ids: &[Uuid],
) -> Result<HashMap<RolloutId, Vec<(Reading, OffsetDateTime)>>, StoreError> {
    let rows = sqlx::query!(
        "SELECT rollout_id, gate, verdict, observed, threshold, samples, needed, evaluate_time FROM gate_reading
         WHERE rollout_id = ANY ($1)",
        ids
    );
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows.fetch_all(conn).await? {
        let reading = Reading {
            gate: parse(TABLE, "gate", &row.gate)?,
            verdict: parse(TABLE, "verdict", &row.verdict)?,
            observed: row.observed.map(|n| number(TABLE, "observed", n)).transpose()?,
            limit: number(TABLE, "threshold", row.threshold)?,
            samples: number(TABLE, "samples", row.samples)?,
            needed: number(TABLE, "needed", row.needed)?,
        };
        found.entry(RolloutId(row.rollout_id)).or_default().push((reading, row.evaluate_time));
    }
    for readings in found.values_mut() {
        readings.sort_by_key(|(reading, _)| reading.gate);
    }
    Ok(found)
}
