//! Writes per-instance events in the background. A revocation is one entry, however much it stops, and its reply waits
//! for nothing else; here the rows of the stopped instances are updated, with a custody event for each.

use countersign_core::{decision::Reason, instance::InstanceState, revocation::RevocationKind};
use countersign_ledger::leaf::{Decimal, Digest, Kind, Leaf};
use countersign_store::settlement::{self, StoppedInstance};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    App, Error,
    engine::transaction::{Change, ChangeTx},
    workers::POLL,
};

/// Limit of the instances in one transaction, which holds the log head, and with it every decision, until it ends.
const BATCH: i64 = 500;

/// The next batch.
struct Settle;

impl Change for Settle {
    const METHOD: &'static str = "Settle";
    /// Whether there may be more.
    type Answer = bool;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<bool, Error> {
        let Some(unsettled) = settlement::next(tx.conn()).await? else {
            let seq = tx.revocation_seq();
            settlement::advance(tx.conn(), seq).await?;
            return Ok(false);
        };
        let instances = settlement::stopped(tx.conn(), &unsettled, BATCH).await?;
        let entry = &unsettled.entry;
        let (state, since) = if unsettled.departure {
            (InstanceState::Orphaned, None)
        } else {
            (InstanceState::Revoked, Some(entry.create_time))
        };
        for instance in &instances {
            stopped(tx, entry.kind, entry.seq, state, instance)?;
        }
        let ids: Vec<_> = instances.iter().map(|instance| instance.agent_instance_id).collect();
        settlement::settle(tx.conn(), &ids, state, since).await?;
        let all = i64::try_from(instances.len()).unwrap_or(i64::MAX) < BATCH;
        if all {
            settlement::advance(tx.conn(), entry.seq).await?;
        }
        metrics::counter!("countersign_instances_settled_total").increment(instances.len() as u64);
        Ok(true)
    }
}

/// Records that the entry `seq` of `kind` stopped an instance.
pub(crate) fn stopped(
    tx: &mut ChangeTx,
    kind: RevocationKind,
    seq: i64,
    state: InstanceState,
    instance: &StoppedInstance,
) -> Result<(), Error> {
    let event = if state == InstanceState::Orphaned { Kind::InstanceOrphaned } else { Kind::InstanceRevoked };
    let leaf = stopped_leaf(kind, seq, state, instance, tx.own_leaf(event));
    tx.append(leaf, "").map(drop)
}

/// The event of an instance that the entry `seq` of `kind` stopped.
pub(crate) fn stopped_leaf(
    kind: RevocationKind,
    seq: i64,
    state: InstanceState,
    instance: &StoppedInstance,
    leaf: Leaf<'static>,
) -> Leaf<'static> {
    let why = match kind {
        RevocationKind::Sponsor => Reason::SponsorNotActive,
        RevocationKind::Instance => Reason::InstanceNotLive,
        _ => Reason::CredentialRevoked,
    };
    Leaf {
        agent_instance_id: Some(instance.agent_instance_id.to_string().into()),
        custody_ref: Some(Digest(instance.custody_ref)),
        parent_agent_id: instance.parent_agent_id.map(|id| id.to_string().into()),
        reason: Some(why.as_str().into()),
        revocation_seq: u64::try_from(seq).ok().map(Decimal),
        root_instance_id: Some(instance.root_instance_id.to_string().into()),
        sponsor_id: Some(instance.sponsor_id.as_str().to_owned().into()),
        state_after: Some(state.as_str().into()),
        state_before: Some(instance.state.as_str().into()),
        ..leaf
    }
}

impl App {
    /// Updates rows for entries until `stop`, batch after batch.
    pub(crate) async fn settle(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.settle_all(&stop).await {
                tracing::warn!(%error, "the events of stopped instances are delayed; the instances are stopped \
                                        nevertheless");
            }
        }
    }

    pub(crate) async fn settle_all(&self, stop: &CancellationToken) -> Result<(), Error> {
        if self.inner.engine.clock.trust().is_err()
            || !settlement::is_behind(&mut *self.inner.engine.store.connection().await?).await?
        {
            return Ok(());
        }
        while !stop.is_cancelled() && self.change("server", None, &Settle).await? {}
        Ok(())
    }
}
