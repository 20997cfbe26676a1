//! The floor of the revocations: entries up to it are forgotten, and credentials from before it count as expired. So no
//! clock decides which entries matter. If the clock that raises the floor is wrong, only too much is refused.

use countersign_core::revocation::ENTRIES_KEPT;
use countersign_ledger::leaf::{Decimal, Kind, Leaf};
use countersign_store::revocation;

use crate::{
    App, Error,
    engine::transaction::{Change, ChangeTx},
};

struct MoveFloor;

impl Change for MoveFloor {
    const METHOD: &'static str = "MoveRevocationFloor";
    /// The floor, if it was raised.
    type Answer = Option<i64>;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Option<i64>, Error> {
        move_floor(tx).await
    }
}

/// Raises the floor to the newest entry that is older than every valid credential. This starts an epoch if the floor
/// changes: from then on no server records an ALLOW with a credential below the floor.
pub(crate) async fn move_floor(tx: &mut ChangeTx) -> Result<Option<i64>, Error> {
    let (known, before) = (tx.revocation_floor(), tx.now() - ENTRIES_KEPT);
    let floor = revocation::older(tx.conn(), known, before).await?;
    if floor <= known {
        return Ok(None);
    }
    tx.raise_revocation_floor(floor).await?;
    let revocation_seq = u64::try_from(floor).ok().map(Decimal);
    let leaf = Leaf { revocation_seq, ..tx.own_leaf(Kind::RevocationFloorMoved) };
    tx.append(leaf, "")?;
    Ok(Some(floor))
}

impl App {
    /// Forgets entries that have expired. Makes no query if there are none.
    pub(crate) async fn move_revocation_floor(&self) -> Result<(), Error> {
        let now = self.inner.engine.clock.now();
        if !self.snapshot().revocation_log.holds_older(now - ENTRIES_KEPT) {
            return Ok(());
        }
        if let Some(floor) = self.change("server", None, &MoveFloor).await? {
            tracing::debug!(floor, "revocations that nothing living is older than are forgotten");
        }
        Ok(())
    }
}
