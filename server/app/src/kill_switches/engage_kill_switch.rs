//! EngageKillSwitch: stops calls at once, whatever policy and rollout say. Refuses more switches than may be engaged at
//! a time; each engages separately.

use countersign_core::{
    clock::uuid_v7,
    ids::KillSwitchId,
    kill_switch::{KillSwitch, MAX_ENGAGED, Target},
};
use countersign_ledger::leaf::{Change as LeafChange, Kind, Leaf, Subject};
use countersign_store::kill_switch;
use serde::{Deserialize, Serialize};

use crate::{
    App, Error, Idempotency, OperatorCaller, Topic,
    engine::transaction::{Change, ChangeTx},
    webhook::KillSwitchNotice,
};

/// What to stop, and the reason.
#[derive(Debug, Clone)]
pub struct EngageKillSwitch {
    /// What to stop.
    pub target: Target,
    /// The reason, in words.
    pub reason: String,
}

/// A switch that was engaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitchEngaged {
    /// The switch.
    pub kill_switch: KillSwitch,
    /// The log index of the event: no ALLOW that it forbids comes after it.
    pub log_index: i64,
}

struct Engage<'a> {
    caller: &'a OperatorCaller,
    command: &'a EngageKillSwitch,
}

impl Change for Engage<'_> {
    const METHOD: &'static str = "EngageKillSwitch";
    type Answer = KillSwitchEngaged;

    fn stops(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<KillSwitchEngaged, Error> {
        let engaged = kill_switch::count(tx.conn()).await?;
        if usize::try_from(engaged).unwrap_or(0) >= MAX_ENGAGED {
            return Err(Error::IllegalTransition(format!(
                "{engaged} kill switches are engaged, and {MAX_ENGAGED} are the most: release some, or stop everything with \
                 one for all, which takes the place of many"
            )));
        }
        let now = tx.now();
        let switch = KillSwitch {
            kill_switch_id: KillSwitchId(uuid_v7(now, tx.entropy())),
            target: self.command.target.clone(),
            reason: self.command.reason.clone(),
            engaged_by: self.caller.operator_id.clone(),
            engage_time: now,
        };
        kill_switch::insert(tx.conn(), &switch).await?;
        tx.changes_authority();
        let log_index = append(tx, Kind::KillSwitchEngaged, self.caller, &switch, &switch.reason)?;
        Ok(KillSwitchEngaged { kill_switch: switch, log_index })
    }
}

/// Appends the event of a switch that was engaged or released, and tells the webhooks.
pub(crate) fn append(
    tx: &mut ChangeTx,
    kind: Kind,
    caller: &OperatorCaller,
    switch: &KillSwitch,
    reason: &str,
) -> Result<i64, Error> {
    let id = || Some(switch.kill_switch_id.to_string().into());
    let engages = kind == Kind::KillSwitchEngaged;
    let leaf = Leaf {
        changes: vec![LeafChange {
            field: "kill_switch_id".into(),
            after: id().filter(|_| engages),
            before: id().filter(|_| !engages),
        }],
        subject: Some(Subject {
            id: switch.target.id().map(|id| id.to_owned().into()),
            kind: switch.target.scope().as_str().into(),
        }),
        ..tx.leaf(kind, &caller.operator_id)
    };
    let (log_index, _) = tx.append(leaf, reason)?;
    let topic = if engages { Topic::KillSwitchEngaged } else { Topic::KillSwitchReleased };
    tx.notify(topic, &KillSwitchNotice::new(switch, &caller.operator_id, log_index))?;
    Ok(log_index)
}

impl App {
    /// Stops calls at once. Each call of this engages a separate switch, even if another one stops the same.
    pub async fn engage_kill_switch(
        &self,
        caller: &OperatorCaller,
        command: EngageKillSwitch,
        idempotency: Option<Idempotency>,
    ) -> Result<KillSwitchEngaged, Error> {
        let change = Engage { caller, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
