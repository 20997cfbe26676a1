//! Instances: stored, listed, and counted while live; their state by the revocation entries and the clock (expired). A
//! decision does not read them: the credential carries all that it needs.

use countersign_core::{
    ids::{CredentialId, InstanceId},
    instance::{Instance, InstanceState},
    names::{AgentName, RoleName, SponsorId},
};
use countersign_ledger::leaf::Digest;
use serde::Serialize;
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    convert::{bytes, labels, number, parse, parse_all},
};

const TABLE: &str = "instance";

/// An instance in its state by the revocation entries, and the state that its row shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInstance {
    /// The instance, in the state that the entries have put it in.
    pub instance: Instance,
    /// The state in its row, which is updated later.
    pub row_state: InstanceState,
}

struct Row {
    instance_id: Uuid,
    parent_id: Option<Uuid>,
    root_instance_id: Uuid,
    chain: Vec<Uuid>,
    sponsor_id: String,
    agent: String,
    role: String,
    inherited_roles: Option<Vec<String>>,
    tools: Vec<String>,
    purpose: String,
    depth: i32,
    state: String,
    labels: serde_json::Value,
    create_time: OffsetDateTime,
    expire_time: OffsetDateTime,
    end_time: Option<OffsetDateTime>,
    rev: i64,
    custody_ref: Vec<u8>,
    revision: i64,
    on_behalf_of: Option<String>,
    parent_credential_id: Option<Uuid>,
    root_agent: Option<String>,
    standing: String,
    since: Option<OffsetDateTime>,
}

/// The columns of a [`Row`], followed by the rest of the statement.
macro_rules! instances {
    ($rest:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT instance_id, parent_id, root_instance_id, chain, sponsor_id, agent, role, inherited_roles, tools, purpose,
                      depth, state, labels, create_time, expire_time, end_time, rev, custody_ref, revision, on_behalf_of,
                      parent_credential_id, root_agent, at.standing AS "standing!", at.since
               FROM instance, instance_standing(instance) AS at "# + $rest
            $(, $value)*
        )
    };
}

impl TryFrom<Row> for StoredInstance {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let instance = Instance {
            agent_instance_id: InstanceId(row.instance_id),
            parent_agent_id: row.parent_id.map(InstanceId),
            root_instance_id: InstanceId(row.root_instance_id),
            chain: row.chain.into_iter().map(InstanceId).collect(),
            sponsor_id: parse(TABLE, "sponsor_id", &row.sponsor_id)?,
            agent: parse(TABLE, "agent", &row.agent)?,
            role: parse(TABLE, "role", &row.role)?,
            inherited_roles: parse_all(TABLE, "inherited_roles", &row.inherited_roles.unwrap_or_default())?,
            tools: parse_all(TABLE, "tools", &row.tools)?,
            purpose: row.purpose,
            depth: number(TABLE, "depth", row.depth)?,
            state: parse(TABLE, "state", &row.standing)?,
            labels: labels(TABLE, row.labels)?,
            create_time: row.create_time,
            expire_time: row.expire_time,
            end_time: row.end_time.or(row.since),
            rev: row.rev,
            custody_ref: bytes(TABLE, "custody_ref", &row.custody_ref)?,
            revision: row.revision,
            on_behalf_of: row.on_behalf_of,
            parent_credential_id: row.parent_credential_id.map(CredentialId),
            root_agent: row.root_agent.map(|agent| parse(TABLE, "root_agent", &agent)).transpose()?,
        };
        Ok(Self { instance, row_state: parse(TABLE, "state", &row.state)? })
    }
}

/// A row in the form in which Postgres reads it from JSON; the field names are the column names.
#[derive(Serialize)]
struct NewRow<'a> {
    instance_id: Uuid,
    parent_id: Option<Uuid>,
    root_instance_id: Uuid,
    chain: Vec<Uuid>,
    sponsor_id: &'a str,
    agent: &'a str,
    role: &'a str,
    inherited_roles: &'a [countersign_core::names::RoleName],
    tools: &'a [countersign_core::names::ToolId],
    purpose: &'a str,
    depth: u32,
    state: &'static str,
    labels: &'a std::collections::BTreeMap<String, String>,
    #[serde(with = "time::serde::rfc3339")]
    create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expire_time: OffsetDateTime,
    rev: i64,
    custody_ref: String,
    revision: i64,
    on_behalf_of: Option<&'a str>,
    parent_credential_id: Option<Uuid>,
    root_agent: Option<&'a str>,
}

impl<'a> NewRow<'a> {
    fn of(instance: &'a Instance) -> Self {
        Self {
            instance_id: instance.agent_instance_id.0,
            parent_id: instance.parent_agent_id.map(|id| id.0),
            root_instance_id: instance.root_instance_id.0,
            chain: instance.chain.iter().map(|id| id.0).collect(),
            sponsor_id: instance.sponsor_id.as_str(),
            agent: instance.agent.as_str(),
            role: instance.role.as_str(),
            inherited_roles: &instance.inherited_roles,
            tools: &instance.tools,
            purpose: &instance.purpose,
            depth: instance.depth,
            state: instance.state.as_str(),
            labels: &instance.labels,
            create_time: instance.create_time,
            expire_time: instance.expire_time,
            rev: instance.rev,
            custody_ref: format!("\\x{}", Digest(instance.custody_ref)),
            revision: instance.revision,
            on_behalf_of: instance.on_behalf_of.as_deref(),
            parent_credential_id: instance.parent_credential_id.map(|id| id.0),
            root_agent: instance.root_agent.as_ref().map(countersign_core::names::AgentName::as_str),
        }
    }
}

/// Stores instances. For one that exists already, its newest credential is recorded.
#[tracing::instrument(name = "store.instance.upsert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn upsert<'a>(
    conn: &mut Connection,
    instances: impl IntoIterator<Item = &'a Instance>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = instances.into_iter().map(NewRow::of).collect();
    let rows = serde_json::to_value(rows).map_err(|error| StoreError::corrupt(TABLE, error))?;
    sqlx::query!(
        "INSERT INTO instance (instance_id, parent_id, root_instance_id, chain, sponsor_id, agent, role, inherited_roles, tools,
             purpose, depth, state, labels, create_time, expire_time, rev, custody_ref, revision, on_behalf_of,
             parent_credential_id, root_agent)
         SELECT instance_id, parent_id, root_instance_id, chain, sponsor_id, agent, role, inherited_roles, tools, purpose, depth,
             state, labels, create_time, expire_time, rev, custody_ref, revision, on_behalf_of, parent_credential_id, root_agent
         FROM jsonb_populate_recordset(NULL::instance, $1)
         ON CONFLICT (instance_id) DO UPDATE SET
             expire_time = greatest(instance.expire_time, excluded.expire_time),
             rev = excluded.rev, custody_ref = excluded.custody_ref, revision = instance.revision + 1",
        rows
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The instances with these ids. Unknown ids are ignored.
#[tracing::instrument(name = "store.instance.get_all", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get_all(conn: &mut Connection, ids: &[Uuid]) -> Result<Vec<StoredInstance>, StoreError> {
    let rows = instances!("WHERE instance_id = ANY ($1)", ids);
    rows.fetch_all(conn).await?.into_iter().map(StoredInstance::try_from).collect()
}

/// The instances of a chain, the root first, then by time of start; at most `most`.
#[tracing::instrument(name = "store.instance.chain", target = "countersign_trace", level = "debug", skip_all)]
pub async fn chain(conn: &mut Connection, root: InstanceId, most: i64) -> Result<Vec<StoredInstance>, StoreError> {
    let rows = instances!("WHERE root_instance_id = $1 ORDER BY depth > 0, instance_id LIMIT $2", root.0, most);
    rows.fetch_all(conn).await?.into_iter().map(StoredInstance::try_from).collect()
}

/// How many live instances a sponsor has.
#[tracing::instrument(name = "store.instance.count_live", target = "countersign_trace", level = "debug", skip_all)]
pub async fn count_live(conn: &mut Connection, sponsor: &SponsorId, now: OffsetDateTime) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM instance, instance_standing(instance) AS at
         WHERE sponsor_id = $1 AND state = 'LIVE' AND expire_time > $2 AND at.standing = 'LIVE'"#,
        sponsor.as_str(),
        now
    );
    Ok(count.fetch_one(conn).await?)
}

/// How many live instances are below this one, at any depth.
#[tracing::instrument(
    name = "store.instance.count_live_below",
    target = "countersign_trace",
    level = "debug",
    skip_all
)]
pub async fn count_live_below(
    conn: &mut Connection,
    instance: &Instance,
    now: OffsetDateTime,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM instance, instance_standing(instance) AS at
         WHERE root_instance_id = $1 AND $2 = ANY (chain) AND state = 'LIVE' AND expire_time > $3
           AND at.standing = 'LIVE'"#,
        instance.root_instance_id.0,
        instance.agent_instance_id.0,
        now
    );
    Ok(count.fetch_one(conn).await?)
}

/// Writes what a state transition or an acceptance changes.
#[tracing::instrument(name = "store.instance.update", target = "countersign_trace", level = "debug", skip_all)]
pub async fn update(conn: &mut Connection, instance: &Instance) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE instance SET sponsor_id = $2, state = $3, expire_time = $4, end_time = $5, rev = $6, custody_ref = $7,
             revision = $8
         WHERE instance_id = $1",
        instance.agent_instance_id.0,
        instance.sponsor_id.as_str(),
        instance.state.as_str(),
        instance.expire_time,
        instance.end_time,
        instance.rev,
        instance.custody_ref.as_slice(),
        instance.revision,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A set of instances that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holding {
    /// All instances of a sponsor.
    Sponsor(SponsorId),
    /// All instances of the chain with this root, including the root.
    Chain(InstanceId),
}

impl Holding {
    /// Whether the instance belongs to this set.
    #[must_use]
    pub fn holds(&self, instance: &Instance) -> bool {
        match self {
            Self::Sponsor(id) => *id == instance.sponsor_id,
            Self::Chain(root) => *root == instance.root_instance_id,
        }
    }
}

/// How many instances are live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// The number of live instances.
    pub count: i64,
    /// When the first of them expires, unless it is renewed. `None` if there are no live instances.
    pub next_expiry: Option<OffsetDateTime>,
}

/// How many instances of each holding are live, in the order of the holdings. Without `exactly`, instances that a
/// revocation stopped but whose rows do not show it yet are counted too: this is cheaper, and the count is never too
/// low.
#[tracing::instrument(name = "store.instance.live", target = "countersign_trace", level = "debug", skip_all)]
pub async fn live(
    conn: &mut Connection,
    of: &[Holding],
    now: OffsetDateTime,
    exactly: bool,
) -> Result<Vec<Live>, StoreError> {
    let (sponsors, roots): (Vec<_>, Vec<_>) = of
        .iter()
        .map(|holding| match holding {
            Holding::Sponsor(id) => (Some(id.to_string()), None),
            Holding::Chain(id) => (None, Some(id.0)),
        })
        .unzip();
    let rows = sqlx::query!(
        r#"SELECT live.count AS "count!", live.next_expiry
         FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS wanted (sponsor, root, place),
              LATERAL (
                  SELECT count(*) AS count, min(expire_time) AS next_expiry FROM (
                      SELECT expire_time FROM instance
                      WHERE sponsor_id = wanted.sponsor AND state = 'LIVE' AND expire_time > $3
                        AND (NOT $4 OR EXISTS (SELECT FROM instance_standing(instance) AS at WHERE at.standing = 'LIVE'))
                      UNION ALL
                      SELECT expire_time FROM instance
                      WHERE root_instance_id = wanted.root AND state = 'LIVE' AND expire_time > $3
                        AND (NOT $4 OR EXISTS (SELECT FROM instance_standing(instance) AS at WHERE at.standing = 'LIVE'))
                  ) AS standing
              ) AS live
         ORDER BY wanted.place"#,
        &sponsors as &[Option<String>],
        &roots as &[Option<Uuid>],
        now,
        exactly
    );
    let rows = rows.fetch_all(conn).await?;
    Ok(rows.into_iter().map(|row| Live { count: row.count, next_expiry: row.next_expiry }).collect())
}

/// The state of an instance at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// In this state. If LIVE, its last credential is valid.
    In(InstanceState),
    /// LIVE, but its last credential has expired.
    Expired,
}

impl Standing {
    /// The word that the list filter compares with.
    const fn as_str(self) -> &'static str {
        match self {
            Self::In(state) => state.as_str(),
            Self::Expired => "EXPIRED",
        }
    }
}

impl StoredInstance {
    /// Its state at `now`; the SQL of the list filter follows the same rule.
    #[must_use]
    pub fn standing(&self, now: OffsetDateTime) -> Standing {
        match self.instance.state {
            InstanceState::Live if self.instance.expire_time <= now => Standing::Expired,
            state => Standing::In(state),
        }
    }
}

/// Which instances to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct InstanceFilter {
    /// Of this sponsor.
    pub sponsor_id: Option<SponsorId>,
    /// Of this chain.
    pub root_instance_id: Option<InstanceId>,
    /// Direct children of this instance.
    pub parent_agent_id: Option<InstanceId>,
    /// In this state.
    pub standing: Option<Standing>,
    /// This kind of agent.
    pub agent: Option<AgentName>,
    /// This role.
    pub role: Option<RoleName>,
    /// Started at or after this instant.
    pub start_time: Option<OffsetDateTime>,
    /// Started before this instant.
    pub end_time: Option<OffsetDateTime>,
}

/// One page of instances in their state at `now`, newest first.
#[tracing::instrument(name = "store.instance.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    filter: &InstanceFilter,
    now: OffsetDateTime,
    page: &PageRequest,
) -> Result<Page<StoredInstance>, StoreError> {
    let before = page.after::<InstanceId>()?.map_or(Uuid::max(), |id| id.0);
    let rows = instances!(
        "WHERE instance_id < $1
           AND ($2::text IS NULL OR sponsor_id = $2)
           AND ($3::uuid IS NULL OR root_instance_id = $3)
           AND ($4::uuid IS NULL OR parent_id = $4)
           AND ($5::text IS NULL OR agent = $5)
           AND ($6::text IS NULL OR role = $6)
           AND ($7::timestamptz IS NULL OR create_time >= $7)
           AND ($8::timestamptz IS NULL OR create_time < $8)
           AND ($9::text IS NULL OR $9 = CASE
               WHEN at.standing = 'LIVE' AND expire_time <= $10 THEN 'EXPIRED'
               ELSE at.standing
           END)
         ORDER BY instance_id DESC LIMIT $11",
        before,
        filter.sponsor_id.as_ref().map(SponsorId::as_str),
        filter.root_instance_id.map(|id| id.0),
        filter.parent_agent_id.map(|id| id.0),
        filter.agent.as_ref().map(AgentName::as_str),
        filter.role.as_ref().map(RoleName::as_str),
        filter.start_time,
        filter.end_time,
        filter.standing.map(Standing::as_str),
        now,
        page.limit()
    );
    let instances = rows.fetch_all(conn).await?.into_iter().map(StoredInstance::try_from).collect::<Result<_, _>>()?;
    Ok(Page::cut(instances, page, |stored: &StoredInstance| stored.instance.agent_instance_id))
}
