//! Brings the rows of instances up to date with revocation entries, in batches: which instances an entry stopped; also
//! the live children of a credential, and the orphans of a departed sponsor.
//!
//! An entry is one row, however many instances it stops. The rows of the instances are updated later in batches, each
//! in a transaction under the log head, so that several servers that do this at once do each batch only once.

use countersign_core::{
    ids::{CredentialId, InstanceId},
    instance::InstanceState,
    names::SponsorId,
    revocation::{Revocation, RevocationKind},
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, StoreError,
    convert::{bytes, parse},
};

/// An instance that an entry stopped, and whose row does not show it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedInstance {
    /// Which one.
    pub agent_instance_id: InstanceId,
    /// Its parent.
    pub parent_agent_id: Option<InstanceId>,
    /// The root of its chain.
    pub root_instance_id: InstanceId,
    /// Its sponsor at the time.
    pub sponsor_id: SponsorId,
    /// The state of its row.
    pub state: InstanceState,
    /// Leaf hash of its last grant.
    pub custody_ref: [u8; 32],
}

struct Row {
    instance_id: Uuid,
    parent_id: Option<Uuid>,
    root_instance_id: Uuid,
    sponsor_id: String,
    state: String,
    custody_ref: Vec<u8>,
}

impl TryFrom<Row> for StoppedInstance {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            agent_instance_id: InstanceId(row.instance_id),
            parent_agent_id: row.parent_id.map(InstanceId),
            root_instance_id: InstanceId(row.root_instance_id),
            sponsor_id: parse("instance", "sponsor_id", &row.sponsor_id)?,
            state: parse("instance", "state", &row.state)?,
            custody_ref: bytes("instance", "custody_ref", &row.custody_ref)?,
        })
    }
}

/// An entry that the rows of instances do not show yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRevocation {
    /// The entry.
    pub entry: Revocation,
    /// Whether it is the departure of a sponsor: the instances that it stops become ORPHANED instead of REVOKED.
    pub departure: bool,
}

/// Whether there is an entry that rows do not show yet. Takes no lock.
#[tracing::instrument(name = "store.settlement.is_behind", target = "countersign_trace", level = "debug", skip_all)]
pub async fn is_behind(conn: &mut Connection) -> Result<bool, StoreError> {
    let behind =
        sqlx::query_scalar!(r#"SELECT s.seq < h.revocation_seq AS "behind!" FROM settled_revocation s, log_head h"#);
    Ok(behind.fetch_optional(conn).await?.unwrap_or(false))
}

/// The oldest entry that rows do not show yet, among the kinds that stop instances.
#[tracing::instrument(name = "store.settlement.next", target = "countersign_trace", level = "debug", skip_all)]
pub async fn next(conn: &mut Connection) -> Result<Option<PendingRevocation>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT seq, kind, id, create_time,
                  EXISTS (SELECT FROM sponsor WHERE sponsor_id = r.id AND depart_seq = r.seq) AS "departure!"
         FROM revocation r
         WHERE seq > (SELECT seq FROM settled_revocation) AND kind IN ('sponsor', 'instance', 'all')
         ORDER BY seq LIMIT 1"#
    );
    let Some(row) = row.fetch_optional(conn).await? else { return Ok(None) };
    let entry = Revocation {
        seq: row.seq,
        kind: parse("revocation", "kind", &row.kind)?,
        id: row.id,
        create_time: row.create_time,
    };
    Ok(Some(PendingRevocation { departure: row.departure && entry.kind == RevocationKind::Sponsor, entry }))
}

/// Records that rows show every entry up to `seq`.
#[tracing::instrument(name = "store.settlement.advance", target = "countersign_trace", level = "debug", skip_all)]
pub async fn advance(conn: &mut Connection, seq: i64) -> Result<(), StoreError> {
    sqlx::query!("UPDATE settled_revocation SET seq = $1 WHERE seq < $1", seq).execute(conn).await?;
    Ok(())
}

/// Instances that `entry` stopped and whose rows do not show it, at most `most`: those that were live when the entry
/// was made and, unless it is a departure, those that an earlier departure had orphaned.
#[tracing::instrument(name = "store.settlement.stopped", target = "countersign_trace", level = "debug", skip_all)]
pub async fn stopped(
    conn: &mut Connection,
    unsettled: &PendingRevocation,
    most: i64,
) -> Result<Vec<StoppedInstance>, StoreError> {
    let PendingRevocation { entry, departure } = unsettled;
    let rows = match entry.kind {
        RevocationKind::Sponsor => of_sponsor(conn, entry, *departure, most).await?,
        RevocationKind::Instance => of_chain(conn, entry, most).await?,
        RevocationKind::All => of_all(conn, entry, most).await?,
        RevocationKind::Credential | RevocationKind::Key | RevocationKind::Tool => Vec::new(),
    };
    rows.into_iter().map(StoppedInstance::try_from).collect()
}

async fn of_sponsor(
    conn: &mut Connection,
    entry: &Revocation,
    departure: bool,
    most: i64,
) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT instance_id AS "instance_id!", parent_id, root_instance_id AS "root_instance_id!",
                  sponsor_id AS "sponsor_id!", state AS "state!", custody_ref AS "custody_ref!"
         FROM (
            SELECT instance_id, parent_id, root_instance_id, sponsor_id, state, custody_ref FROM instance
            WHERE state = 'LIVE' AND sponsor_id = $1 AND expire_time > $2 AND rev < $3
            UNION ALL
            SELECT instance_id, parent_id, root_instance_id, sponsor_id, state, custody_ref FROM instance
            WHERE state = 'ORPHANED' AND sponsor_id = $1 AND rev < $3 AND NOT $4
         ) AS stopped LIMIT $5"#,
        entry.id,
        entry.create_time,
        entry.seq,
        departure,
        most
    );
    Ok(rows.fetch_all(conn).await?)
}

async fn of_chain(conn: &mut Connection, entry: &Revocation, most: i64) -> Result<Vec<Row>, StoreError> {
    let id: InstanceId = parse("revocation", "id", &entry.id)?;
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT instance_id, parent_id, root_instance_id, sponsor_id, state, custody_ref FROM instance
         WHERE root_instance_id = (SELECT root_instance_id FROM instance WHERE instance_id = $1)
           AND state IN ('LIVE', 'ORPHANED') AND $1 = ANY (chain || instance_id) AND rev < $3
           AND (state = 'ORPHANED' OR expire_time > $2)
         LIMIT $4"#,
        id.0,
        entry.create_time,
        entry.seq,
        most
    );
    Ok(rows.fetch_all(conn).await?)
}

async fn of_all(conn: &mut Connection, entry: &Revocation, most: i64) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT instance_id AS "instance_id!", parent_id, root_instance_id AS "root_instance_id!",
                  sponsor_id AS "sponsor_id!", state AS "state!", custody_ref AS "custody_ref!"
         FROM (
            SELECT instance_id, parent_id, root_instance_id, sponsor_id, state, custody_ref FROM instance
            WHERE state = 'LIVE' AND expire_time > $1 AND rev < $2
            UNION ALL
            SELECT instance_id, parent_id, root_instance_id, sponsor_id, state, custody_ref FROM instance
            WHERE state = 'ORPHANED' AND rev < $2
         ) AS stopped LIMIT $3"#,
        entry.create_time,
        entry.seq,
        most
    );
    Ok(rows.fetch_all(conn).await?)
}

/// Live instances that were started with a credential, at most `most`, in the order of their ids.
#[tracing::instrument(name = "store.settlement.started_with", target = "countersign_trace", level = "debug", skip_all)]
pub async fn started_with(
    conn: &mut Connection,
    credential: CredentialId,
    now: OffsetDateTime,
    most: i64,
) -> Result<Vec<StoppedInstance>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT instance_id, parent_id, root_instance_id, sponsor_id, state, custody_ref
         FROM instance, instance_standing(instance) AS at
         WHERE parent_credential_id = $1 AND state = 'LIVE' AND expire_time > $2 AND at.standing = 'LIVE'
         ORDER BY instance_id LIMIT $3"#,
        credential.0,
        now,
        most
    );
    rows.fetch_all(conn).await?.into_iter().map(StoppedInstance::try_from).collect()
}

/// Writes `state` into the rows of these instances; `since` is when they stopped, if they stopped permanently. The
/// revision, and with it the etag, does not change, because they were in this state before.
#[tracing::instrument(name = "store.settlement.settle", target = "countersign_trace", level = "debug", skip_all)]
pub async fn settle(
    conn: &mut Connection,
    instances: &[InstanceId],
    state: InstanceState,
    since: Option<OffsetDateTime>,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = instances.iter().map(|id| id.0).collect();
    sqlx::query!(
        "UPDATE instance SET state = $2, end_time = $3 WHERE instance_id = ANY ($1)",
        &ids,
        state.as_str(),
        since
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a departed sponsor still has orphans.
#[tracing::instrument(name = "store.settlement.has_orphans", target = "countersign_trace", level = "debug", skip_all)]
pub async fn has_orphans(conn: &mut Connection, sponsor: &SponsorId) -> Result<bool, StoreError> {
    let exists = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM instance WHERE state = 'ORPHANED' AND sponsor_id = $1) AS "exists!""#,
        sponsor.as_str()
    );
    Ok(exists.fetch_one(conn).await?)
}
