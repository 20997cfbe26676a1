//! Answers to writes that came with a request id (idempotency key), kept until they expire. They belong to a caller and
//! a method.

use time::OffsetDateTime;

use crate::{Connection, StoreError, convert::bytes};

const TABLE: &str = "idempotency";

/// Whose request, to which method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The operator or instance that called.
    pub caller: String,
    /// The method.
    pub method: &'static str,
    /// The id that the caller gave the request.
    pub request_id: String,
}

/// A request that is answered once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// Under which id.
    pub key: Key,
    /// SHA-256 of the request: another request under the same id is refused.
    pub fingerprint: [u8; 32],
}

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The caller, the method and the request id.
    pub key: Key,
    /// SHA-256 of the request; a different request with the same id is refused.
    pub fingerprint: [u8; 32],
    /// The answer as JSON; never a signed token.
    pub answer: String,
}

/// The answers that these requests have.
#[tracing::instrument(name = "store.idempotency.get_all", target = "countersign_trace", level = "debug", skip_all)]
pub async fn get_all(conn: &mut Connection, keys: &[Key]) -> Result<Vec<Answered>, StoreError> {
    let callers: Vec<&str> = keys.iter().map(|key| key.caller.as_str()).collect();
    let methods: Vec<&str> = keys.iter().map(|key| key.method).collect();
    let requests: Vec<&str> = keys.iter().map(|key| key.request_id.as_str()).collect();
    let rows = sqlx::query!(
        r#"SELECT nth AS "nth!", fingerprint, answer
         FROM UNNEST($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS key (caller, method, request_id, nth)
         JOIN idempotency USING (caller, method, request_id)"#,
        &callers as &[&str],
        &methods as &[&str],
        &requests as &[&str]
    );
    rows.fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            let key = usize::try_from(row.nth - 1).ok().and_then(|place| keys.get(place));
            let key = key.ok_or_else(|| StoreError::corrupt(TABLE, format!("place {}", row.nth)))?.clone();
            Ok(Answered { key, fingerprint: bytes(TABLE, "fingerprint", &row.fingerprint)?, answer: row.answer })
        })
        .collect()
}

/// Keeps answers until `expire_time`.
#[tracing::instrument(name = "store.idempotency.insert", target = "countersign_trace", level = "debug", skip_all)]
pub async fn insert<'a>(
    conn: &mut Connection,
    answered: impl IntoIterator<Item = &'a Answered>,
    expire_time: OffsetDateTime,
) -> Result<(), StoreError> {
    let answered: Vec<_> = answered.into_iter().collect();
    let callers: Vec<&str> = answered.iter().map(|a| a.key.caller.as_str()).collect();
    let methods: Vec<&str> = answered.iter().map(|a| a.key.method).collect();
    let requests: Vec<&str> = answered.iter().map(|a| a.key.request_id.as_str()).collect();
    let fingerprints: Vec<&[u8]> = answered.iter().map(|a| a.fingerprint.as_slice()).collect();
    let answers: Vec<&str> = answered.iter().map(|a| a.answer.as_str()).collect();
    sqlx::query!(
        "INSERT INTO idempotency (caller, method, request_id, fingerprint, answer, expire_time)
         SELECT caller, method, request_id, fingerprint, answer, $6
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[])
              AS answered (caller, method, request_id, fingerprint, answer)",
        &callers as &[&str],
        &methods as &[&str],
        &requests as &[&str],
        &fingerprints as &[&[u8]],
        &answers as &[&str],
        expire_time
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets answers that have expired at `now`.
#[tracing::instrument(name = "store.idempotency.purge", target = "countersign_trace", level = "debug", skip_all)]
pub async fn purge(conn: &mut Connection, now: OffsetDateTime) -> Result<u64, StoreError> {
    let done = sqlx::query!("DELETE FROM idempotency WHERE expire_time < $1", now).execute(conn).await?;
    Ok(done.rows_affected())
}
