//! Revocation entries: append-only, numbered under the head, so the numbers have no gaps and commit in order.

use time::OffsetDateTime;

use crate::{Connection, StoreError, convert::parse};

/// What an entry kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationKind {
    /// Every credential of a sponsor.
    Sponsor,
    /// Every credential of an instance and of what it started.
    Instance,
    /// One credential.
    Credential,
    /// Every credential that a key signed.
    Key,
    /// Every credential that names a tool.
    Tool,
    /// Every credential.
    All,
}

impl RevocationKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Sponsor, Self::Instance, Self::Credential, Self::Key, Self::Tool, Self::All];

    /// The kind's name as recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sponsor => "sponsor",
            Self::Instance => "instance",
            Self::Credential => "credential",
            Self::Key => "key",
            Self::Tool => "tool",
            Self::All => "all",
        }
    }
}

impl std::str::FromStr for RevocationKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its number.
    pub seq: i64,
    /// What it kills.
    pub kind: RevocationKind,
    /// Which one; empty for all.
    pub id: String,
    /// When it was entered.
    pub create_time: OffsetDateTime,
}

/// Stores an entry.
pub async fn insert(conn: &mut Connection, entry: &Revocation) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO revocation (seq, kind, id, create_time) VALUES ($1, $2, $3, $4)",
        entry.seq,
        entry.kind.as_str(),
        entry.id,
        entry.create_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The entries since `since`, oldest first.
pub async fn since(conn: &mut Connection, since: OffsetDateTime) -> Result<Vec<Revocation>, StoreError> {
    let rows =
        sqlx::query!("SELECT seq, kind, id, create_time FROM revocation WHERE create_time >= $1 ORDER BY seq", since);
    rows.fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            Ok(Revocation {
                seq: row.seq,
                kind: parse("revocation", "kind", &row.kind)?,
                id: row.id,
                create_time: row.create_time,
            })
        })
        .collect()
}
