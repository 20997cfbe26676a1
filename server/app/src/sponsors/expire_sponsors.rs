//! Time-based changes of sponsors: a lapsed review suspends them, and orphans that were not accepted in time are
//! revoked.

use countersign_core::{names::SponsorId, revocation::RevocationKind};
use countersign_ledger::leaf::{Decimal, Kind, Leaf, Subject};
use countersign_store::{settlement, sponsor};

use super::transition_sponsor::{Lapse, read};
use crate::{
    App, Error,
    engine::transaction::{Change, ChangeTx},
};

/// Limit of the sponsors in one round; the next round is a second away.
const ROUND: i64 = 100;
/// The reason code of revoked orphans.
const NOT_ACCEPTED: &str = "ORPHANS_NOT_ACCEPTED";

/// The end of the time for a departed sponsor's orphans.
struct RevokeOrphans<'a> {
    sponsor_id: &'a SponsorId,
}

impl Change for RevokeOrphans<'_> {
    const METHOD: &'static str = "RevokeOrphans";
    /// Whether there were any.
    type Answer = bool;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<bool, Error> {
        let mut sponsor = read(tx, self.sponsor_id, None).await?;
        let now = tx.now();
        let due = sponsor.departure.as_mut().and_then(|departure| departure.orphans_due_at.take_if(|due| *due <= now));
        if due.is_none() {
            return Ok(false);
        }
        sponsor.revision += 1;
        sponsor::update(tx.conn(), &sponsor).await?;
        if !settlement::has_orphans(tx.conn(), &sponsor.sponsor_id).await? {
            return Ok(false);
        }
        // One entry stops all of them, like any revocation; their events follow.
        let seq = tx.revoke(RevocationKind::Sponsor, sponsor.sponsor_id.to_string()).await?;
        let id = sponsor.sponsor_id.as_str().to_owned();
        let leaf = Leaf {
            reason: Some(NOT_ACCEPTED.into()),
            revocation_seq: u64::try_from(seq).ok().map(Decimal),
            sponsor_id: Some(id.clone().into()),
            subject: Some(Subject { id: Some(id.into()), kind: RevocationKind::Sponsor.as_str().into() }),
            ..tx.own_leaf(Kind::Revocation)
        };
        tx.append(leaf, "")?;
        Ok(true)
    }
}

impl App {
    /// Does what is due.
    pub(crate) async fn expire_due(&self) -> Result<(), Error> {
        let (lapsed, due) = {
            let mut conn = self.inner.engine.store.connection().await?;
            let now = self.inner.engine.database_now(&mut conn).await?;
            (sponsor::review_lapsed(&mut conn, now, ROUND).await?, sponsor::orphans_due(&mut conn, now, ROUND).await?)
        };
        for sponsor_id in &lapsed {
            if self.change("server", None, &Lapse { sponsor_id }).await? {
                tracing::info!(%sponsor_id, "the review lapsed: suspended until an approver recertifies the sponsor");
            }
        }
        for sponsor_id in &due {
            if self.change("server", None, &RevokeOrphans { sponsor_id }).await? {
                tracing::info!(%sponsor_id, "the departed sponsor's instances were not accepted in time: revoked");
            }
        }
        Ok(())
    }
}
