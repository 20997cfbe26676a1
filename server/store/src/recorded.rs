//! Recorded decisions in bulk, for simulations.

use std::collections::BTreeMap;

use countersign_core::{
    ids::InstanceId,
    names::{AgentName, RoleName, SponsorId, ToolId},
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, StoreError,
    convert::{labels, number, parse, parse_all},
};

const TABLE: &str = "instance";

/// The part of the log that a simulation has still to read, by event ids. These are UUIDv7, so they are in the order of
/// the decisions' times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The last event that was read.
    after: Uuid,
    /// The first event that is not to be read.
    end: Uuid,
}

impl Stretch {
    /// From `start` to before `end`, to the millisecond. Instants before 1970 count as 1970.
    #[must_use]
    pub fn new(start: OffsetDateTime, end: OffsetDateTime) -> Self {
        Self { after: Uuid::from_u128(floor(start).saturating_sub(1)), end: Uuid::from_u128(floor(end)) }
    }

    /// The instant of the last event that was read. `None` before the first.
    #[must_use]
    pub fn reached(&self) -> Option<OffsetDateTime> {
        let millis = self.after.as_u128() >> 80;
        OffsetDateTime::from_unix_timestamp_nanos(i128::try_from(millis).ok()? * 1_000_000).ok()
    }
}

/// The smallest UUIDv7 of an instant, the same as `uuid_v7_floor` returns.
fn floor(at: OffsetDateTime) -> u128 {
    u128::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0) << 80
}

/// Which decisions to read. A field that is `None` does not restrict them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this sponsor.
    pub sponsor_id: Option<SponsorId>,
    /// Of this instance.
    pub agent_instance_id: Option<InstanceId>,
    /// On this tool.
    pub tool_id: Option<ToolId>,
    /// Whether to read purposes.
    pub with_purpose: bool,
}

/// A recorded decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedDecision {
    /// The run. `None` if the caller is unknown.
    pub agent_instance_id: Option<InstanceId>,
    /// The event, exactly as hashed.
    pub leaf_bytes: Vec<u8>,
    /// The purpose. `None` if it was erased, was empty, or is not requested.
    pub purpose: Option<String>,
}

struct Row {
    event_id: Uuid,
    instance_id: Option<Uuid>,
    leaf_bytes: Option<Vec<u8>>,
    purpose: Option<String>,
}

/// Reads the decisions among the next `most` events of the stretch, and shortens the stretch by these events. Returns
/// false if there are no more.
///
/// Each call is one statement that reads `most` events, whatever the filter. So no call holds a snapshot for long, and
/// a scan of a year delays no other work.
#[tracing::instrument(name = "store.recorded.read_on", target = "countersign_trace", level = "debug", skip_all)]
pub async fn read_on(
    conn: &mut Connection,
    stretch: &mut Stretch,
    filter: &Filter,
    most: u32,
) -> Result<(Vec<RecordedDecision>, bool), StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT event_id AS "event_id!",
                  instance_id,
                  CASE WHEN wanted THEN leaf_bytes END AS leaf_bytes,
                  CASE WHEN wanted AND $7 THEN purpose END AS purpose
         FROM (
             SELECT event_id, instance_id, leaf_bytes, purpose,
                    kind IN ('decision', 'unattributed')
                    AND ($3::text IS NULL OR sponsor_id = $3)
                    AND ($4::uuid IS NULL OR instance_id = $4)
                    AND ($5::text IS NULL OR tool_id = $5) AS wanted
             FROM custody_event
             WHERE event_id > $1 AND event_id < $2
             ORDER BY event_id LIMIT $6
         ) AS event ORDER BY event_id"#,
        stretch.after,
        stretch.end,
        filter.sponsor_id.as_ref().map(SponsorId::as_str),
        filter.agent_instance_id.map(|id| id.0),
        filter.tool_id.as_ref().map(ToolId::as_str),
        i64::from(most),
        filter.with_purpose,
    )
    .fetch_all(conn)
    .await?;
    let more = rows.len() == usize::try_from(most).unwrap_or(usize::MAX);
    if let Some(last) = rows.last() {
        stretch.after = last.event_id;
    }
    let decision = |row: Row| {
        let agent_instance_id = row.instance_id.map(InstanceId);
        row.leaf_bytes.map(|leaf_bytes| RecordedDecision { agent_instance_id, leaf_bytes, purpose: row.purpose })
    };
    Ok((rows.into_iter().filter_map(decision).collect(), more))
}

/// What a policy can know about a run, besides its sponsor at the time, which is in the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// The run.
    pub agent_instance_id: InstanceId,
    /// The root of its chain.
    pub root_instance_id: InstanceId,
    /// Its kind of agent.
    pub agent: AgentName,
    /// Its role.
    pub role: RoleName,
    /// The inherited roles, which restrict it in addition to its own.
    pub inherited_roles: Vec<RoleName>,
    /// The tools that its credential permits.
    pub tools: Vec<ToolId>,
    /// What it was started for.
    pub purpose: String,
    /// Its distance from the root.
    pub depth: u32,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl RunFacts {
    /// Every role that restricts the run, its own first.
    pub fn roles(&self) -> impl Iterator<Item = &RoleName> {
        [&self.role].into_iter().chain(&self.inherited_roles)
    }
}

struct FactsRow {
    instance_id: Uuid,
    root_instance_id: Uuid,
    agent: String,
    role: String,
    inherited_roles: Option<Vec<String>>,
    tools: Vec<String>,
    purpose: String,
    depth: i32,
    labels: serde_json::Value,
}

impl TryFrom<FactsRow> for RunFacts {
    type Error = StoreError;
    fn try_from(row: FactsRow) -> Result<Self, StoreError> {
        Ok(Self {
            agent_instance_id: InstanceId(row.instance_id),
            root_instance_id: InstanceId(row.root_instance_id),
            agent: parse(TABLE, "agent", &row.agent)?,
            role: parse(TABLE, "role", &row.role)?,
            inherited_roles: parse_all(TABLE, "inherited_roles", &row.inherited_roles.unwrap_or_default())?,
            tools: parse_all(TABLE, "tools", &row.tools)?,
            purpose: row.purpose,
            depth: number(TABLE, "depth", row.depth)?,
            labels: labels(TABLE, row.labels)?,
        })
    }
}

/// The facts of these runs. Unknown ids are ignored.
#[tracing::instrument(name = "store.recorded.facts", target = "countersign_trace", level = "debug", skip_all)]
pub async fn facts(conn: &mut Connection, ids: &[Uuid]) -> Result<Vec<RunFacts>, StoreError> {
    let rows = sqlx::query_as!(
        FactsRow,
        "SELECT instance_id, root_instance_id, agent, role, inherited_roles, tools, purpose, depth, labels
         FROM instance WHERE instance_id = ANY ($1)",
        ids
    );
    rows.fetch_all(conn).await?.into_iter().map(RunFacts::try_from).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_stretch_begins_before_the_first_id_of_its_millisecond() {
        let start = datetime!(2026-01-02 03:04:05.678_9 UTC);
        let stretch = Stretch::new(start, start);
        assert!(stretch.after < stretch.end);
        let begun = Stretch { after: stretch.end, ..stretch };
        assert_eq!(begun.reached(), Some(datetime!(2026-01-02 03:04:05.678 UTC)));
        assert_eq!(Stretch::new(datetime!(1960-01-01 0:00 UTC), start).after, Uuid::nil());
    }
}
