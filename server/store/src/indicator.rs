//! What servers counted, per slot of time, and its sums over a window and all servers; and how many decisions have no
//! outcome, among the newest events.

use std::{collections::BTreeMap, time::Duration};

use countersign_core::{
    ids::RolloutId,
    rollout::{Comparison, Figures},
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

pub use crate::look_back::purge;
use crate::{
    Connection, StoreError, comparison,
    convert::{all_stored, number, stored},
};

const TABLE: &str = "indicator_slot";
/// How many of the newest events are searched for decisions without an outcome, at most.
const MOST_EVENTS: i64 = 100_000;

/// What a server counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Decisions recorded.
    pub decisions: u64,
    /// Decisions without a sponsor.
    pub missing_sponsor: u64,
    /// Decisions without a sponsor whose caller is unknown.
    pub unauthenticated: u64,
    /// Decisions that ended in a policy error.
    pub policy_errors: u64,
    /// Decisions that were allowed only because a baseline observes.
    pub observed: u64,
    /// Requests that were shed.
    pub shed: u64,
    /// Issuances and delegations requested.
    pub issuances: u64,
    /// Issuances and delegations that failed because of an error in the servers.
    pub issuance_failures: u64,
}

/// What a server counted between two instants.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// The server.
    pub server_id: Uuid,
    /// The slot's number on that server.
    pub number: i64,
    /// The length of the slot.
    pub span: Duration,
    /// How long ago the slot ended.
    pub age: Duration,
    /// The counts.
    pub counts: Counts,
    /// The number of decisions by their latency in microseconds.
    pub latency: BTreeMap<u64, u64>,
    /// The number of calls without a sponsor by the caller that reported them.
    pub without_sponsor: BTreeMap<String, u64>,
    /// Counts per rollout.
    pub rollouts: Vec<RolloutSlot>,
}

/// The counts of one open rollout in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutSlot {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// Evaluations of the candidate that ended in a policy error.
    pub candidate_errors: u64,
    /// Calls that the candidate answered and refused, and that the baseline would allow.
    pub held_back: u64,
    /// Where the two sides disagreed.
    pub comparison: Comparison,
}

/// Stores a slot, and adds its rollout counts to the comparisons. A slot that is stored already is left as it is, so a
/// slot can be sent again if it is unknown whether it was stored. `tx` is a transaction; `now` is the database's clock.
#[tracing::instrument(name = "store.indicator.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(tx: &mut Connection, slot: &Slot, now: OffsetDateTime) -> Result<(), StoreError> {
    let counts = &slot.counts;
    let integer = |n: u64| stored::<_, i64>(TABLE, n);
    let latency: Vec<i64> = all_stored(TABLE, slot.latency.keys().copied())?;
    let latency_count: Vec<i64> = all_stored(TABLE, slot.latency.values().copied())?;
    let stored = sqlx::query!(
        "INSERT INTO indicator_slot (server_id, slot, begin_time, end_time, decisions, missing_sponsor, policy_errors,
             observed, shed, issuances, issuance_failures, latency_us, latency_count, unauthenticated)
         SELECT $1, $2, over - make_interval(secs => $3), over, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
         FROM (SELECT $15::timestamptz - make_interval(secs => $4) AS over) AS slot
         ON CONFLICT DO NOTHING",
        slot.server_id,
        slot.number,
        slot.span.as_secs_f64(),
        slot.age.as_secs_f64(),
        integer(counts.decisions)?,
        integer(counts.missing_sponsor)?,
        integer(counts.policy_errors)?,
        integer(counts.observed)?,
        integer(counts.shed)?,
        integer(counts.issuances)?,
        integer(counts.issuance_failures)?,
        &latency,
        &latency_count,
        integer(counts.unauthenticated)?,
        now,
    )
    .execute(&mut *tx)
    .await?;
    if stored.rows_affected() == 0 {
        return Ok(());
    }
    if !slot.without_sponsor.is_empty() {
        let callers: Vec<String> = slot.without_sponsor.keys().cloned().collect();
        let told: Vec<i64> = all_stored(TABLE, slot.without_sponsor.values().copied())?;
        sqlx::query!(
            "INSERT INTO missing_sponsor_slot (server_id, slot, caller, count)
             SELECT $1, $2, caller, count FROM UNNEST($3::text[], $4::bigint[]) AS told (caller, count)",
            slot.server_id,
            slot.number,
            &callers,
            &told
        )
        .execute(&mut *tx)
        .await?;
    }
    for rollout in &slot.rollouts {
        sqlx::query!(
            "INSERT INTO rollout_slot (server_id, slot, rollout_id, compared, candidate_errors, held_back)
             VALUES ($1, $2, $3, $4, $5, $6)",
            slot.server_id,
            slot.number,
            rollout.rollout_id.0,
            integer(rollout.comparison.compared)?,
            integer(rollout.candidate_errors)?,
            integer(rollout.held_back)?,
        )
        .execute(&mut *tx)
        .await?;
        comparison::add(tx, rollout.rollout_id, &rollout.comparison, now).await?;
    }
    Ok(())
}

/// The sums over a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Its start, by the database's clock.
    pub start_time: OffsetDateTime,
    /// Its end: now, by the database's clock.
    pub end_time: OffsetDateTime,
    /// The counts of all servers.
    pub counts: Counts,
    /// Latencies of decisions in microseconds, each with its number of decisions.
    pub latency: BTreeMap<u64, u64>,
}

/// The sums of all servers' counts in the last `seconds`. Slots that began before `since` are left out. `tx` is a
/// transaction that sees one state throughout.
#[tracing::instrument(name = "store.indicator.window", target = "countersign_trace", level = "debug", skip_all)]
pub async fn window(tx: &mut Connection, seconds: u32, since: Option<OffsetDateTime>) -> Result<Window, StoreError> {
    let row = sqlx::query!(
        r#"SELECT now() - make_interval(secs => $1) AS "start_time!", now() AS "end_time!",
                  coalesce(sum(decisions), 0)::bigint AS "decisions!",
                  coalesce(sum(missing_sponsor), 0)::bigint AS "missing_sponsor!",
                  coalesce(sum(unauthenticated), 0)::bigint AS "unauthenticated!",
                  coalesce(sum(policy_errors), 0)::bigint AS "policy_errors!",
                  coalesce(sum(observed), 0)::bigint AS "observed!",
                  coalesce(sum(shed), 0)::bigint AS "shed!",
                  coalesce(sum(issuances), 0)::bigint AS "issuances!",
                  coalesce(sum(issuance_failures), 0)::bigint AS "issuance_failures!"
           FROM indicator_slot
           WHERE end_time > now() - make_interval(secs => $1) AND begin_time >= coalesce($2, '-infinity'::timestamptz)"#,
        f64::from(seconds),
        since
    )
    .fetch_one(&mut *tx)
    .await?;
    let latency = sqlx::query!(
        r#"SELECT micros AS "micros!", sum(count)::bigint AS "count!"
           FROM indicator_slot, unnest(latency_us, latency_count) AS latency (micros, count)
           WHERE end_time > now() - make_interval(secs => $1) AND begin_time >= coalesce($2, '-infinity'::timestamptz)
           GROUP BY micros"#,
        f64::from(seconds),
        since
    )
    .fetch_all(tx)
    .await?;
    Ok(Window {
        start_time: row.start_time,
        end_time: row.end_time,
        counts: Counts {
            decisions: number(TABLE, "decisions", row.decisions)?,
            missing_sponsor: number(TABLE, "missing_sponsor", row.missing_sponsor)?,
            unauthenticated: number(TABLE, "unauthenticated", row.unauthenticated)?,
            policy_errors: number(TABLE, "policy_errors", row.policy_errors)?,
            observed: number(TABLE, "observed", row.observed)?,
            shed: number(TABLE, "shed", row.shed)?,
            issuances: number(TABLE, "issuances", row.issuances)?,
            issuance_failures: number(TABLE, "issuance_failures", row.issuance_failures)?,
        },
        latency: latency
            .into_iter()
            .map(|row| Ok((number(TABLE, "latency_us", row.micros)?, number(TABLE, "latency_count", row.count)?)))
            .collect::<Result<_, StoreError>>()?,
    })
}

/// How many calls without a sponsor each caller reported in the last `seconds`. Slots that began before `since` are
/// left out.
#[tracing::instrument(
    name = "store.indicator.without_sponsor",
    target = "countersign_trace",
    level = "debug",
    skip_all
)]
pub async fn without_sponsor(tx: &mut Connection, seconds: u32, since: OffsetDateTime) -> Result<Vec<u64>, StoreError> {
    let counts = sqlx::query_scalar!(
        r#"SELECT sum(count)::bigint AS "count!"
           FROM missing_sponsor_slot JOIN indicator_slot USING (server_id, slot)
           WHERE end_time > now() - make_interval(secs => $1) AND begin_time >= $2
           GROUP BY caller"#,
        f64::from(seconds),
        since
    );
    counts.fetch_all(tx).await?.into_iter().map(|count| number("missing_sponsor_slot", "count", count)).collect()
}

/// Adds to `figures` the counts of one rollout in the last `seconds`. Evaluations count from `since` on; calls that
/// were held back count over the whole window.
#[tracing::instrument(name = "store.indicator.of_rollout", target = "countersign_trace", level = "debug", skip_all)]
pub async fn of_rollout(
    tx: &mut Connection,
    rollout_id: RolloutId,
    seconds: u32,
    since: OffsetDateTime,
    figures: Figures,
) -> Result<Figures, StoreError> {
    let row = sqlx::query!(
        r#"SELECT coalesce(sum(compared) FILTER (WHERE begin_time >= $3), 0)::bigint AS "compared!",
                  coalesce(sum(candidate_errors) FILTER (WHERE begin_time >= $3), 0)::bigint AS "candidate_errors!",
                  coalesce(sum(held_back), 0)::bigint AS "held_back!"
           FROM rollout_slot JOIN indicator_slot USING (server_id, slot)
           WHERE rollout_id = $1 AND end_time > now() - make_interval(secs => $2)"#,
        rollout_id.0,
        f64::from(seconds),
        since
    )
    .fetch_one(tx)
    .await?;
    Ok(Figures {
        candidate_evaluations: number(TABLE, "compared", row.compared)?,
        candidate_errors: number(TABLE, "candidate_errors", row.candidate_errors)?,
        held_back: number(TABLE, "held_back", row.held_back)?,
        ..figures
    })
}

/// How many of the decisions that allowed since `start` have no outcome, among the newest 100,000 events.
#[tracing::instrument(name = "store.indicator.open_decisions", target = "countersign_trace", level = "debug", skip_all)]
pub async fn open_decisions(conn: &mut Connection, start: OffsetDateTime) -> Result<u64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
               SELECT event_id, kind, effect FROM custody_event
               WHERE event_id >= uuid_v7_floor($1) ORDER BY event_id DESC LIMIT $2
           ) AS newest
           WHERE kind = 'decision' AND effect = 'ALLOW'
             AND NOT EXISTS (SELECT FROM tool_call WHERE tool_call.decision_id = newest.event_id)"#,
        start,
        MOST_EVENTS
    );
    number("custody_event", "count", count.fetch_one(conn).await?)
}
