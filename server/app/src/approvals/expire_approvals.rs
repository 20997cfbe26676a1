//! Expires approvals, a limited number in one transaction. Every reader sees an approval as EXPIRED at once when its
//! time has passed; here the rows, the events and the webhook messages follow.

use countersign_core::approval::{Approval, ApprovalState};
use countersign_ledger::leaf::{Kind, Leaf};
use countersign_store::approval;

use super::approval_event::{leaf, notice};
use crate::{
    App, Error, Topic,
    engine::transaction::{Change, ChangeTx},
};

/// Limit of the approvals in one transaction, which holds the log head, and with it every decision, until it ends.
const BATCH: i64 = 100;
/// Limit of the transactions in one round; the next round is a second away.
const ROUND: usize = 10;

/// The next batch.
struct Expire;

impl Change for Expire {
    const METHOD: &'static str = "ExpireApprovals";
    /// Whether there may be more.
    type Answer = bool;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<bool, Error> {
        let now = tx.now();
        let ids = approval::lapsed(tx.conn(), now, BATCH).await?;
        let found = approval::find(tx.conn(), &ids, &[]).await?;
        let mut lapsed = Vec::with_capacity(found.len());
        for before in found {
            let base = Leaf {
                state_after: Some(ApprovalState::Expired.as_str().into()),
                state_before: Some(before.state.as_str().into()),
                ..tx.own_leaf(Kind::ApprovalExpired)
            };
            let (log_index, _) = tx.append(leaf(&before, base), "")?;
            let expired = Approval { state: ApprovalState::Expired, revision: before.revision + 1, ..before };
            tx.notify(Topic::ApprovalExpired, &notice(&expired, log_index))?;
            lapsed.push(expired);
        }
        if !lapsed.is_empty() {
            approval::upsert(tx.conn(), &lapsed).await?;
        }
        Ok(i64::try_from(ids.len()).is_ok_and(|found| found == BATCH))
    }
}

impl App {
    /// Brings rows and events up to date with the clock.
    pub(crate) async fn expire_approvals(&self) -> Result<(), Error> {
        {
            let mut conn = self.inner.engine.store.connection().await?;
            let now = self.inner.engine.database_now(&mut conn).await?;
            if approval::lapsed(&mut conn, now, 1).await?.is_empty() {
                return Ok(());
            }
        }
        for _ in 0..ROUND {
            if !self.change("server", None, &Expire).await? {
                break;
            }
        }
        Ok(())
    }
}
