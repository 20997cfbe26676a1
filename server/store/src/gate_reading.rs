//! The last reading of each gate of a rollout.

use std::collections::HashMap;

use countersign_core::{
    ids::RolloutId,
    rollout::{KeptReading, Reading, Recent, Sample},
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, StoreError,
    convert::{all_stored, number, parse, stored},
};

const TABLE: &str = "gate_reading";

/// Stores these readings in place of the earlier ones, unless the stored ones are newer.
#[tracing::instrument(name = "store.gate_reading.keep", target = "countersign_trace", level = "debug", skip_all)]
pub async fn keep(
    conn: &mut Connection,
    id: RolloutId,
    readings: &[Reading],
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    let column = |get: fn(&Reading) -> u64| all_stored::<_, i64>(TABLE, readings.iter().map(get));
    let maybe = |get: fn(&Reading) -> Option<u64>| {
        let numbers = readings.iter().map(get);
        numbers.map(|number| number.map(|n| stored::<_, i64>(TABLE, n)).transpose()).collect::<Result<Vec<_>, _>>()
    };
    sqlx::query!(
        "INSERT INTO gate_reading AS kept
             (rollout_id, gate, verdict, observed, threshold, samples, needed, span_seconds, recent_observed, recent_samples,
              evaluate_time)
         SELECT $1, gate, verdict, observed, threshold, samples, needed, span_seconds, recent_observed, recent_samples, $2
         FROM UNNEST($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
                     $11::bigint[])
              AS reading (gate, verdict, observed, threshold, samples, needed, span_seconds, recent_observed, recent_samples)
         ON CONFLICT (rollout_id, gate) DO UPDATE SET verdict = excluded.verdict, observed = excluded.observed,
             threshold = excluded.threshold, samples = excluded.samples, needed = excluded.needed,
             span_seconds = excluded.span_seconds, recent_observed = excluded.recent_observed,
             recent_samples = excluded.recent_samples, evaluate_time = excluded.evaluate_time
         WHERE kept.evaluate_time < excluded.evaluate_time",
        id.0,
        at,
        &readings.iter().map(|reading| reading.gate.as_str().to_owned()).collect::<Vec<_>>(),
        &readings.iter().map(|reading| reading.verdict.as_str().to_owned()).collect::<Vec<_>>(),
        &maybe(|reading| reading.observed)? as &[Option<i64>],
        &column(|reading| reading.limit)?,
        &column(|reading| reading.samples)?,
        &column(|reading| reading.needed)?,
        &column(|reading| reading.span_seconds)?,
        &maybe(|reading| reading.recent?.sample.observed)? as &[Option<i64>],
        &maybe(|reading| Some(reading.recent?.sample.samples))? as &[Option<i64>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The readings of these rollouts.
#[tracing::instrument(name = "store.gate_reading.of", target = "countersign_trace", level = "debug", skip_all)]
pub async fn of(conn: &mut Connection, ids: &[Uuid]) -> Result<HashMap<RolloutId, Vec<KeptReading>>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT rollout_id, gate, verdict, observed, threshold, samples, needed, span_seconds, recent_observed, recent_samples,
               evaluate_time, (rollout.gates ->> 'window_seconds')::bigint AS "window_seconds!"
           FROM gate_reading JOIN rollout USING (rollout_id) WHERE rollout_id = ANY ($1)"#,
        ids
    );
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows.fetch_all(conn).await? {
        let read = |column, n: Option<i64>| n.map(|n| number(TABLE, column, n)).transpose();
        let window_seconds = number(TABLE, "window_seconds", row.window_seconds)?;
        let recent = |samples| -> Result<_, StoreError> {
            let sample = Sample { samples, observed: read("recent_observed", row.recent_observed)? };
            Ok(Recent { sample, window_seconds })
        };
        let reading = Reading {
            gate: parse(TABLE, "gate", &row.gate)?,
            verdict: parse(TABLE, "verdict", &row.verdict)?,
            observed: read("observed", row.observed)?,
            limit: number(TABLE, "threshold", row.threshold)?,
            samples: number(TABLE, "samples", row.samples)?,
            needed: number(TABLE, "needed", row.needed)?,
            span_seconds: read("span_seconds", row.span_seconds)?.unwrap_or(0),
            recent: read("recent_samples", row.recent_samples)?.map(recent).transpose()?,
        };
        found
            .entry(RolloutId(row.rollout_id))
            .or_default()
            .push(KeptReading { reading, evaluate_time: row.evaluate_time });
    }
    for readings in found.values_mut() {
        readings.sort_by_key(|kept| kept.reading.gate);
    }
    Ok(found)
}
