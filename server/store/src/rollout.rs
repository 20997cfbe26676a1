//! Rollouts: stored and listed; at most one is open.

use countersign_core::{
    ids::{PolicyVersion, RolloutId},
    rollout::{Rollout, RolloutState},
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    convert::{all_stored, bytes, number, parse, stored},
};

const TABLE: &str = "rollout";

struct Row {
    rollout_id: Uuid,
    baseline: String,
    candidate: i64,
    percent: i32,
    sticky_key: String,
    state: String,
    steps: Vec<i32>,
    increment_per_day: Option<i32>,
    gates: serde_json::Value,
    min_soak_seconds: i64,
    scope: serde_json::Value,
    salt: Vec<u8>,
    create_time: OffsetDateTime,
    advance_time: OffsetDateTime,
    rollback_reason: Option<String>,
    revision: i64,
    created_by: Option<String>,
    end_time: Option<OffsetDateTime>,
    gates_since: Option<OffsetDateTime>,
    person_percent: Option<i32>,
}

/// The columns of a [`Row`], followed by the rest of the statement.
macro_rules! rollouts {
    ($rest:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT rollout_id, baseline, candidate, percent, sticky_key, state, steps, increment_per_day, gates,
                    min_soak_seconds, scope, salt, create_time, advance_time, rollback_reason, revision, created_by, end_time,
                    gates_since, person_percent " + $rest
            $(, $value)*
        )
    };
}

impl TryFrom<Row> for Rollout {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let json = |column: &str, error: serde_json::Error| StoreError::corrupt(TABLE, format!("{column}: {error}"));
        Ok(Self {
            rollout_id: RolloutId(row.rollout_id),
            baseline: parse(TABLE, "baseline", &row.baseline)?,
            candidate: PolicyVersion(row.candidate),
            percent: number(TABLE, "percent", row.percent)?,
            sticky_key: parse(TABLE, "sticky_key", &row.sticky_key)?,
            state: parse(TABLE, "state", &row.state)?,
            steps: row.steps.into_iter().map(|step| number(TABLE, "steps", step)).collect::<Result<_, _>>()?,
            increment_per_day: row.increment_per_day.map(|n| number(TABLE, "increment_per_day", n)).transpose()?,
            gates: serde_json::from_value(row.gates).map_err(|error| json("gates", error))?,
            min_soak_seconds: number(TABLE, "min_soak_seconds", row.min_soak_seconds)?,
            scope: serde_json::from_value(row.scope).map_err(|error| json("scope", error))?,
            salt: bytes(TABLE, "salt", &row.salt)?,
            create_time: row.create_time,
            advance_time: row.advance_time,
            gates_since: row.gates_since.unwrap_or(row.advance_time),
            person_percent: number(TABLE, "person_percent", row.person_percent.unwrap_or(row.percent))?,
            rollback_reason: row.rollback_reason,
            revision: row.revision,
            created_by: row.created_by.map(|id| parse(TABLE, "created_by", &id)).transpose()?,
            end_time: row.end_time,
        })
    }
}

/// Stores a new rollout; [`StoreError::Exists`] where one is open.
#[tracing::instrument(name = "store.rollout.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, rollout: &Rollout) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO rollout (rollout_id, baseline, candidate, percent, sticky_key, state, steps, increment_per_day, gates,
             min_soak_seconds, scope, salt, create_time, advance_time, rollback_reason, revision, created_by, end_time,
             gates_since, person_percent)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        rollout.rollout_id.0,
        rollout.baseline.to_string(),
        rollout.candidate.0,
        stored::<_, i32>(TABLE, rollout.percent)?,
        rollout.sticky_key.as_str(),
        rollout.state.as_str(),
        &all_stored::<_, i32>(TABLE, rollout.steps.iter().copied())?,
        rollout.increment_per_day.map(|points| stored::<_, i32>(TABLE, points)).transpose()?,
        serde_json::json!(rollout.gates),
        stored::<_, i64>(TABLE, rollout.min_soak_seconds)?,
        serde_json::json!(rollout.scope),
        &rollout.salt,
        rollout.create_time,
        rollout.advance_time,
        rollout.rollback_reason,
        rollout.revision,
        rollout.created_by.as_ref().map(AsRef::<str>::as_ref),
        rollout.end_time,
        rollout.gates_since,
        stored::<_, i32>(TABLE, rollout.person_percent)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what a state change of a rollout changes.
#[tracing::instrument(name = "store.rollout.update", target = "countersign_trace", level = "debug", skip_all)]
pub async fn update(conn: &mut Connection, rollout: &Rollout) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE rollout SET percent = $2, state = $3, advance_time = $4, rollback_reason = $5, revision = $6, end_time = $7,
             gates_since = $8, person_percent = $9
         WHERE rollout_id = $1",
        rollout.rollout_id.0,
        stored::<_, i32>(TABLE, rollout.percent)?,
        rollout.state.as_str(),
        rollout.advance_time,
        rollout.rollback_reason,
        rollout.revision,
        rollout.end_time,
        rollout.gates_since,
        stored::<_, i32>(TABLE, rollout.person_percent)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One rollout.
#[tracing::instrument(name = "store.rollout.get", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get(conn: &mut Connection, rollout_id: RolloutId) -> Result<Option<Rollout>, StoreError> {
    let row = rollouts!("FROM rollout WHERE rollout_id = $1", rollout_id.0);
    row.fetch_optional(conn).await?.map(Rollout::try_from).transpose()
}

/// The open rollout, of which there is at most one.
#[tracing::instrument(name = "store.rollout.open", target = "countersign_trace", level = "debug", skip_all)]
pub async fn open(conn: &mut Connection) -> Result<Option<Rollout>, StoreError> {
    let row = rollouts!("FROM rollout WHERE state IN ('RUNNING', 'PAUSED')");
    row.fetch_optional(conn).await?.map(Rollout::try_from).transpose()
}

/// Which rollouts to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct RolloutFilter {
    /// In this state.
    pub state: Option<RolloutState>,
    /// To this candidate.
    pub candidate: Option<PolicyVersion>,
    /// Started at or after this instant.
    pub start_time: Option<OffsetDateTime>,
    /// Started before this instant.
    pub end_time: Option<OffsetDateTime>,
}

/// One page of rollouts, newest first.
#[tracing::instrument(name = "store.rollout.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    filter: &RolloutFilter,
    page: &PageRequest,
) -> Result<Page<Rollout>, StoreError> {
    let before = page.after::<RolloutId>()?.map_or(Uuid::max(), |id| id.0);
    let rows = rollouts!(
        "FROM rollout
         WHERE rollout_id < $1
           AND ($2::text IS NULL OR state = $2)
           AND ($3::bigint IS NULL OR candidate = $3)
           AND ($4::timestamptz IS NULL OR create_time >= $4)
           AND ($5::timestamptz IS NULL OR create_time < $5)
         ORDER BY rollout_id DESC LIMIT $6",
        before,
        filter.state.map(RolloutState::as_str),
        filter.candidate.map(|version| version.0),
        filter.start_time,
        filter.end_time,
        page.limit()
    );
    let rollouts = rows.fetch_all(conn).await?.into_iter().map(Rollout::try_from).collect::<Result<_, _>>()?;
    Ok(Page::cut(rollouts, page, |rollout: &Rollout| rollout.rollout_id))
}
