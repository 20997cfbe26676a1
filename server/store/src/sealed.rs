//! Everything in the database that is encrypted under the key-encryption key: private halves of signing keys and X.509
//! authorities, and secrets of the installation.

use crate::{Connection, StoreError};

/// Where a sealed text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The private half of a signing key, named by its `kid`.
    SigningKey,
    /// The private half of an X.509 authority, named by its id.
    X509Authority,
    /// A secret of the installation, named by its name.
    Secret,
}

/// A sealed text. The encryption is bound to its name.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Where it is stored.
    pub place: Place,
    /// Its name there.
    pub name: String,
    /// Nonce of the encryption.
    pub nonce: Vec<u8>,
    /// The encrypted text.
    pub text: Vec<u8>,
}

/// A secret of the installation.
#[tracing::instrument(name = "store.sealed.secret", target = "countersign_trace", level = "debug", skip_all)]
pub async fn secret(conn: &mut Connection, name: &str) -> Result<Option<Sealed>, StoreError> {
    let row = sqlx::query!("SELECT private_nonce, private_key FROM sealed_secret WHERE name = $1", name);
    let row = row.fetch_optional(conn).await?;
    Ok(row.map(|row| Sealed {
        place: Place::Secret,
        name: name.to_owned(),
        nonce: row.private_nonce,
        text: row.private_key,
    }))
}

/// Stores a new secret of the installation.
#[tracing::instrument(name = "store.sealed.insert_secret", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert_secret(conn: &mut Connection, name: &str, nonce: &[u8], text: &[u8]) -> Result<(), StoreError> {
    sqlx::query!("INSERT INTO sealed_secret (name, private_nonce, private_key) VALUES ($1, $2, $3)", name, nonce, text)
        .execute(conn)
        .await?;
    Ok(())
}

/// All sealed texts, without the private halves that were wiped.
#[tracing::instrument(name = "store.sealed.list", target = "countersign_trace", level = "debug", skip_all)]
pub async fn list(conn: &mut Connection) -> Result<Vec<Sealed>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT 'signing_key' AS "place!", kid AS "name!", private_nonce AS "nonce!", private_key AS "text!"
           FROM signing_key WHERE private_key <> ''
           UNION ALL SELECT 'x509_authority', authority_id, private_nonce, private_key FROM x509_authority
           UNION ALL SELECT 'sealed_secret', name, private_nonce, private_key FROM sealed_secret"#
    );
    let sealed = rows.fetch_all(conn).await?.into_iter().map(|row| {
        let place = match row.place.as_str() {
            "signing_key" => Place::SigningKey,
            "x509_authority" => Place::X509Authority,
            _ => Place::Secret,
        };
        Sealed { place, name: row.name, nonce: row.nonce, text: row.text }
    });
    Ok(sealed.collect())
}

/// Replaces the sealed form of a stored text.
#[tracing::instrument(name = "store.sealed.update", target = "countersign_trace", level = "debug", skip_all)]
pub async fn update(conn: &mut Connection, sealed: &Sealed) -> Result<(), StoreError> {
    let Sealed { place, name, nonce, text } = sealed;
    match place {
        Place::SigningKey => {
            sqlx::query!(
                "UPDATE signing_key SET private_nonce = $2, private_key = $3 WHERE kid = $1",
                name,
                nonce,
                text
            )
            .execute(conn)
            .await?
        }
        Place::X509Authority => {
            sqlx::query!(
                "UPDATE x509_authority SET private_nonce = $2, private_key = $3 WHERE authority_id = $1",
                name,
                nonce,
                text
            )
            .execute(conn)
            .await?
        }
        Place::Secret => {
            sqlx::query!(
                "UPDATE sealed_secret SET private_nonce = $2, private_key = $3 WHERE name = $1",
                name,
                nonce,
                text
            )
            .execute(conn)
            .await?
        }
    };
    Ok(())
}
