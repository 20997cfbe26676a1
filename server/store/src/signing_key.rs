//! Signing keys, shared by replicas. The private half arrives and leaves encrypted.

use time::OffsetDateTime;

use crate::{Connection, StoreError, convert::parse};

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SigningKeyState {
    /// Published, signs nothing yet.
    Next,
    /// Signs.
    Active,
    /// Signs no more; published until its last token has expired.
    Retired,
    /// Everything it signed is dead.
    Compromised,
}

impl SigningKeyState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Next, Self::Active, Self::Retired, Self::Compromised];

    /// The state's name as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Compromised => "compromised",
        }
    }
}

impl std::str::FromStr for SigningKeyState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A key as stored.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// Where it stands.
    pub state: SigningKeyState,
    /// The public half, RFC 7517 JSON.
    pub public_jwk: String,
    /// Nonce of the encryption of the private half.
    pub private_nonce: Vec<u8>,
    /// The private half, encrypted under the key-encryption key.
    pub private_key: Vec<u8>,
    /// When made.
    pub create_time: OffsetDateTime,
    /// When it began to sign.
    pub activate_time: Option<OffsetDateTime>,
    /// When it ceased to.
    pub retire_time: Option<OffsetDateTime>,
}

/// Stores a new key.
pub async fn insert(conn: &mut Connection, key: &StoredKey) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO signing_key
             (kid, state, public_jwk, private_nonce, private_key, create_time, activate_time, retire_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        key.kid,
        key.state.as_str(),
        key.public_jwk,
        key.private_nonce,
        key.private_key,
        key.create_time,
        key.activate_time,
        key.retire_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every key that is published or that must be known to be compromised, oldest first.
pub async fn list(conn: &mut Connection) -> Result<Vec<StoredKey>, StoreError> {
    let rows = sqlx::query!("SELECT * FROM signing_key ORDER BY create_time, kid");
    rows.fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            Ok(StoredKey {
                state: parse("signing_key", "state", &row.state)?,
                kid: row.kid,
                public_jwk: row.public_jwk,
                private_nonce: row.private_nonce,
                private_key: row.private_key,
                create_time: row.create_time,
                activate_time: row.activate_time,
                retire_time: row.retire_time,
            })
        })
        .collect()
}
