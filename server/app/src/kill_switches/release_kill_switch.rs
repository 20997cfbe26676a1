//! ReleaseKillSwitch, which releases one switch and no other one that stops the same, and ListKillSwitches.

use countersign_core::{
    ids::KillSwitchId,
    kill_switch::{KillSwitch, KillSwitchScope},
};
use countersign_ledger::leaf::Kind;
use countersign_store::kill_switch;

use super::engage_kill_switch::append;
use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller, Page, PageRequest,
    engine::transaction::{Change, ChangeTx},
};

/// The switch, and the reason for releasing it.
#[derive(Debug, Clone)]
pub struct ReleaseKillSwitch {
    /// The switch.
    pub kill_switch_id: KillSwitchId,
    /// The reason, in words.
    pub reason: String,
}

struct Release<'a> {
    caller: &'a OperatorCaller,
    four_eyes: FourEyes,
    command: &'a ReleaseKillSwitch,
}

impl Change for Release<'_> {
    const METHOD: &'static str = "ReleaseKillSwitch";
    type Answer = i64;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<i64, Error> {
        let ReleaseKillSwitch { kill_switch_id, reason } = self.command;
        let found = kill_switch::delete(tx.conn(), *kill_switch_id).await?;
        let switch = found.ok_or_else(|| Error::not_found("engaged kill switch", kill_switch_id))?;
        self.four_eyes.of_release(tx, &self.caller.operator_id, &switch.engaged_by).await?;
        tx.changes_authority();
        append(tx, Kind::KillSwitchReleased, self.caller, &switch, reason)
    }
}

impl App {
    /// Releases a switch, and no other one that stops the same. Returns the log index of the event.
    pub async fn release_kill_switch(
        &self,
        caller: &OperatorCaller,
        command: ReleaseKillSwitch,
        idempotency: Option<Idempotency>,
    ) -> Result<i64, Error> {
        let change = Release { caller, four_eyes: self.inner.engine.config.four_eyes, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }

    /// One page of the engaged switches, newest first; with `scope`, only those of this scope.
    pub async fn list_kill_switches(
        &self,
        scope: Option<KillSwitchScope>,
        page: PageRequest,
    ) -> Result<Page<KillSwitch>, Error> {
        Ok(kill_switch::list(&mut *self.inner.engine.store.for_reads().connection().await?, scope, &page).await?)
    }
}
