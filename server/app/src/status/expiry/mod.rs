//! Announces expiries in advance: operators' API keys, sponsors' reviews, certificates and authorities. They are in
//! metrics, in readiness, and in webhook messages 14, 7 and 1 days ahead, once across all servers and restarts, by the
//! database's clock.

mod certificates;
mod notice;

use countersign_core::expiry::{ExpiryKind, Threshold, left};
use countersign_store::{
    Connection, commit,
    expiry::{self, Ending},
    webhook,
};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

pub use certificates::CertificateFile;

use crate::{App, Error};

/// Limit of the expiries of a kind that are read in one round.
const ROUND: i64 = 1_000;
/// Limit of the expiries that readiness names.
const NAMED: usize = 3;
/// How long an announcement is remembered after the expiry.
const KEPT: Duration = Duration::DAY;

/// The next expiries, as they were last read.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    /// When they were read, by the database's clock. `None` if they were not read yet.
    seen: Option<OffsetDateTime>,
    /// The soonest first.
    soon: Vec<Ending>,
}

impl App {
    /// Reads the next expiries, updates the metrics, and announces those that have come near enough.
    pub async fn look_at_endings(&self) -> Result<(), Error> {
        let files = self.inner.engine.config.certificates.clone();
        let certificates = tokio::task::spawn_blocking(move || certificates::read_all(&files)).await;
        let certificates =
            certificates.map_err(|error| Error::internal("certificates could not be looked at", error))?;
        let mut conn = self.inner.engine.store.connection().await?;
        let now = self.inner.engine.database_now(&mut conn).await?;
        let soonest = expiry::soonest(&mut conn, now).await?;
        let until = now + ExpiryKind::ApiKey.notice();
        let mut endings = expiry::between(&mut conn, [now, until], None, ROUND).await?;
        conn.done().await?;
        let authority = self.snapshot().authorities.last();
        let apart: Vec<_> = lasting(&certificates, now).into_iter().chain(authority).collect();
        for kind in ExpiryKind::ALL {
            let end = match kind {
                ExpiryKind::ApiKey => soonest.api_key,
                ExpiryKind::SponsorReview => soonest.sponsor_review,
                _ => apart.iter().filter(|ending| ending.kind == kind).map(|ending| ending.end_time).min(),
            };
            let seconds = end.map_or(f64::INFINITY, |end| (end - now).as_seconds_f64());
            metrics::gauge!("countersign_soonest_end_seconds", "kind" => kind.as_str()).set(seconds);
        }
        endings.extend(apart.into_iter().filter(|ending| ending.end_time - now <= ending.kind.notice()));
        endings.sort_by_key(|ending| ending.end_time);
        if !endings.is_empty() {
            self.announce(&endings, now).await?;
        }
        self.inner.status.endings.store(Endings { seen: Some(now), soon: endings }.into());
        Ok(())
    }

    /// Announces what no server has announced yet. `endings`: the next expiries, but if there are very many only the
    /// first.
    async fn announce(&self, endings: &[Ending], now: OffsetDateTime) -> Result<(), Error> {
        for threshold in Threshold::ALL {
            let reached = |ending: &&Ending| Threshold::reached(ending.kind, ending.end_time, now) == Some(threshold);
            let mut due = self.unannounced(threshold, now).await?;
            let known = |ending: &&Ending| !matches!(ending.kind, ExpiryKind::ApiKey | ExpiryKind::SponsorReview);
            due.extend(endings.iter().filter(known).filter(reached).cloned());
            if due.is_empty() {
                continue;
            }
            let mut tx = self.inner.engine.store.begin().await?;
            let new = expiry::announce(&mut tx, due, threshold, now).await?;
            self.post_endings(&mut tx, &new, threshold, now).await?;
            commit(tx).await?;
            for ending in new.iter().take(NAMED) {
                tracing::warn!("{}: {}", said(ending, now), ending.kind.remedy());
            }
            if new.len() > NAMED {
                tracing::warn!("{} more end within {} days", new.len() - NAMED, threshold.days());
            }
        }
        Ok(())
    }

    async fn unannounced(&self, threshold: Threshold, now: OffsetDateTime) -> Result<Vec<Ending>, Error> {
        let mut conn = self.inner.engine.store.connection().await?;
        let due = expiry::between(&mut conn, threshold.ends(now), Some(threshold), ROUND).await?;
        conn.done().await?;
        Ok(due)
    }

    /// Writes messages into the outbox, in the transaction that remembers them.
    async fn post_endings(
        &self,
        conn: &mut Connection,
        new: &[Ending],
        threshold: Threshold,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let (webhooks, entropy) = (&self.inner.engine.config.webhooks, &*self.inner.engine.entropy);
        let notices = notice::of(new, threshold, now)?;
        let rows: Vec<_> = notices.iter().flat_map(|notice| notice.rows(webhooks, entropy)).collect();
        if !rows.is_empty() {
            webhook::insert(conn, &rows).await?;
        }
        Ok(())
    }

    /// Forgets announcements of past expiries.
    pub(crate) async fn forget_announcements(&self, conn: &mut Connection, now: OffsetDateTime) -> Result<(), Error> {
        Ok(expiry::purge(conn, now - KEPT).await?)
    }

    /// Warnings about the next expiries for operators: the soonest few by name.
    #[must_use]
    pub fn expiry_warnings(&self) -> Vec<String> {
        let endings = self.inner.status.endings.load();
        // Something that has expired since then is left out when the list is read again.
        endings.seen.map_or_else(Vec::new, |now| warnings(&endings.soon, now))
    }
}

fn warnings(soon: &[Ending], now: OffsetDateTime) -> Vec<String> {
    let named = soon.iter().take(NAMED);
    let mut warnings: Vec<_> = named.map(|ending| format!("{}: {}", said(ending, now), ending.kind.remedy())).collect();
    if let Some(more) = soon.len().checked_sub(NAMED).filter(|more| *more > 0) {
        let at_least = if i64::try_from(soon.len()).unwrap_or(i64::MAX) < ROUND { "" } else { "at least " };
        warnings.push(format!(
            "{at_least}{more} more end soon: list them with ListApiKeys and ListSponsors (review_due_before)"
        ));
    }
    warnings
}

/// Certificates without those that need no announcement: one that several files contain, and an expired authority in a
/// file that contains its successor.
fn lasting(certificates: &[Ending], now: OffsetDateTime) -> Vec<Ending> {
    let lives = |of: &Option<String>| certificates.iter().any(|other| other.of == *of && other.end_time > now);
    let mut lasting: Vec<Ending> = Vec::with_capacity(certificates.len());
    for ending in certificates {
        let succeeded = ending.kind != ExpiryKind::TlsCertificate && ending.end_time <= now && lives(&ending.of);
        let twice = lasting.iter().any(|known| (known.kind, &known.id) == (ending.kind, &ending.id));
        if !succeeded && !twice {
            lasting.push(ending.clone());
        }
    }
    lasting
}

/// An instant in the form used in messages.
pub(crate) fn stamp(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

/// What expires and when, in words.
fn said(ending: &Ending, now: OffsetDateTime) -> String {
    let (id, of) = (&ending.id, ending.of.as_deref().unwrap_or_default());
    let what = match ending.kind {
        ExpiryKind::ApiKey => format!("API key {id} of operator {of}"),
        ExpiryKind::SponsorReview => format!("the review of sponsor {id}"),
        ExpiryKind::TlsCertificate => format!("a certificate of the TLS chain in {of}"),
        ExpiryKind::ClientCa => format!("a certificate authority of clients in {of}"),
        ExpiryKind::TrustedCa => format!("a trusted certificate authority in {of}"),
        ExpiryKind::X509Authority => format!("the last authority for X.509-SVIDs ({id})"),
    };
    format!("{what} {} ({})", left(ending.end_time, now), stamp(ending.end_time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    fn review(id: usize, days: i64) -> Ending {
        let end_time = NOW + Duration::days(days);
        Ending { kind: ExpiryKind::SponsorReview, id: format!("s{id}"), of: None, end_time }
    }

    #[test]
    fn an_authority_that_has_ended_beside_its_successor_is_passed_over() {
        let certificate = |kind, id: &str, of: &str, days| Ending {
            kind,
            id: id.to_owned(),
            of: Some(of.to_owned()),
            end_time: NOW + Duration::days(days),
        };
        let old = certificate(ExpiryKind::ClientCa, "a", "ca", -1);
        let new = certificate(ExpiryKind::ClientCa, "b", "ca", 300);
        let alone = certificate(ExpiryKind::TrustedCa, "c", "other", -1);
        let own = certificate(ExpiryKind::TlsCertificate, "d", "tls", -1);
        let chain = certificate(ExpiryKind::TlsCertificate, "e", "tls", 300);
        let again = certificate(ExpiryKind::ClientCa, "b", "third", 300);
        let all = vec![old, new.clone(), alone.clone(), own.clone(), chain.clone(), again];
        assert_eq!(lasting(&all, NOW), [new, alone, own, chain]);
    }

    #[test]
    fn the_soonest_few_are_named_and_the_others_counted() {
        assert_eq!(warnings(&[], NOW), Vec::<String>::new());
        let all: Vec<_> = (0..5).map(|nth| review(nth, 6)).collect();
        let said = warnings(&all, NOW);
        assert!(said[0].starts_with("the review of sponsor s0 ends in 6 days ("), "{}", said[0]);
        assert!(said[0].contains("RecertifySponsor"), "{}", said[0]);
        assert_eq!((said.len(), said[3].starts_with("2 more end soon")), (4, true), "{said:?}");
    }
}
