//! Approvals: stored, found, listed by state, sponsor, run, tool and time; how many wait per chain and sponsor, and
//! which have expired.
//!
//! Their texts are in the custody log: the run's reason with the decision, the person's comment with the answer.

use std::collections::HashMap;

use countersign_core::{
    approval::{Answer, Approval, ApprovalState, Call, Private},
    ids::{ApprovalId, DecisionId, EventId, InstanceId},
    names::{OperatorId, PersonId, SponsorId, ToolId},
};
use countersign_ledger::leaf::Digest;
use serde::Serialize;
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    convert::{bytes, parse},
};

const TABLE: &str = "approval";

struct Row {
    approval_id: Uuid,
    decision_id: Uuid,
    state: String,
    instance_id: Uuid,
    root_instance_id: Uuid,
    sponsor_id: String,
    tool_id: String,
    action: String,
    request_hash: Option<Vec<u8>>,
    asked_by: Option<String>,
    create_time: OffsetDateTime,
    expire_time: OffsetDateTime,
    answered_by: Option<String>,
    answer_time: Option<OffsetDateTime>,
    answer_event: Option<Uuid>,
    answer_leaf: Option<Vec<u8>>,
    revision: i64,
    context: Option<String>,
    context_salt: Option<Vec<u8>>,
    arguments: Option<String>,
    purpose: Option<String>,
    reason: Option<String>,
}

/// The columns of a [`Row`], followed by the rest of the statement.
macro_rules! approvals {
    ($rest:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT approval_id, decision_id, state, instance_id, root_instance_id, sponsor_id, tool_id, action, request_hash,
                 asked_by, create_time, expire_time, answered_by, answer_time, answer_event, answer_leaf, revision, context,
                 context_salt, arguments,
                 (SELECT purpose FROM custody_event WHERE event_id = a.decision_id) AS purpose,
                 (SELECT reason FROM custody_event WHERE event_id = a.answer_event) AS reason
               FROM approval a "# + $rest
            $(, $value)*
        )
    };
}

impl TryFrom<Row> for Approval {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let answer = match (row.answered_by, row.answer_time, row.answer_event, row.answer_leaf) {
            (Some(by), Some(time), Some(event), Some(leaf)) => Some(Answer {
                by: parse(TABLE, "answered_by", &by)?,
                reason: row.reason.unwrap_or_default(),
                time,
                event_id: EventId(event),
                leaf: bytes(TABLE, "answer_leaf", &leaf)?,
            }),
            _ => None,
        };
        Ok(Self {
            approval_id: ApprovalId(row.approval_id),
            policy_decision_id: DecisionId(row.decision_id),
            state: parse(TABLE, "state", &row.state)?,
            root_instance_id: InstanceId(row.root_instance_id),
            call: Call {
                agent_instance_id: InstanceId(row.instance_id),
                sponsor_id: parse(TABLE, "sponsor_id", &row.sponsor_id)?,
                tool_id: parse(TABLE, "tool_id", &row.tool_id)?,
                action: parse(TABLE, "action", &row.action)?,
                request_hash: row.request_hash.map(|hash| bytes(TABLE, "request_hash", &hash)).transpose()?,
                purpose: row.purpose.unwrap_or_default(),
                context: Private(row.context.unwrap_or_default()),
            },
            context_salt: row.context_salt.map(|salt| bytes(TABLE, "context_salt", &salt)).transpose()?,
            arguments: row.arguments.map(Private),
            asked_by: row.asked_by.map(|by| parse(TABLE, "asked_by", &by)).transpose()?,
            create_time: row.create_time,
            expire_time: row.expire_time,
            answer,
            revision: row.revision,
        })
    }
}

fn approvals(rows: Vec<Row>) -> Result<Vec<Approval>, StoreError> {
    rows.into_iter().map(Approval::try_from).collect()
}

/// A row in the form in which Postgres reads it from JSON; the field names are the column names.
#[derive(Serialize)]
struct NewRow<'a> {
    approval_id: Uuid,
    decision_id: Uuid,
    state: &'static str,
    instance_id: Uuid,
    root_instance_id: Uuid,
    sponsor_id: &'a str,
    tool_id: &'a str,
    action: &'a str,
    request_hash: Option<String>,
    asked_by: Option<&'a str>,
    #[serde(with = "time::serde::rfc3339")]
    create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expire_time: OffsetDateTime,
    answered_by: Option<&'a str>,
    #[serde(with = "time::serde::rfc3339::option")]
    answer_time: Option<OffsetDateTime>,
    answer_event: Option<Uuid>,
    answer_leaf: Option<String>,
    revision: i64,
    context: Option<&'a str>,
    context_salt: Option<String>,
    arguments: Option<&'a str>,
}

impl<'a> NewRow<'a> {
    fn of(approval: &'a Approval) -> Self {
        let bytea = |hash: [u8; 32]| format!("\\x{}", Digest(hash));
        let salt = |salt: [u8; 16]| format!("\\x{:032x}", u128::from_be_bytes(salt));
        let (call, answer) = (&approval.call, approval.answer.as_ref());
        Self {
            approval_id: approval.approval_id.0,
            decision_id: approval.policy_decision_id.0,
            state: approval.state.as_str(),
            instance_id: call.agent_instance_id.0,
            root_instance_id: approval.root_instance_id.0,
            sponsor_id: call.sponsor_id.as_str(),
            tool_id: call.tool_id.as_str(),
            action: call.action.as_str(),
            request_hash: call.request_hash.map(bytea),
            asked_by: approval.asked_by.as_ref().map(OperatorId::as_str),
            create_time: approval.create_time,
            expire_time: approval.expire_time,
            answered_by: answer.map(|answer| answer.by.as_str()),
            answer_time: answer.map(|answer| answer.time),
            answer_event: answer.map(|answer| answer.event_id.0),
            answer_leaf: answer.map(|answer| bytea(answer.leaf)),
            revision: approval.revision,
            context: Some(call.context.0.as_str()).filter(|context| !context.is_empty()),
            context_salt: approval.context_salt.map(salt),
            arguments: approval.arguments.as_ref().map(|arguments| arguments.0.as_str()),
        }
    }
}

/// Stores approvals. For one that exists already, updates its state. The caller holds the log head.
#[tracing::instrument(name = "store.approval.upsert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn upsert<'a>(
    conn: &mut Connection,
    approvals: impl IntoIterator<Item = &'a Approval>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = approvals.into_iter().map(NewRow::of).collect();
    let rows = serde_json::to_value(rows).map_err(|error| StoreError::corrupt(TABLE, error))?;
    sqlx::query!(
        "INSERT INTO approval (approval_id, decision_id, state, instance_id, root_instance_id, sponsor_id, tool_id, action,
             request_hash, asked_by, create_time, expire_time, answered_by, answer_time, answer_event, answer_leaf, revision,
             context, context_salt, arguments)
         SELECT approval_id, decision_id, state, instance_id, root_instance_id, sponsor_id, tool_id, action, request_hash,
             asked_by, create_time, expire_time, answered_by, answer_time, answer_event, answer_leaf, revision, context,
             context_salt, arguments
         FROM jsonb_populate_recordset(NULL::approval, $1)
         ON CONFLICT (approval_id) DO UPDATE SET
             state = excluded.state, answered_by = excluded.answered_by, answer_time = excluded.answer_time,
             answer_event = excluded.answer_event, answer_leaf = excluded.answer_leaf, revision = excluded.revision",
        rows
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The approvals with these ids, and the PENDING approvals of these instances.
#[tracing::instrument(name = "store.approval.find", target = "countersign_trace", level = "debug", skip_all)]
pub async fn find(conn: &mut Connection, ids: &[Uuid], pending_of: &[Uuid]) -> Result<Vec<Approval>, StoreError> {
    let rows =
        approvals!("WHERE approval_id = ANY ($1) OR (state = 'PENDING' AND instance_id = ANY ($2))", ids, pending_of);
    approvals(rows.fetch_all(conn).await?)
}

/// For each of these chains and sponsors, how many approvals wait for an answer at `now`. A chain or sponsor without
/// one is left out.
#[tracing::instrument(name = "store.approval.waiting", target = "countersign_trace", level = "debug", skip_all)]
pub async fn waiting(
    conn: &mut Connection,
    roots: &[Uuid],
    sponsors: &[String],
    now: OffsetDateTime,
) -> Result<Waiting, StoreError> {
    let of_chains = sqlx::query!(
        r#"SELECT root_instance_id, count(*) AS "count!" FROM approval
           WHERE state = 'PENDING' AND root_instance_id = ANY ($1) AND expire_time > $2 GROUP BY root_instance_id"#,
        roots,
        now
    );
    let chains = of_chains.fetch_all(&mut *conn).await?;
    let of_sponsors = sqlx::query!(
        r#"SELECT sponsor_id, count(*) AS "count!" FROM approval
           WHERE state = 'PENDING' AND sponsor_id = ANY ($1) AND expire_time > $2 GROUP BY sponsor_id"#,
        sponsors,
        now
    );
    let sponsors = of_sponsors.fetch_all(conn).await?;
    Ok(Waiting {
        chains: chains.into_iter().map(|row| (InstanceId(row.root_instance_id), row.count)).collect(),
        sponsors: sponsors
            .into_iter()
            .map(|row| Ok((parse(TABLE, "sponsor_id", &row.sponsor_id)?, row.count)))
            .collect::<Result<_, StoreError>>()?,
    })
}

/// How many approvals wait for an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Per chain.
    pub chains: HashMap<InstanceId, i64>,
    /// Per sponsor.
    pub sponsors: HashMap<SponsorId, i64>,
}

/// One approval.
#[tracing::instrument(name = "store.approval.get", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get(conn: &mut Connection, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
    Ok(find(conn, &[id.0], &[]).await?.pop())
}

/// Which of these approvals no longer wait for an answer at `now`.
#[tracing::instrument(name = "store.approval.answered", target = "countersign_trace", level = "debug", skip_all)]
pub async fn answered(conn: &mut Connection, ids: &[Uuid], now: OffsetDateTime) -> Result<Vec<ApprovalId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT approval_id FROM approval WHERE approval_id = ANY ($1) AND (state <> 'PENDING' OR expire_time <= $2)",
        ids,
        now
    );
    Ok(ids.fetch_all(conn).await?.into_iter().map(ApprovalId).collect())
}

/// Approvals that have expired by `now` but are not stored as EXPIRED yet, the earliest first, at most `most`.
#[tracing::instrument(name = "store.approval.lapsed", target = "countersign_trace", level = "debug", skip_all)]
pub async fn lapsed(conn: &mut Connection, now: OffsetDateTime, most: i64) -> Result<Vec<Uuid>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT approval_id FROM approval
         WHERE state IN ('PENDING', 'APPROVED') AND expire_time <= $1 ORDER BY expire_time LIMIT $2",
        now,
        most
    );
    Ok(ids.fetch_all(conn).await?)
}

/// Which approvals to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    /// In this state at the time of the query.
    pub state: Option<ApprovalState>,
    /// This sponsor's.
    pub sponsor_id: Option<SponsorId>,
    /// Of the sponsors who are confirmed to be this person.
    pub of_person: Option<PersonId>,
    /// Of this instance.
    pub agent_instance_id: Option<InstanceId>,
    /// On this tool.
    pub tool_id: Option<ToolId>,
    /// Asked at or after this instant.
    pub start_time: Option<OffsetDateTime>,
    /// Asked before this instant.
    pub end_time: Option<OffsetDateTime>,
}

/// One page of approvals in their state at `now`, newest first.
#[tracing::instrument(name = "store.approval.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    filter: &ApprovalFilter,
    now: OffsetDateTime,
    page: &PageRequest,
) -> Result<Page<Approval>, StoreError> {
    let before = page.after::<ApprovalId>()?.map_or(Uuid::max(), |id| id.0);
    let rows = approvals!(
        "WHERE approval_id < $1
           AND ($2::text IS NULL OR $2 = CASE
                   WHEN state IN ('PENDING', 'APPROVED') AND expire_time <= $3 THEN 'EXPIRED' ELSE state
               END)
           AND ($4::text IS NULL OR sponsor_id = $4)
           AND ($5::uuid IS NULL OR instance_id = $5)
           AND ($6::text IS NULL OR tool_id = $6)
           AND ($7::timestamptz IS NULL OR create_time >= $7)
           AND ($8::timestamptz IS NULL OR create_time < $8)
           AND ($10::text IS NULL OR sponsor_id IN (SELECT sponsor_id FROM sponsor WHERE person_id = $10 AND person_confirmed))
         ORDER BY approval_id DESC LIMIT $9",
        before,
        filter.state.map(ApprovalState::as_str),
        now,
        filter.sponsor_id.as_ref().map(SponsorId::as_str),
        filter.agent_instance_id.map(|id| id.0),
        filter.tool_id.as_ref().map(ToolId::as_str),
        filter.start_time,
        filter.end_time,
        page.limit(),
        filter.of_person.as_ref().map(PersonId::as_str)
    );
    Ok(Page::cut(approvals(rows.fetch_all(conn).await?)?, page, |approval: &Approval| approval.approval_id))
}
