//! How far back gates look when their window holds too few samples (at most a day), how long counted slots are kept,
//! and which old ones are kept for gates.
//!
//! A slot that is looked for holds at least one sample. So a look back for `needed` samples needs at most `needed`
//! slots, and of the slots that no window reaches any more that many are kept, per kind of sample.

use countersign_core::{
    ids::RolloutId,
    rollout::{Figures, Gates},
};
use time::{Duration, OffsetDateTime};

use crate::{Connection, StoreError, convert::number};

const TABLE: &str = "indicator_slot";
/// How long slots are kept for windows, of which the longest is an hour.
const WINDOWS: Duration = Duration::hours(2);
/// How long slots are kept for gates: a little longer than gates look back.
const LOOK_BACK: Duration = Duration::hours(25);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    /// Decisions.
    Decisions,
    /// Issuances and delegations requested.
    Issuances,
    /// Evaluations of this rollout's candidate.
    Evaluations(RolloutId),
}

/// The shortest span up to now that holds `needed` samples, in whole seconds. At most a day, and at most the time since
/// `since`. `tx` is a transaction that sees one state throughout.
#[tracing::instrument(name = "store.look_back.span", target = "countersign_trace", level = "debug", skip_all)]
pub async fn span(
    tx: &mut Connection,
    samples: Samples,
    needed: u32,
    since: OffsetDateTime,
) -> Result<u32, StoreError> {
    let needed = i64::from(needed);
    let seconds = match samples {
        Samples::Evaluations(rollout_id) => {
            let seconds = sqlx::query_scalar!(
                r#"SELECT greatest(0, ceil(extract(epoch FROM now() - CASE WHEN sum(samples) >= $1 THEN min(begin_time)
                              ELSE greatest($2, now() - interval '24 hours') END)))::bigint AS "seconds!"
                   FROM (
                       SELECT begin_time, compared AS samples,
                              sum(compared) OVER (ORDER BY end_time DESC, server_id, slot) - compared AS newer
                       FROM (
                           SELECT server_id, slot, begin_time, end_time, compared
                           FROM rollout_slot JOIN indicator_slot USING (server_id, slot)
                           WHERE rollout_id = $3 AND compared > 0 AND begin_time >= $2
                             AND end_time > now() - interval '24 hours'
                           ORDER BY end_time DESC, server_id, slot LIMIT $1::bigint
                       ) AS newest
                   ) AS counted WHERE newer < $1"#,
                needed,
                since,
                rollout_id.0
            );
            seconds.fetch_one(tx).await?
        }
        Samples::Decisions | Samples::Issuances => {
            let seconds = sqlx::query_scalar!(
                r#"SELECT greatest(0, ceil(extract(epoch FROM now() - CASE WHEN sum(samples) >= $1 THEN min(begin_time)
                              ELSE greatest($2, now() - interval '24 hours') END)))::bigint AS "seconds!"
                   FROM (
                       SELECT begin_time, samples,
                              sum(samples) OVER (ORDER BY end_time DESC, server_id, slot) - samples AS newer
                       FROM (
                           SELECT server_id, slot, begin_time, end_time,
                                  CASE WHEN $3 THEN issuances ELSE decisions END AS samples
                           FROM indicator_slot
                           WHERE CASE WHEN $3 THEN issuances ELSE decisions END > 0 AND begin_time >= $2
                             AND end_time > now() - interval '24 hours'
                           ORDER BY end_time DESC, server_id, slot LIMIT $1::bigint
                       ) AS newest
                   ) AS counted WHERE newer < $1"#,
                needed,
                since,
                samples == Samples::Issuances
            );
            seconds.fetch_one(tx).await?
        }
    };
    number(TABLE, "seconds", seconds)
}

/// Adds to `figures` the issuances of the last `seconds`. Slots that began before `since` are left out.
#[tracing::instrument(name = "store.look_back.issuances", target = "countersign_trace", level = "debug", skip_all)]
pub async fn issuances(
    tx: &mut Connection,
    seconds: u32,
    since: OffsetDateTime,
    figures: Figures,
) -> Result<Figures, StoreError> {
    let row = sqlx::query!(
        r#"SELECT coalesce(sum(issuances), 0)::bigint AS "issuances!",
                  coalesce(sum(issuance_failures), 0)::bigint AS "issuance_failures!"
           FROM indicator_slot
           WHERE issuances > 0 AND end_time > now() - make_interval(secs => $1) AND begin_time >= $2"#,
        f64::from(seconds),
        since
    );
    let row = row.fetch_one(tx).await?;
    Ok(Figures {
        issuances: number(TABLE, "issuances", row.issuances)?,
        issuance_failures: number(TABLE, "issuance_failures", row.issuance_failures)?,
        ..figures
    })
}

/// Forgets slots that at `now` neither a window nor a gate that looks back can reach. Per kind of sample, the newest
/// slots are kept that hold what the gates of the open rollout need.
#[tracing::instrument(name = "store.look_back.purge", target = "countersign_trace", level = "debug", skip_all)]
pub async fn purge(conn: &mut Connection, now: OffsetDateTime) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH wanted AS (
             SELECT rollout_id, coalesce(gates_since, advance_time) AS since, (gates ->> 'min_decisions')::bigint AS needed
             FROM rollout WHERE state IN ('RUNNING', 'PAUSED') AND (gates ->> 'min_decisions')::bigint <= $3
         ), kept AS (
             (SELECT server_id, slot FROM indicator_slot
              WHERE decisions > 0 AND begin_time >= (SELECT since FROM wanted)
              ORDER BY end_time DESC, server_id, slot LIMIT coalesce((SELECT needed FROM wanted), 0))
             UNION
             (SELECT server_id, slot FROM indicator_slot
              WHERE issuances > 0 AND begin_time >= (SELECT since FROM wanted)
              ORDER BY end_time DESC, server_id, slot LIMIT coalesce((SELECT needed FROM wanted), 0))
             UNION
             (SELECT server_id, slot FROM rollout_slot JOIN indicator_slot USING (server_id, slot)
              WHERE rollout_id = (SELECT rollout_id FROM wanted) AND compared > 0
                AND begin_time >= (SELECT since FROM wanted)
              ORDER BY end_time DESC, server_id, slot LIMIT coalesce((SELECT needed FROM wanted), 0))
         )
         DELETE FROM indicator_slot AS old
         WHERE end_time < $1 OR (end_time < $2 AND NOT EXISTS (
             SELECT FROM kept WHERE kept.server_id = old.server_id AND kept.slot = old.slot))",
        now - LOOK_BACK,
        now - WINDOWS,
        i64::from(Gates::LOOKS_BACK_FOR),
    )
    .execute(conn)
    .await?;
    Ok(())
}
