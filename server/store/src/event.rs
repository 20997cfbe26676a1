//! Custody events: appending them under the log head, or only if it has not moved; their day partitions; and reading
//! them back: one by one, or as a chain with its sponsors' events, by filter (ListEvents, ListDecisions), by leaf hash,
//! grants. Decides which filters may scan much of the log.

use std::{collections::BTreeMap, sync::Arc};

use countersign_core::{
    decision::{Effect, Reason},
    ids::{DecisionId, EventId, InstanceId, PolicyVersion, RolloutId},
    names::{ActionName, AgentName, OperatorId, RoleName, SponsorId, ToolId},
};
use countersign_ledger::{commitment::Opening, export::Disclosed, leaf::Kind, merkle::Hash};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError, convert,
    head::{Head, LOG_ID},
};

/// One event to append: its leaf, the values by which it is indexed, and the texts that it commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id.
    pub event_id: EventId,
    /// The leaf's kind.
    pub kind: &'static str,
    /// The leaf's sponsor.
    pub sponsor_id: Option<String>,
    /// The leaf's instance.
    pub instance_id: Option<InstanceId>,
    /// The root of its chain.
    pub root_instance_id: Option<InstanceId>,
    /// The leaf's tool.
    pub tool_id: Option<String>,
    /// The leaf's effect.
    pub effect: Option<&'static str>,
    /// The decision, if the event is a decision's outcome or approval.
    pub decision_id: Option<DecisionId>,
    /// The event, exactly as hashed.
    pub leaf_bytes: Vec<u8>,
    /// Hash of `leaf_bytes`.
    pub leaf_hash: Hash,
    /// The texts beside the leaf.
    pub disclosed: Disclosed,
}

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the log.
    pub log_index: i64,
    /// The event, exactly as hashed.
    pub leaf_bytes: Vec<u8>,
    /// The texts that are not erased.
    pub disclosed: Disclosed,
}

/// Appends `events` after `before` and writes `after`, in one statement, but only if the head is still `before`.
///
/// Returns false, with nothing written, if another transaction moved the head. A caller that holds the lock always gets
/// true. Without the lock this is the optimistic way: a whole batch in one round trip. `after` is `before` with every
/// `leaf_hash` appended in order, and possibly a newer epoch.
#[tracing::instrument(name = "store.event.append", target = "countersign_trace", level = "debug", skip_all)]
pub async fn append(
    conn: &mut Connection,
    before: &Head,
    after: &Head,
    events: &[Arc<NewEvent>],
) -> Result<bool, StoreError> {
    let indices: Vec<i64> = (before.size()..after.size()).collect();
    debug_assert_eq!(indices.len(), events.len(), "one index for each event");
    let column = |get: fn(&NewEvent) -> Option<Uuid>| events.iter().map(|event| get(event)).collect::<Vec<_>>();
    let text = |get: fn(&NewEvent) -> Option<&str>| events.iter().map(|event| get(event)).collect::<Vec<_>>();
    let opened = |get: fn(&Disclosed) -> &Option<Opening>| {
        let openings = || events.iter().map(|event| get(&event.disclosed).as_ref());
        let texts: Vec<_> = openings().map(|opening| opening.map(|o| o.text.as_str())).collect();
        let salts: Vec<_> = openings().map(|opening| opening.map(|o| o.salt.as_slice())).collect();
        (texts, salts)
    };
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id.0).collect();
    let leaves: Vec<&[u8]> = events.iter().map(|event| event.leaf_bytes.as_slice()).collect();
    let (purposes, purpose_salts) = opened(|disclosed| &disclosed.purpose);
    let (reasons, reason_salts) = opened(|disclosed| &disclosed.reason);
    let (identities, identity_salts) = opened(|disclosed| &disclosed.identity);
    let (on_behalf_of, on_behalf_of_salts) = opened(|disclosed| &disclosed.on_behalf_of);
    let moved = sqlx::query_scalar!(
        r#"
        WITH head AS (
            UPDATE log_head SET size = $4, frontier = $5, authority_epoch = $6, revocation_seq = $7
            WHERE log_id = $1 AND size = $2 AND authority_epoch = $3
            RETURNING log_id
        ), appended AS (
            INSERT INTO custody_event (
                log_id, log_index, event_id, kind, sponsor_id, instance_id, root_instance_id, tool_id, effect, decision_id,
                leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt, on_behalf_of,
                on_behalf_of_salt
            )
            SELECT $1, event.log_index, event.event_id, event.kind, event.sponsor_id, event.instance_id, event.root_instance_id,
                event.tool_id, event.effect, event.decision_id, event.leaf_bytes, event.purpose, event.purpose_salt, event.reason,
                event.reason_salt, event.identity, event.identity_salt, event.on_behalf_of, event.on_behalf_of_salt
            FROM UNNEST(
                $8::bigint[], $9::uuid[], $10::text[], $11::text[], $12::uuid[], $13::uuid[], $14::text[], $15::text[],
                $16::uuid[], $17::bytea[], $18::text[], $19::bytea[], $20::text[], $21::bytea[], $22::text[], $23::bytea[],
                $24::text[], $25::bytea[]
            ) AS event (
                log_index, event_id, kind, sponsor_id, instance_id, root_instance_id, tool_id, effect, decision_id, leaf_bytes,
                purpose, purpose_salt, reason, reason_salt, identity, identity_salt, on_behalf_of, on_behalf_of_salt
            ) WHERE EXISTS (SELECT FROM head)
        )
        SELECT count(*) AS "count!" FROM head
        "#,
        LOG_ID,
        before.size(),
        before.authority_epoch,
        after.size(),
        after.frontier.to_bytes(),
        after.authority_epoch,
        after.revocation_seq,
        &indices,
        &ids,
        &text(|event| Some(event.kind)) as &[Option<&str>],
        &text(|event| event.sponsor_id.as_deref()) as &[Option<&str>],
        &column(|event| event.instance_id.map(|id| id.0)) as &[Option<Uuid>],
        &column(|event| event.root_instance_id.map(|id| id.0)) as &[Option<Uuid>],
        &text(|event| event.tool_id.as_deref()) as &[Option<&str>],
        &text(|event| event.effect) as &[Option<&str>],
        &column(|event| event.decision_id.map(|id| id.0)) as &[Option<Uuid>],
        &leaves as &[&[u8]],
        &purposes as &[Option<&str>],
        &purpose_salts as &[Option<&[u8]>],
        &reasons as &[Option<&str>],
        &reason_salts as &[Option<&[u8]>],
        &identities as &[Option<&str>],
        &identity_salts as &[Option<&[u8]>],
        &on_behalf_of as &[Option<&str>],
        &on_behalf_of_salts as &[Option<&[u8]>],
    )
    .fetch_one(conn)
    .await?;
    Ok(moved == 1)
}

/// Creates the day partitions from `from` on where they do not exist.
#[tracing::instrument(name = "store.event.ensure_partitions", target = "countersign_trace", level = "debug", skip_all)]
pub async fn ensure_partitions(conn: &mut Connection, from: OffsetDateTime, days: i32) -> Result<(), StoreError> {
    sqlx::query!("SELECT ensure_custody_partitions($1, $2)", from.date(), days).execute(conn).await?;
    Ok(())
}

pub(crate) struct Row {
    pub(crate) log_index: i64,
    pub(crate) leaf_bytes: Vec<u8>,
    pub(crate) purpose: Option<String>,
    pub(crate) purpose_salt: Option<Vec<u8>>,
    pub(crate) reason: Option<String>,
    pub(crate) reason_salt: Option<Vec<u8>>,
    pub(crate) identity: Option<String>,
    pub(crate) identity_salt: Option<Vec<u8>>,
    pub(crate) on_behalf_of: Option<String>,
    pub(crate) on_behalf_of_salt: Option<Vec<u8>>,
}

fn opening(text: Option<String>, salt: Option<Vec<u8>>) -> Result<Option<Opening>, StoreError> {
    let Some((text, salt)) = text.zip(salt) else { return Ok(None) };
    Ok(Some(Opening { salt: convert::bytes("custody_event", "salt", &salt)?, text }))
}

impl TryFrom<Row> for StoredEvent {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            log_index: row.log_index,
            leaf_bytes: row.leaf_bytes,
            disclosed: Disclosed {
                purpose: opening(row.purpose, row.purpose_salt)?,
                reason: opening(row.reason, row.reason_salt)?,
                identity: opening(row.identity, row.identity_salt)?,
                // Stored with the approval that shows it.
                context: None,
                on_behalf_of: opening(row.on_behalf_of, row.on_behalf_of_salt)?,
            },
        })
    }
}

fn stored(rows: Vec<Row>) -> Result<Vec<StoredEvent>, StoreError> {
    rows.into_iter().map(StoredEvent::try_from).collect()
}

/// The events with these ids, in log order. Unknown ids are ignored.
#[tracing::instrument(name = "store.event.get_all", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get_all(conn: &mut Connection, ids: &[Uuid]) -> Result<Vec<StoredEvent>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                on_behalf_of, on_behalf_of_salt
         FROM custody_event WHERE event_id = ANY ($1) ORDER BY log_index",
        ids
    );
    stored(rows.fetch_all(conn).await?)
}

/// A leaf and its place, exactly as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLeaf {
    /// Its place in the log.
    pub log_index: i64,
    /// Its bytes.
    pub leaf_bytes: Vec<u8>,
}

/// The leaves of the events from index `from` until before `to`, exactly as they are stored, in the order of their
/// indices. Those that are not stored are left out.
#[tracing::instrument(name = "store.event.leaves", target = "countersign_trace", level = "debug", skip_all)]
pub async fn leaves(conn: &mut Connection, from: i64, to: i64) -> Result<Vec<StoredLeaf>, StoreError> {
    let leaves = sqlx::query_as!(
        StoredLeaf,
        "SELECT log_index, leaf_bytes FROM custody_event WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index",
        from,
        to
    );
    Ok(leaves.fetch_all(conn).await?)
}

/// The events with these leaf hashes, among those of these chains and those about these sponsors themselves.
#[tracing::instrument(name = "store.event.by_leaf_hash", target = "countersign_trace", level = "debug", skip_all)]
pub async fn by_leaf_hash(
    conn: &mut Connection,
    hashes: &[Vec<u8>],
    roots: &[Uuid],
    sponsors: &[String],
) -> Result<Vec<StoredEvent>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT log_index AS "log_index!", leaf_bytes AS "leaf_bytes!", purpose, purpose_salt, reason, reason_salt,
                  identity, identity_salt, on_behalf_of, on_behalf_of_salt
         FROM (
            SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                   on_behalf_of, on_behalf_of_salt
            FROM custody_event WHERE root_instance_id = ANY ($2)
            UNION ALL
            SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                   on_behalf_of, on_behalf_of_salt
            FROM custody_event WHERE instance_id IS NULL AND sponsor_id = ANY ($3)
         ) AS event
         WHERE sha256('\x00'::bytea || leaf_bytes) = ANY ($1)"#,
        hashes,
        roots,
        sponsors
    );
    stored(rows.fetch_all(conn).await?)
}

/// The manifests that were appended before `at`, to the millisecond: the last `most`, newest first.
#[tracing::instrument(name = "store.event.manifests_before", target = "countersign_trace", level = "debug", skip_all)]
pub async fn manifests_before(
    conn: &mut Connection,
    at: OffsetDateTime,
    most: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                on_behalf_of, on_behalf_of_salt
         FROM custody_event WHERE kind = 'manifest' AND event_id < uuid_v7_floor($1) ORDER BY log_index DESC LIMIT $2",
        at,
        most
    );
    stored(rows.fetch_all(conn).await?)
}

/// The first `most` manifests from index `from` on, in log order.
#[tracing::instrument(name = "store.event.manifests_from", target = "countersign_trace", level = "debug", skip_all)]
pub async fn manifests_from(conn: &mut Connection, from: i64, most: i64) -> Result<Vec<StoredEvent>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                on_behalf_of, on_behalf_of_salt
         FROM custody_event WHERE kind = 'manifest' AND log_index >= $1 ORDER BY log_index LIMIT $2",
        from,
        most
    );
    stored(rows.fetch_all(conn).await?)
}

/// The events of a sponsor from index `from` until before `to`, in log order.
#[tracing::instrument(name = "store.event.of_sponsor", target = "countersign_trace", level = "debug", skip_all)]
pub async fn of_sponsor(
    conn: &mut Connection,
    sponsor_id: &SponsorId,
    from: i64,
    to: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                on_behalf_of, on_behalf_of_salt
         FROM custody_event WHERE log_index >= $2 AND log_index < $3 AND sponsor_id = $1 ORDER BY log_index",
        sponsor_id.as_str(),
        from,
        to
    );
    stored(rows.fetch_all(conn).await?)
}

/// The event that granted an instance its newest credential. `None` if the log no longer holds it.
#[tracing::instrument(name = "store.event.newest_grant", target = "countersign_trace", level = "debug", skip_all)]
pub async fn newest_grant(conn: &mut Connection, instance: InstanceId) -> Result<Option<StoredEvent>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                on_behalf_of, on_behalf_of_salt
         FROM custody_event WHERE instance_id = $1 AND kind IN ('credential_issued', 'delegated')
         ORDER BY log_index DESC LIMIT 1",
        instance.0
    );
    row.fetch_optional(conn).await?.map(StoredEvent::try_from).transpose()
}

/// The operators who requested credentials for these instances, each once.
#[tracing::instrument(name = "store.event.issuers", target = "countersign_trace", level = "debug", skip_all)]
pub async fn issuers(conn: &mut Connection, instances: &[Uuid]) -> Result<Vec<OperatorId>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"SELECT DISTINCT convert_from(leaf_bytes, 'UTF8')::jsonb ->> 'operator_id' AS "operator_id" FROM custody_event
         WHERE instance_id = ANY ($1) AND kind IN ('credential_issued', 'delegated')"#,
        instances
    );
    let ids = ids.fetch_all(conn).await?;
    ids.iter().flatten().map(|id| convert::parse("custody_event", "operator_id", id)).collect()
}

/// The event of a grant to an instance, by its leaf hash, which decisions refer to as `custody_ref`. `None` if the log
/// no longer holds it.
#[tracing::instrument(name = "store.event.grant", target = "countersign_trace", level = "debug", skip_all)]
pub async fn grant(
    conn: &mut Connection,
    instance: InstanceId,
    leaf_hash: &Hash,
) -> Result<Option<StoredEvent>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                on_behalf_of, on_behalf_of_salt
         FROM custody_event WHERE instance_id = $1 AND kind IN ('credential_issued', 'delegated')
           AND sha256('\\x00'::bytea || leaf_bytes) = $2
         ORDER BY log_index DESC LIMIT 1",
        instance.0,
        leaf_hash.as_slice()
    );
    row.fetch_optional(conn).await?.map(StoredEvent::try_from).transpose()
}

/// Whether `operator` asked for one of the first `most` decisions of this instance.
#[tracing::instrument(name = "store.event.asked", target = "countersign_trace", level = "debug", skip_all)]
pub async fn asked(
    conn: &mut Connection,
    instance: InstanceId,
    root: InstanceId,
    since: OffsetDateTime,
    operator: &str,
    most: i64,
) -> Result<bool, StoreError> {
    let asked = sqlx::query_scalar!(
        r#"SELECT coalesce(bool_or(convert_from(leaf_bytes, 'UTF8')::json ->> 'operator_id' = $4), false) AS "asked!"
           FROM (
               SELECT leaf_bytes FROM custody_event
               WHERE root_instance_id = $1 AND instance_id = $2 AND kind = 'decision' AND event_id >= uuid_v7_floor($3)
               LIMIT $5
           ) AS decision"#,
        root.0,
        instance.0,
        since,
        operator,
        most
    );
    Ok(asked.fetch_one(conn).await?)
}

/// What a credential says about the event that granted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantKey {
    /// The instance that holds it.
    pub agent_instance_id: InstanceId,
    /// The event's leaf hash.
    pub custody_ref: Hash,
    /// The second in which it was granted, which names the partition to search.
    pub grant_time: OffsetDateTime,
}

/// The event of a grant, and the attributes that are fixed for the instance.
#[derive(Debug, Clone)]
pub struct StoredGrant {
    /// The event, exactly as hashed.
    pub leaf_bytes: Vec<u8>,
    /// The holder.
    pub agent_instance_id: InstanceId,
    /// Its ancestors, root first.
    pub chain: Vec<InstanceId>,
    /// The inherited roles, which restrict it in addition to its own.
    pub inherited_roles: Vec<RoleName>,
    /// The kind of agent of the root, where it is another one.
    pub root_agent: Option<AgentName>,
    /// What it was started for. Empty after erasure.
    pub purpose: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The end user for whom it acts.
    pub on_behalf_of: Option<String>,
}

/// Which of these grants the log holds, each with its position in `keys`.
#[tracing::instrument(name = "store.event.grants", target = "countersign_trace", level = "debug", skip_all)]
pub async fn grants(conn: &mut Connection, keys: &[GrantKey]) -> Result<Vec<(usize, StoredGrant)>, StoreError> {
    let instances: Vec<_> = keys.iter().map(|key| key.agent_instance_id.0).collect();
    let hashes: Vec<_> = keys.iter().map(|key| key.custody_ref.to_vec()).collect();
    let times: Vec<_> = keys.iter().map(|key| key.grant_time).collect();
    let rows = sqlx::query!(
        r#"SELECT wanted.place AS "place!", event.leaf_bytes AS "leaf_bytes!", instance.instance_id, instance.chain,
                  instance.inherited_roles, instance.root_agent, instance.purpose, instance.labels, instance.on_behalf_of
         FROM unnest($1::uuid[], $2::bytea[], $3::timestamptz[]) WITH ORDINALITY AS wanted (id, hash, time, place)
         JOIN instance ON instance.instance_id = wanted.id,
         LATERAL (
             SELECT leaf_bytes FROM custody_event
             WHERE instance_id = wanted.id AND kind IN ('credential_issued', 'delegated')
               AND event_id >= uuid_v7_floor(wanted.time) AND event_id < uuid_v7_floor(wanted.time + interval '1 second')
               AND sha256('\x00'::bytea || leaf_bytes) = wanted.hash
             LIMIT 1
         ) AS event"#,
        &instances,
        &hashes,
        &times
    );
    let mut grants = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let grant = StoredGrant {
            leaf_bytes: row.leaf_bytes,
            agent_instance_id: InstanceId(row.instance_id),
            chain: row.chain.into_iter().map(InstanceId).collect(),
            inherited_roles: convert::parse_all(
                "instance",
                "inherited_roles",
                &row.inherited_roles.unwrap_or_default(),
            )?,
            root_agent: row.root_agent.map(|agent| convert::parse("instance", "root_agent", &agent)).transpose()?,
            purpose: row.purpose,
            labels: convert::labels("instance", row.labels)?,
            on_behalf_of: row.on_behalf_of,
        };
        grants.push((usize::try_from(row.place - 1).unwrap_or(usize::MAX), grant));
    }
    Ok(grants)
}

/// Which events to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// From this index on.
    pub start_index: Option<i64>,
    /// This kind.
    pub kind: Option<Kind>,
    /// This sponsor's.
    pub sponsor_id: Option<SponsorId>,
    /// Of this chain.
    pub root_instance_id: Option<InstanceId>,
    /// Of this instance.
    pub agent_instance_id: Option<InstanceId>,
    /// On this tool.
    pub tool_id: Option<ToolId>,
    /// With this answer.
    pub effect: Option<Effect>,
    /// This decision, its outcomes and its approval.
    pub policy_decision_id: Option<DecisionId>,
    /// At or after this instant.
    pub start_time: Option<OffsetDateTime>,
    /// Before this instant.
    pub end_time: Option<OffsetDateTime>,
}

impl EventFilter {
    /// Whether no index serves this filter, so that much of the log may have to be read.
    #[must_use]
    pub const fn may_scan(&self) -> bool {
        let restricted = self.kind.is_some()
            || self.sponsor_id.is_some()
            || self.agent_instance_id.is_some()
            || self.tool_id.is_some()
            || self.effect.is_some()
            || self.policy_decision_id.is_some();
        restricted && self.root_instance_id.is_none()
    }
}

/// One page of events, in log order.
#[tracing::instrument(name = "store.event.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    filter: &EventFilter,
    page: &PageRequest,
) -> Result<Page<StoredEvent>, StoreError> {
    let after = page.after::<i64>()?.map_or(0, |last| last.saturating_add(1));
    let rows = sqlx::query_as!(
        Row,
        "SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                on_behalf_of, on_behalf_of_salt
         FROM custody_event
         WHERE log_index >= $1
           AND ($2::text IS NULL OR kind = $2)
           AND ($3::text IS NULL OR sponsor_id = $3)
           AND ($4::uuid IS NULL OR root_instance_id = $4)
           AND ($5::uuid IS NULL OR instance_id = $5)
           AND ($6::text IS NULL OR tool_id = $6)
           AND ($7::text IS NULL OR effect = $7)
           AND ($8::uuid IS NULL OR event_id = $8 OR decision_id = $8)
           AND ($9::timestamptz IS NULL OR event_id >= uuid_v7_floor($9))
           AND ($10::timestamptz IS NULL OR event_id < uuid_v7_floor($10))
         ORDER BY log_index LIMIT $11",
        after.max(filter.start_index.unwrap_or(0)),
        filter.kind.map(Kind::as_str),
        filter.sponsor_id.as_ref().map(SponsorId::as_str),
        filter.root_instance_id.map(|id| id.0),
        filter.agent_instance_id.map(|id| id.0),
        filter.tool_id.as_ref().map(ToolId::as_str),
        filter.effect.map(Effect::as_str),
        filter.policy_decision_id.map(|id| id.0),
        filter.start_time,
        filter.end_time,
        page.limit()
    );
    let events = stored(rows.fetch_all(conn).await?)?;
    Ok(Page::cut(events, page, |event| event.log_index))
}

/// Which decisions to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter {
    /// Of this sponsor.
    pub sponsor_id: Option<SponsorId>,
    /// Of this instance.
    pub agent_instance_id: Option<InstanceId>,
    /// Of this chain.
    pub root_instance_id: Option<InstanceId>,
    /// On this tool.
    pub tool_id: Option<ToolId>,
    /// This answer.
    pub effect: Option<Effect>,
    /// This action; read out of the leaf.
    pub action: Option<ActionName>,
    /// This reason; read out of the leaf.
    pub reason: Option<Reason>,
    /// Answered by this policy version; read out of the leaf.
    pub policy_version: Option<PolicyVersion>,
    /// Under this rollout; read out of the leaf.
    pub rollout_id: Option<RolloutId>,
    /// The other side of a rollout would have given this answer; read out of the leaf.
    pub shadow_effect: Option<Effect>,
    /// Only if the other side of a rollout would have given a different answer; read out of the leaf.
    pub shadow_disagrees: bool,
    /// At or after this instant.
    pub start_time: Option<OffsetDateTime>,
    /// Before this instant.
    pub end_time: Option<OffsetDateTime>,
}

impl DecisionFilter {
    /// Whether no index serves this filter, so that much of the log may have to be read.
    #[must_use]
    pub const fn may_scan(&self) -> bool {
        let restricted = self.sponsor_id.is_some()
            || self.agent_instance_id.is_some()
            || self.tool_id.is_some()
            || self.effect.is_some()
            || self.action.is_some()
            || self.reason.is_some()
            || self.policy_version.is_some()
            || self.rollout_id.is_some()
            || self.shadow_effect.is_some()
            || self.shadow_disagrees;
        restricted && self.root_instance_id.is_none()
    }
}

/// One page of decisions, newest first.
#[tracing::instrument(name = "store.event.list_decisions", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list_decisions(
    conn: &mut Connection,
    filter: &DecisionFilter,
    page: &PageRequest,
) -> Result<Page<StoredEvent>, StoreError> {
    let before = page.after::<i64>()?.unwrap_or(i64::MAX);
    let rows = sqlx::query_as!(
        Row,
        "SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                on_behalf_of, on_behalf_of_salt
         FROM custody_event
         WHERE kind IN ('decision', 'unattributed') AND log_index < $1
           AND ($2::text IS NULL OR sponsor_id = $2)
           AND ($3::uuid IS NULL OR instance_id = $3)
           AND ($4::uuid IS NULL OR root_instance_id = $4)
           AND ($5::text IS NULL OR tool_id = $5)
           AND ($6::text IS NULL OR effect = $6)
           AND ($7::text IS NULL OR convert_from(leaf_bytes, 'UTF8')::json ->> 'action' = $7)
           AND ($8::text IS NULL OR convert_from(leaf_bytes, 'UTF8')::json ->> 'reason' = $8)
           AND ($9::text IS NULL OR convert_from(leaf_bytes, 'UTF8')::json ->> 'policy_version' = $9)
           AND ($10::text IS NULL OR convert_from(leaf_bytes, 'UTF8')::json #>> '{rollout,id}' = $10)
           AND ($11::timestamptz IS NULL OR event_id >= uuid_v7_floor($11))
           AND ($12::timestamptz IS NULL OR event_id < uuid_v7_floor($12))
           AND ($14::text IS NULL OR convert_from(leaf_bytes, 'UTF8')::json #>> '{shadow,effect}' = $14)
           AND (NOT $15::boolean OR convert_from(leaf_bytes, 'UTF8')::json #>> '{shadow,effect}' <> effect)
         ORDER BY log_index DESC LIMIT $13",
        before,
        filter.sponsor_id.as_ref().map(SponsorId::as_str),
        filter.agent_instance_id.map(|id| id.0),
        filter.root_instance_id.map(|id| id.0),
        filter.tool_id.as_ref().map(ToolId::as_str),
        filter.effect.map(Effect::as_str),
        filter.action.as_ref().map(ActionName::as_str),
        filter.reason.map(Reason::as_str),
        filter.policy_version.map(|version| version.to_string()),
        filter.rollout_id.map(|id| id.to_string()),
        filter.start_time,
        filter.end_time,
        page.limit(),
        filter.shadow_effect.map(Effect::as_str),
        filter.shadow_disagrees
    );
    let events = stored(rows.fetch_all(conn).await?)?;
    Ok(Page::cut(events, page, |event| event.log_index))
}

/// The events of a chain, and those about its sponsors themselves, in log order, at most `most`. A chain has several
/// sponsors if another sponsor accepted its root.
#[tracing::instrument(name = "store.event.chain", target = "countersign_trace", level = "debug", skip_all)]
pub async fn chain(
    conn: &mut Connection,
    root: InstanceId,
    sponsor_id: &str,
    most: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT log_index AS "log_index!", leaf_bytes AS "leaf_bytes!", purpose, purpose_salt, reason, reason_salt,
                  identity, identity_salt, on_behalf_of, on_behalf_of_salt
         FROM (
            SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                   on_behalf_of, on_behalf_of_salt
            FROM custody_event WHERE root_instance_id = $1
            UNION ALL
            SELECT log_index, leaf_bytes, purpose, purpose_salt, reason, reason_salt, identity, identity_salt,
                   on_behalf_of, on_behalf_of_salt
            FROM custody_event WHERE instance_id IS NULL AND sponsor_id = ANY ($2 || ARRAY(
                SELECT sponsor_id FROM custody_event
                WHERE root_instance_id = $1 AND kind IN ('credential_issued', 'instance_accepted')
            ))
         ) AS event
         ORDER BY log_index LIMIT $3"#,
        root.0,
        &[sponsor_id.to_owned()],
        most
    );
    stored(rows.fetch_all(conn).await?)
}
