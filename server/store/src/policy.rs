//! Policy documents, and which of them is active; what a version is used for, and which versions may be used next.

use countersign_core::{ids::PolicyVersion, names::OperatorId, rollout::Baseline};
use time::OffsetDateTime;

use crate::{
    Connection, Page, PageRequest, StoreError,
    convert::{bytes, parse},
};

/// What a stored version is currently used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyState {
    /// Not used for any decision.
    Stored,
    /// Used for the callers inside the open rollout.
    Candidate,
    /// Used for the callers outside of a rollout.
    Active,
}

impl PolicyState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "STORED",
            Self::Candidate => "CANDIDATE",
            Self::Active => "ACTIVE",
        }
    }
}

/// One stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPolicy {
    /// Its number.
    pub version: PolicyVersion,
    /// SHA-256 of the document and the Cedar text.
    pub content_hash: [u8; 32],
    /// The YAML document as it was stored.
    pub document: String,
    /// The Cedar text beside it.
    pub cedar: String,
    /// What it is currently used for.
    pub state: PolicyState,
    /// When it was stored.
    pub create_time: OffsetDateTime,
    /// The operator who stored it.
    pub created_by: OperatorId,
    /// When it last became active.
    pub activate_time: Option<OffsetDateTime>,
    /// The number of its rules.
    pub rule_count: i32,
}

struct Row {
    version: i64,
    content_hash: Vec<u8>,
    document: String,
    cedar: String,
    state: String,
    create_time: OffsetDateTime,
    created_by: String,
    activate_time: Option<OffsetDateTime>,
    rule_count: i32,
}

impl TryFrom<Row> for StoredPolicy {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            version: PolicyVersion(row.version),
            content_hash: bytes("policy", "content_hash", &row.content_hash)?,
            document: row.document,
            cedar: row.cedar,
            state: match row.state.as_str() {
                "ACTIVE" => PolicyState::Active,
                "CANDIDATE" => PolicyState::Candidate,
                _ => PolicyState::Stored,
            },
            create_time: row.create_time,
            created_by: parse("policy", "created_by", &row.created_by)?,
            activate_time: row.activate_time,
            rule_count: row.rule_count,
        })
    }
}

/// The number of the next version. The caller holds the log head, so the numbers have no gaps.
#[tracing::instrument(name = "store.policy.next_version", target = "countersign_trace", level = "debug", skip_all)]
pub async fn next_version(conn: &mut Connection) -> Result<PolicyVersion, StoreError> {
    let next = sqlx::query_scalar!(r#"SELECT coalesce(max(version), 0) + 1 AS "next!" FROM policy"#);
    Ok(PolicyVersion(next.fetch_one(conn).await?))
}

/// A document to store.
#[derive(Debug)]
pub struct NewPolicy<'a> {
    /// The number, from [`next_version`].
    pub version: PolicyVersion,
    /// SHA-256 of the document and the Cedar text.
    pub content_hash: [u8; 32],
    /// The YAML document.
    pub document: &'a str,
    /// The Cedar text beside it.
    pub cedar: &'a str,
    /// The number of rules in both.
    pub rule_count: i32,
    /// The operator who stores it.
    pub created_by: &'a OperatorId,
    /// The time of storing.
    pub create_time: OffsetDateTime,
    /// The log index of its creation.
    pub log_index: i64,
}

/// Stores a document.
#[tracing::instrument(name = "store.policy.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, policy: &NewPolicy<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO policy (version, content_hash, document, cedar, rule_count, create_time, created_by, log_index)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        policy.version.0,
        &policy.content_hash,
        policy.document,
        policy.cedar,
        policy.rule_count,
        policy.create_time,
        policy.created_by.as_str(),
        policy.log_index
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One version.
#[tracing::instrument(name = "store.policy.get", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get(conn: &mut Connection, version: PolicyVersion) -> Result<Option<StoredPolicy>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT version, content_hash, document, cedar, create_time, created_by, activate_time, rule_count, CASE
             WHEN EXISTS (SELECT FROM active_policy a WHERE a.version = p.version) THEN 'ACTIVE'
             WHEN EXISTS (SELECT FROM rollout r WHERE r.candidate = p.version AND r.state IN ('RUNNING', 'PAUSED'))
                 THEN 'CANDIDATE'
             ELSE 'STORED' END AS "state!"
         FROM policy p WHERE version = $1"#,
        version.0
    );
    row.fetch_optional(conn).await?.map(StoredPolicy::try_from).transpose()
}

/// The version with this content, and the log index of its creation.
#[tracing::instrument(name = "store.policy.by_content", target = "countersign_trace", level = "debug", skip_all)]
pub async fn by_content(
    conn: &mut Connection,
    content_hash: &[u8; 32],
) -> Result<Option<(PolicyVersion, i64)>, StoreError> {
    let row = sqlx::query!("SELECT version, log_index FROM policy WHERE content_hash = $1", content_hash);
    Ok(row.fetch_optional(conn).await?.map(|row| (PolicyVersion(row.version), row.log_index)))
}

/// A document by its content hash: the YAML, and the Cedar text beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its content hash.
    pub content_hash: [u8; 32],
    /// The YAML document.
    pub document: String,
    /// The Cedar text beside it.
    pub cedar: String,
}

/// The documents with these contents, in the order of their hashes.
#[tracing::instrument(name = "store.policy.documents", target = "countersign_trace", level = "debug", skip_all)]
pub async fn documents(conn: &mut Connection, hashes: &[Vec<u8>]) -> Result<Vec<Document>, StoreError> {
    let rows = sqlx::query!(
        "SELECT content_hash, document, cedar FROM policy WHERE content_hash = ANY ($1) ORDER BY content_hash",
        hashes
    );
    let mut documents = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let content_hash = bytes("policy", "content_hash", &row.content_hash)?;
        documents.push(Document { content_hash, document: row.document, cedar: row.cedar });
    }
    Ok(documents)
}

/// Which versions to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct PolicyFilter {
    /// Used for this.
    pub state: Option<PolicyState>,
    /// Stored at or after this instant.
    pub start_time: Option<OffsetDateTime>,
    /// Stored before this instant.
    pub end_time: Option<OffsetDateTime>,
}

/// One page of versions, newest first.
#[tracing::instrument(name = "store.policy.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    filter: &PolicyFilter,
    page: &PageRequest,
) -> Result<Page<StoredPolicy>, StoreError> {
    let before = page.after::<PolicyVersion>()?.map_or(i64::MAX, |version| version.0);
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT version AS "version!", content_hash AS "content_hash!", document AS "document!", cedar AS "cedar!",
                  create_time AS "create_time!", created_by AS "created_by!", activate_time, rule_count AS "rule_count!", state AS "state!"
         FROM (
             SELECT p.version, p.content_hash, p.document, p.cedar, p.create_time, p.created_by, p.activate_time, p.rule_count, CASE
                 WHEN EXISTS (SELECT FROM active_policy a WHERE a.version = p.version) THEN 'ACTIVE'
                 WHEN EXISTS (SELECT FROM rollout r WHERE r.candidate = p.version AND r.state IN ('RUNNING', 'PAUSED'))
                     THEN 'CANDIDATE'
                 ELSE 'STORED' END AS state
             FROM policy p
         ) AS used
         WHERE version < $1
           AND ($2::text IS NULL OR state = $2)
           AND ($3::timestamptz IS NULL OR create_time >= $3)
           AND ($4::timestamptz IS NULL OR create_time < $4)
         ORDER BY version DESC LIMIT $5"#,
        before,
        filter.state.map(PolicyState::as_str),
        filter.start_time,
        filter.end_time,
        page.limit()
    );
    let policies = rows.fetch_all(conn).await?.into_iter().map(StoredPolicy::try_from).collect::<Result<_, _>>()?;
    Ok(Page::cut(policies, page, |policy: &StoredPolicy| policy.version))
}

/// The baseline, which is used where no rollout applies. `None` before the first activation.
#[tracing::instrument(name = "store.policy.active_baseline", target = "countersign_trace", level = "debug", skip_all)]
pub async fn active_baseline(conn: &mut Connection) -> Result<Option<Baseline>, StoreError> {
    let row = sqlx::query!("SELECT version, baseline FROM active_policy").fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(None) };
    match (row.version, row.baseline) {
        (Some(version), _) => Ok(Some(Baseline::Version(PolicyVersion(version)))),
        (None, Some(text)) => parse("active_policy", "baseline", &text).map(Some),
        (None, None) => Err(StoreError::corrupt("active_policy", "neither version nor baseline")),
    }
}

/// The active version, or the last one that was active if the current baseline is not a version. `None` before the
/// first activation.
#[tracing::instrument(name = "store.policy.last_active", target = "countersign_trace", level = "debug", skip_all)]
pub async fn last_active(conn: &mut Connection) -> Result<Option<PolicyVersion>, StoreError> {
    let last = sqlx::query_scalar!("SELECT coalesce(version, last_version) FROM active_policy");
    Ok(last.fetch_optional(conn).await?.flatten().map(PolicyVersion))
}

/// The active version, without its texts. `None` if no version is active.
#[tracing::instrument(name = "store.policy.active", target = "countersign_trace", level = "debug", skip_all)]
pub async fn active(conn: &mut Connection) -> Result<Option<StoredPolicy>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT p.version, content_hash, '' AS "document!", '' AS "cedar!", create_time, created_by, p.activate_time,
                  rule_count, 'ACTIVE' AS "state!"
         FROM policy p JOIN active_policy a ON a.version = p.version"#
    );
    row.fetch_optional(conn).await?.map(StoredPolicy::try_from).transpose()
}

/// A text that changes with every change of the baseline or of a rollout.
#[tracing::instrument(name = "store.policy.mark", target = "countersign_trace", level = "debug", skip_all)]
pub async fn mark(conn: &mut Connection) -> Result<Vec<String>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT (SELECT extract(epoch FROM activate_time)::text FROM active_policy) AS stands_since,
                  (SELECT rollout_id || ' ' || revision FROM rollout ORDER BY rollout_id DESC LIMIT 1) AS rollout"#
    );
    let row = row.fetch_one(conn).await?;
    Ok([row.stands_since, row.rollout].map(Option::unwrap_or_default).to_vec())
}

/// Versions that are in use, and those that may be used next: the newest, and the last active ones.
#[tracing::instrument(name = "store.policy.likely", target = "countersign_trace", level = "debug", skip_all)]
pub async fn likely(conn: &mut Connection) -> Result<Vec<PolicyVersion>, StoreError> {
    let versions = sqlx::query_scalar!(
        r#"SELECT version AS "version!" FROM active_policy WHERE version IS NOT NULL
         UNION SELECT candidate FROM rollout WHERE state IN ('RUNNING', 'PAUSED')
         UNION SELECT substr(baseline, 4)::bigint FROM rollout WHERE state IN ('RUNNING', 'PAUSED') AND baseline LIKE 'pv\_%'
         UNION (SELECT version FROM policy ORDER BY version DESC LIMIT 2)
         UNION (SELECT version FROM policy WHERE activate_time IS NOT NULL ORDER BY activate_time DESC LIMIT 2)"#
    );
    Ok(versions.fetch_all(conn).await?.into_iter().map(PolicyVersion).collect())
}

/// Makes `answer` the baseline.
#[tracing::instrument(name = "store.policy.set_standing", target = "countersign_trace", level = "debug", skip_all)]
pub async fn set_standing(
    conn: &mut Connection,
    answer: Baseline,
    by: &OperatorId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let (version, baseline) = match answer {
        Baseline::Version(version) => (Some(version.0), None),
        other => (None, Some(other.to_string())),
    };
    sqlx::query!(
        "WITH used AS (UPDATE policy SET activate_time = $3 WHERE version = $1)
         INSERT INTO active_policy (version, baseline, last_version, activate_time, activated_by)
         VALUES ($1, $2, $1, $3, $4)
         ON CONFLICT (only_row) DO UPDATE SET version = excluded.version, baseline = excluded.baseline,
             last_version = coalesce(excluded.version, active_policy.version, active_policy.last_version),
             activate_time = excluded.activate_time, activated_by = excluded.activated_by",
        version,
        baseline,
        now,
        by.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}
