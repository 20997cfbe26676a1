//! Sponsors: stored and listed; whose review has lapsed, and whose orphans' time is over.

use countersign_core::{
    names::{OperatorId, PersonId, RoleName, SponsorId},
    sponsor::{Departure, Sponsor, SponsorState, SuspendCause},
};
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    convert::{bytes, labels, number, parse, parse_all, stored, texts},
};

const TABLE: &str = "sponsor";

struct Row {
    sponsor_id: String,
    display_name: String,
    email: String,
    roles: Vec<String>,
    max_ttl_seconds: i32,
    max_depth: i32,
    state: String,
    review_due_at: Option<OffsetDateTime>,
    create_time: OffsetDateTime,
    approve_time: Option<OffsetDateTime>,
    revoke_time: Option<OffsetDateTime>,
    revision: i64,
    labels: serde_json::Value,
    registered_by: String,
    grant_leaf: Option<Vec<u8>>,
    suspend_cause: Option<String>,
    changed_by: Option<String>,
    depart_time: Option<OffsetDateTime>,
    departed_by: Option<String>,
    depart_seq: Option<i64>,
    orphans_due_at: Option<OffsetDateTime>,
    person_id: Option<String>,
    person_confirmed: bool,
    terms_by: Vec<String>,
}

/// The columns of a [`Row`], followed by the rest of the statement.
macro_rules! sponsors {
    ($rest:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT sponsor_id, display_name, email, roles, max_ttl_seconds, max_depth, state, review_due_at, create_time,
                    approve_time, revoke_time, revision, labels, registered_by, grant_leaf, suspend_cause, changed_by,
                    depart_time, departed_by, depart_seq, orphans_due_at, person_id, person_confirmed, terms_by " + $rest
            $(, $value)*
        )
    };
}

impl TryFrom<Row> for Sponsor {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let departure = match (row.depart_time, row.departed_by, row.depart_seq) {
            (Some(time), Some(by), Some(revocation_seq)) => Some(Departure {
                time,
                recorded_by: parse(TABLE, "departed_by", &by)?,
                revocation_seq,
                orphans_due_at: row.orphans_due_at,
            }),
            _ => None,
        };
        Ok(Self {
            sponsor_id: parse(TABLE, "sponsor_id", &row.sponsor_id)?,
            display_name: row.display_name,
            email: row.email,
            person_id: row.person_id.map(|person| parse(TABLE, "person_id", &person)).transpose()?,
            person_confirmed: row.person_confirmed,
            terms_by: parse_all(TABLE, "terms_by", &row.terms_by)?,
            roles: parse_all(TABLE, "roles", &row.roles)?,
            max_ttl_seconds: number(TABLE, "max_ttl_seconds", row.max_ttl_seconds)?,
            max_depth: number(TABLE, "max_depth", row.max_depth)?,
            state: parse(TABLE, "state", &row.state)?,
            review_due_at: row.review_due_at,
            create_time: row.create_time,
            approve_time: row.approve_time,
            revoke_time: row.revoke_time,
            revision: row.revision,
            labels: labels(TABLE, row.labels)?,
            registered_by: parse(TABLE, "registered_by", &row.registered_by)?,
            changed_by: row.changed_by.map(|by| parse(TABLE, "changed_by", &by)).transpose()?,
            suspend_cause: row.suspend_cause.map(|cause| parse(TABLE, "suspend_cause", &cause)).transpose()?,
            departure,
            grant_leaf: row.grant_leaf.map(|leaf| bytes(TABLE, "grant_leaf", &leaf)).transpose()?,
        })
    }
}

/// Stores a new sponsor; [`StoreError::Exists`] if the id is taken.
#[tracing::instrument(name = "store.sponsor.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, sponsor: &Sponsor) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO sponsor (sponsor_id, display_name, email, roles, max_ttl_seconds, max_depth, state, review_due_at,
             create_time, approve_time, revoke_time, revision, labels, registered_by, grant_leaf, person_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        sponsor.sponsor_id.as_str(),
        sponsor.display_name,
        sponsor.email,
        &texts(&sponsor.roles),
        stored::<_, i32>(TABLE, sponsor.max_ttl_seconds)?,
        stored::<_, i32>(TABLE, sponsor.max_depth)?,
        sponsor.state.as_str(),
        sponsor.review_due_at,
        sponsor.create_time,
        sponsor.approve_time,
        sponsor.revoke_time,
        sponsor.revision,
        serde_json::json!(sponsor.labels),
        sponsor.registered_by.as_str(),
        sponsor.grant_leaf.as_ref().map(<[u8; 32]>::as_slice),
        sponsor.person_id.as_ref().map(PersonId::as_str),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes every field of a sponsor that can change.
#[tracing::instrument(name = "store.sponsor.update", target = "countersign_trace", level = "debug", skip_all)]
pub async fn update(conn: &mut Connection, sponsor: &Sponsor) -> Result<(), StoreError> {
    let departure = sponsor.departure.as_ref();
    sqlx::query!(
        "UPDATE sponsor SET display_name = $2, email = $3, roles = $4, max_ttl_seconds = $5, max_depth = $6, state = $7,
             review_due_at = $8, approve_time = $9, revoke_time = $10, revision = $11, labels = $12, grant_leaf = $13,
             suspend_cause = $14, changed_by = $15, depart_time = $16, departed_by = $17, depart_seq = $18,
             orphans_due_at = $19, person_id = $20, person_confirmed = $21, terms_by = $22
         WHERE sponsor_id = $1",
        sponsor.sponsor_id.as_str(),
        sponsor.display_name,
        sponsor.email,
        &texts(&sponsor.roles),
        stored::<_, i32>(TABLE, sponsor.max_ttl_seconds)?,
        stored::<_, i32>(TABLE, sponsor.max_depth)?,
        sponsor.state.as_str(),
        sponsor.review_due_at,
        sponsor.approve_time,
        sponsor.revoke_time,
        sponsor.revision,
        serde_json::json!(sponsor.labels),
        sponsor.grant_leaf.as_ref().map(<[u8; 32]>::as_slice),
        sponsor.suspend_cause.map(SuspendCause::as_str),
        sponsor.changed_by.as_ref().map(OperatorId::as_str),
        departure.map(|departure| departure.time),
        departure.map(|departure| departure.recorded_by.as_str()),
        departure.map(|departure| departure.revocation_seq),
        departure.and_then(|departure| departure.orphans_due_at),
        sponsor.person_id.as_ref().map(PersonId::as_str),
        sponsor.person_confirmed,
        &texts(&sponsor.terms_by),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// ACTIVE sponsors whose review date has passed at `now`, at most `most`.
#[tracing::instrument(name = "store.sponsor.review_lapsed", target = "countersign_trace", level = "debug", skip_all)]
pub async fn review_lapsed(
    conn: &mut Connection,
    now: OffsetDateTime,
    most: i64,
) -> Result<Vec<SponsorId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT sponsor_id FROM sponsor WHERE state = 'ACTIVE' AND review_due_at <= $1 ORDER BY review_due_at LIMIT $2",
        now,
        most
    );
    ids.fetch_all(conn).await?.iter().map(|id| parse(TABLE, "sponsor_id", id)).collect()
}

/// Departed sponsors whose orphans' time has expired at `now` and whose instances all show the departure; at most
/// `most`.
#[tracing::instrument(name = "store.sponsor.orphans_due", target = "countersign_trace", level = "debug", skip_all)]
pub async fn orphans_due(conn: &mut Connection, now: OffsetDateTime, most: i64) -> Result<Vec<SponsorId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT sponsor_id FROM sponsor
         WHERE orphans_due_at <= $1 AND depart_seq <= (SELECT seq FROM settled_revocation)
         ORDER BY orphans_due_at LIMIT $2",
        now,
        most
    );
    ids.fetch_all(conn).await?.iter().map(|id| parse(TABLE, "sponsor_id", id)).collect()
}

/// One sponsor.
#[tracing::instrument(name = "store.sponsor.get", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get(conn: &mut Connection, sponsor_id: &SponsorId) -> Result<Option<Sponsor>, StoreError> {
    let row = sponsors!("FROM sponsor WHERE sponsor_id = $1", sponsor_id.as_str());
    row.fetch_optional(conn).await?.map(Sponsor::try_from).transpose()
}

/// The sponsors with these ids. Unknown ids are ignored.
#[tracing::instrument(name = "store.sponsor.get_all", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get_all(conn: &mut Connection, sponsor_ids: &[String]) -> Result<Vec<Sponsor>, StoreError> {
    let rows = sponsors!("FROM sponsor WHERE sponsor_id = ANY ($1)", sponsor_ids);
    rows.fetch_all(conn).await?.into_iter().map(Sponsor::try_from).collect()
}

/// Which sponsors to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct SponsorFilter {
    /// In this state.
    pub state: Option<SponsorState>,
    /// With this role.
    pub role: Option<RoleName>,
    /// With a review that is due before this instant.
    pub review_due_before: Option<OffsetDateTime>,
}

/// One page of sponsors, in the order of their ids.
#[tracing::instrument(name = "store.sponsor.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    filter: &SponsorFilter,
    page: &PageRequest,
) -> Result<Page<Sponsor>, StoreError> {
    let after = page.after::<SponsorId>()?;
    let rows = sponsors!(
        r#"FROM sponsor
         WHERE sponsor_id COLLATE "C" > $1
           AND ($2::text IS NULL OR state = $2)
           AND ($3::text IS NULL OR $3 = ANY (roles))
           AND ($4::timestamptz IS NULL OR review_due_at < $4)
         ORDER BY sponsor_id COLLATE "C" LIMIT $5"#,
        after.as_ref().map(SponsorId::as_str).unwrap_or_default(),
        filter.state.map(SponsorState::as_str),
        filter.role.as_ref().map(RoleName::as_str),
        filter.review_due_before,
        page.limit()
    );
    let sponsors = rows.fetch_all(conn).await?.into_iter().map(Sponsor::try_from).collect::<Result<_, _>>()?;
    Ok(Page::cut(sponsors, page, |sponsor: &Sponsor| sponsor.sponsor_id.clone()))
}
