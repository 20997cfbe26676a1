//! Signing keys, shared by replicas. The private half is stored encrypted, and is deleted when the key stops signing.

use std::{fmt, str::FromStr};

use countersign_core::{clock::unix_micros, credential::KeyStanding, signing_key::SigningKeyRecord};
use time::{Duration, OffsetDateTime};

use crate::{Connection, Page, PageRequest, StoreError, convert::parse};

const TABLE: &str = "signing_key";

/// A key with its private half.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The key without the private half.
    pub record: SigningKeyRecord,
    /// Nonce of the encryption of the private half. Empty if the private half was deleted.
    pub private_nonce: Vec<u8>,
    /// The encrypted private half. Empty once the key no longer signs.
    pub private_key: Vec<u8>,
}

struct Row {
    kid: String,
    state: String,
    public_jwk: String,
    private_nonce: Vec<u8>,
    private_key: Vec<u8>,
    create_time: OffsetDateTime,
    activate_time: Option<OffsetDateTime>,
    retire_time: Option<OffsetDateTime>,
}

impl TryFrom<Row> for StoredKey {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let record = SigningKeyRecord {
            state: parse(TABLE, "state", &row.state)?,
            kid: row.kid,
            public_jwk: row.public_jwk,
            create_time: row.create_time,
            activate_time: row.activate_time,
            retire_time: row.retire_time,
        };
        Ok(Self { record, private_nonce: row.private_nonce, private_key: row.private_key })
    }
}

/// Stores a new key.
#[tracing::instrument(name = "store.signing_key.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert(conn: &mut Connection, key: &StoredKey) -> Result<(), StoreError> {
    let record = &key.record;
    sqlx::query!(
        "INSERT INTO signing_key
             (kid, state, public_jwk, private_nonce, private_key, create_time, activate_time, retire_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        record.kid,
        record.state.as_str(),
        record.public_jwk,
        key.private_nonce,
        key.private_key,
        record.create_time,
        record.activate_time,
        record.retire_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the state of a key. The private half of a key that no longer signs is deleted.
#[tracing::instrument(name = "store.signing_key.update", target = "countersign_trace", level = "debug", skip_all)]
pub async fn update(conn: &mut Connection, record: &SigningKeyRecord) -> Result<(), StoreError> {
    let signs = matches!(record.state, KeyStanding::Next | KeyStanding::Active);
    sqlx::query!(
        "UPDATE signing_key SET state = $2, activate_time = $3, retire_time = $4,
             private_nonce = CASE WHEN $5 THEN private_nonce ELSE '' END,
             private_key = CASE WHEN $5 THEN private_key ELSE '' END
         WHERE kid = $1",
        record.kid,
        record.state.as_str(),
        record.activate_time,
        record.retire_time,
        signs
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One key.
#[tracing::instrument(name = "store.signing_key.get", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get(conn: &mut Connection, kid: &str) -> Result<Option<StoredKey>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT kid, state, public_jwk, private_nonce, private_key, create_time, activate_time, retire_time
         FROM signing_key WHERE kid = $1",
        kid
    );
    row.fetch_optional(conn).await?.map(StoredKey::try_from).transpose()
}

/// The key in this state, of which there is at most one if the state is next or active.
#[tracing::instrument(name = "store.signing_key.standing", target = "countersign_trace", level = "debug", skip_all)]
pub async fn standing(conn: &mut Connection, state: KeyStanding) -> Result<Option<StoredKey>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT kid, state, public_jwk, private_nonce, private_key, create_time, activate_time, retire_time
         FROM signing_key WHERE state = $1",
        state.as_str()
    );
    row.fetch_optional(conn).await?.map(StoredKey::try_from).transpose()
}

/// Every key that a verifier must know: all but those that retired before `since`.
#[tracing::instrument(name = "store.signing_key.known", target = "countersign_trace", level = "debug", skip_all)]
pub async fn known(conn: &mut Connection, since: OffsetDateTime) -> Result<Vec<StoredKey>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT kid, state, public_jwk, private_nonce, private_key, create_time, activate_time, retire_time
         FROM signing_key WHERE state <> 'retired' OR retire_time >= $1",
        since
    );
    rows.fetch_all(conn).await?.into_iter().map(StoredKey::try_from).collect()
}

/// One page of keys, newest first.
#[tracing::instrument(name = "store.signing_key.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(
    conn: &mut Connection,
    state: Option<KeyStanding>,
    page: &PageRequest,
) -> Result<Page<SigningKeyRecord>, StoreError> {
    let before = page.after::<Place>()?;
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT kid, state, public_jwk, private_nonce, private_key, create_time, activate_time, retire_time
         FROM signing_key
         WHERE ($1::text IS NULL OR state = $1)
           AND ($2::timestamptz IS NULL OR (create_time, kid COLLATE "C") < ($2, $3))
         ORDER BY create_time DESC, kid COLLATE "C" DESC LIMIT $4"#,
        state.map(KeyStanding::as_str),
        before.as_ref().map(|place| place.create_time),
        before.as_ref().map_or("", |place| &place.kid),
        page.limit()
    );
    let keys: Vec<StoredKey> =
        rows.fetch_all(conn).await?.into_iter().map(StoredKey::try_from).collect::<Result<_, _>>()?;
    let records = keys.into_iter().map(|key| key.record).collect();
    Ok(Page::cut(records, page, |record: &SigningKeyRecord| Place {
        create_time: record.create_time,
        kid: record.kid.clone(),
    }))
}

/// A key's position in the list.
struct Place {
    create_time: OffsetDateTime,
    kid: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", unix_micros(self.create_time), self.kid)
    }
}

impl FromStr for Place {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (micros, kid) = text.split_once('/').ok_or(())?;
        let micros = micros.parse().map_err(|_| ())?;
        let create_time = OffsetDateTime::UNIX_EPOCH.checked_add(Duration::microseconds(micros)).ok_or(())?;
        Ok(Self { create_time, kid: kid.to_owned() })
    }
}
