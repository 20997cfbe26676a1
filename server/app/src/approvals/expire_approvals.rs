//! What time alone does to approvals. To every reader what has lapsed is EXPIRED at once; here rows and events follow.

use countersign_core::approval::{Approval, ApprovalState};
use countersign_ledger::leaf::{Kind, Leaf};
use countersign_store::approval;

use super::approval_event::{leaf, notice};
use crate::{
    App, Error, Topic,
    engine::transaction::{Change, ChangeTx},
};

/// Most approvals in one transaction: it holds the log head, and with it every decision, for as long as it takes.
const BATCH: i64 = 100;
/// Most transactions in one round: the next is a second away.
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
    /// Lets rows and events follow the clock.
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
