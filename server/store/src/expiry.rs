//! API keys and sponsors' reviews that expire, and which expiries, also of certificates, were announced already.

use countersign_core::{
    api_key::ApiKeyId,
    expiry::{ExpiryKind, Threshold},
};
use time::OffsetDateTime;

use crate::{Connection, StoreError};

/// A thing that expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What kind of thing it is.
    pub kind: ExpiryKind,
    /// The id of a key or sponsor, or the SHA-256 of a certificate.
    pub id: String,
    /// The operator of a key, or where a certificate is configured. `None` if the id is enough.
    pub of: Option<String>,
    /// When it expires.
    pub end_time: OffsetDateTime,
}

/// The next expiry of each kind that the database knows, however far away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Soonest {
    /// The next expiry of an API key that is not revoked.
    pub api_key: Option<OffsetDateTime>,
    /// The next review date of an ACTIVE sponsor.
    pub sponsor_review: Option<OffsetDateTime>,
}

/// The next expiry of an API key and the next review date after `now`.
#[tracing::instrument(name = "store.expiry.soonest", target = "countersign_trace", level = "debug", skip_all)]
pub async fn soonest(conn: &mut Connection, now: OffsetDateTime) -> Result<Soonest, StoreError> {
    let row = sqlx::query!(
        "SELECT (SELECT min(expire_time) FROM api_key WHERE revoke_time IS NULL AND expire_time > $1) AS api_key,
             (SELECT min(review_due_at) FROM sponsor WHERE state = 'ACTIVE' AND review_due_at > $1) AS sponsor_review",
        now
    );
    let row = row.fetch_one(conn).await?;
    Ok(Soonest { api_key: row.api_key, sponsor_review: row.sponsor_review })
}

/// API keys and reviews that expire after `after` and not after `until`, the soonest first, at most `most` of each,
/// without those that were announced at `unannounced`.
#[tracing::instrument(name = "store.expiry.between", target = "countersign_trace", level = "debug", skip_all)]
pub async fn between(
    conn: &mut Connection,
    [after, until]: [OffsetDateTime; 2],
    unannounced: Option<Threshold>,
    most: i64,
) -> Result<Vec<Ending>, StoreError> {
    let days = unannounced.map(|threshold| i16::from(threshold.days()));
    let keys = sqlx::query!(
        "SELECT key_id, operator_id, expire_time AS \"end_time!\" FROM api_key
         WHERE revoke_time IS NULL AND expire_time > $1 AND expire_time <= $2
           AND NOT EXISTS (
             SELECT FROM expiry_announced AS announced
             WHERE kind = 'api_key' AND announced.id = replace(key_id::text, '-', '')
               AND announced.end_time = expire_time AND days = $3)
         ORDER BY expire_time, key_id LIMIT $4",
        after,
        until,
        days,
        most
    );
    let keys = keys.fetch_all(&mut *conn).await?.into_iter().map(|row| Ending {
        kind: ExpiryKind::ApiKey,
        id: ApiKeyId(row.key_id).to_string(),
        of: Some(row.operator_id),
        end_time: row.end_time,
    });
    let reviews = sqlx::query!(
        "SELECT sponsor_id, review_due_at AS \"end_time!\" FROM sponsor
         WHERE state = 'ACTIVE' AND review_due_at > $1 AND review_due_at <= $2
           AND NOT EXISTS (
             SELECT FROM expiry_announced AS announced
             WHERE kind = 'sponsor_review' AND announced.id = sponsor_id
               AND announced.end_time = review_due_at AND days = $3)
         ORDER BY review_due_at, sponsor_id LIMIT $4",
        after,
        until,
        days,
        most
    );
    let reviews = reviews.fetch_all(conn).await?.into_iter().map(|row| Ending {
        kind: ExpiryKind::SponsorReview,
        id: row.sponsor_id,
        of: None,
        end_time: row.end_time,
    });
    let mut endings: Vec<_> = keys.chain(reviews).collect();
    endings.sort_by_key(|ending| ending.end_time);
    Ok(endings)
}

/// Records that `endings` are announced at `threshold`, and returns those that no server had announced.
#[tracing::instrument(name = "store.expiry.announce", target = "countersign_trace", level = "debug", skip_all)]
pub async fn announce(
    conn: &mut Connection,
    endings: Vec<Ending>,
    threshold: Threshold,
    now: OffsetDateTime,
) -> Result<Vec<Ending>, StoreError> {
    let kinds: Vec<_> = endings.iter().map(|ending| ending.kind.as_str().to_owned()).collect();
    let ids: Vec<_> = endings.iter().map(|ending| ending.id.clone()).collect();
    let ends: Vec<_> = endings.iter().map(|ending| ending.end_time).collect();
    // Every server uses the same order, so that two servers cannot wait for each other.
    let new = sqlx::query!(
        "INSERT INTO expiry_announced (kind, id, end_time, days, announce_time)
         SELECT kind, id, end_time, $4, $5 FROM UNNEST($1::text[], $2::text[], $3::timestamptz[]) AS new (kind, id, end_time)
         ORDER BY end_time, kind, id
         ON CONFLICT DO NOTHING RETURNING kind, id",
        &kinds,
        &ids,
        &ends,
        i16::from(threshold.days()),
        now
    );
    let new: Vec<_> = new.fetch_all(conn).await?.into_iter().map(|row| (row.kind, row.id)).collect();
    let is_new = |ending: &Ending| new.iter().any(|(kind, id)| kind == ending.kind.as_str() && *id == ending.id);
    Ok(endings.into_iter().filter(is_new).collect())
}

/// Forgets announcements about expiries before `before`.
#[tracing::instrument(name = "store.expiry.purge", target = "countersign_trace", level = "debug", skip_all)]
pub async fn purge(conn: &mut Connection, before: OffsetDateTime) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM expiry_announced WHERE end_time < $1", before).execute(conn).await?;
    Ok(())
}
