//! RevokeInstance and EndInstance: one entry stops an instance and everything below it. A sponsor may stop their own; an
//! enforcement point (role `gate`) may end only runs for whose calls it asked. Which roles may: `authz/table.rs`.

use countersign_core::{
    ids::InstanceId,
    instance::{Instance, InstanceState, StopInstance},
    operator::OperatorRole,
    revocation::RevocationKind,
    sponsor::Sponsor,
};
use countersign_ledger::leaf::{Decimal, Digest, Kind, Leaf};
use countersign_store::{event, instance, settlement::StoppedInstance, sponsor};
use serde::{Deserialize, Serialize};

use crate::{
    App, Error, Idempotency, OperatorCaller,
    caller::{AccessBasis, Authorized, Own},
    engine::transaction::{Change, ChangeTx},
    revocations::propagate_revocations::stopped,
};

/// Limit of a run's decisions that are searched for one that the enforcement point asked for.
const MOST_DECISIONS: i64 = 20_000;

/// The instance, the transition, and the reason.
#[derive(Debug, Clone)]
pub struct TransitionInstance {
    /// The run.
    pub agent_instance_id: InstanceId,
    /// Whether it is revoked or ended.
    pub transition: StopInstance,
    /// The reason, in words; empty if it finished as planned.
    pub reason: String,
    /// The instance's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

/// An instance after a transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTransitioned {
    /// The instance.
    pub instance: Instance,
    /// How many live instances below it stopped with it.
    pub stopped_instance_count: i64,
    /// The log index of the event. 0 in an answer that an earlier version stored.
    #[serde(default)]
    pub log_index: i64,
}

struct StopBy<'a> {
    caller: &'a OperatorCaller,
    basis: AccessBasis,
    command: &'a TransitionInstance,
}

impl Change for StopBy<'_> {
    // Both verbs share one set of request ids; the fingerprint tells them apart.
    const METHOD: &'static str = "TransitionInstance";
    type Answer = InstanceTransitioned;

    fn stops(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<InstanceTransitioned, Error> {
        let Self { caller, basis, command } = self;
        let found = read(tx, command.agent_instance_id).await;
        // An operator who may only stop their own instances is not told which others exist.
        let sponsor = found.as_ref().ok().map(|found| found.instance.sponsor_id.clone());
        basis.permits(tx.conn(), caller, sponsor.as_ref(), Own::Stop).await?;
        let found = found?;
        let run = &found.instance;
        caller.within(&format!("it may not stop {}", run.agent_instance_id), |scope| {
            scope.may_stop(command.transition, &run.sponsor_id, &run.tools)
        })?;
        found.ensure(command.etag.as_deref())?;
        let kind = match command.transition {
            StopInstance::Revoke => Kind::InstanceRevoked,
            StopInstance::End => Kind::InstanceEnded,
        };
        let now = tx.now();
        let after = found.instance.check(command.transition.into(), tx.earliest())?;
        let stopped_instance_count = instance::count_live_below(tx.conn(), &found.instance, now).await?;
        let before = found.settle(tx)?;
        let seq = tx.revoke(RevocationKind::Instance, before.agent_instance_id.to_string()).await?;
        let leaf = Leaf {
            revocation_seq: u64::try_from(seq).ok().map(Decimal),
            state_after: Some(after.as_str().into()),
            ..leaf(&before, tx.leaf(kind, &caller.operator_id))
        };
        let (log_index, _) = tx.append(leaf, &command.reason)?;
        let instance = Instance { state: after, end_time: Some(now), revision: before.revision + 1, ..before };
        instance::update(tx.conn(), &instance).await?;
        Ok(InstanceTransitioned { instance, stopped_instance_count, log_index })
    }
}

/// The fields of every event about an instance.
pub(crate) fn leaf(instance: &Instance, leaf: Leaf<'static>) -> Leaf<'static> {
    Leaf {
        agent_instance_id: Some(instance.agent_instance_id.to_string().into()),
        custody_ref: Some(Digest(instance.custody_ref)),
        parent_agent_id: instance.parent_agent_id.map(|id| id.to_string().into()),
        root_instance_id: Some(instance.root_instance_id.to_string().into()),
        sponsor_id: Some(instance.sponsor_id.as_str().to_owned().into()),
        state_before: Some(instance.state.as_str().into()),
        ..leaf
    }
}

/// An instance in its current state, for a change, and its sponsor.
pub(crate) struct Found {
    pub(crate) instance: Instance,
    pub(crate) sponsor: Sponsor,
    row_state: InstanceState,
}

pub(crate) async fn read(tx: &mut ChangeTx, id: InstanceId) -> Result<Found, Error> {
    let stored = instance::get_all(tx.conn(), &[id.0]).await?.pop();
    let stored = stored.ok_or_else(|| Error::not_found("instance", id))?;
    let sponsor = sponsor::get(tx.conn(), &stored.instance.sponsor_id).await?;
    let sponsor = sponsor.ok_or_else(|| Error::internal("an instance has no sponsor", id))?;
    Ok(Found { instance: stored.instance, sponsor, row_state: stored.row_state })
}

impl Found {
    /// Refuses a stale etag.
    pub(crate) fn ensure(&self, etag: Option<&str>) -> Result<(), Error> {
        if etag.is_some_and(|etag| etag != self.instance.etag()) {
            return Err(Error::EtagMismatch { what: "instance" });
        }
        Ok(())
    }

    /// The instance, to be changed. A departure that orphaned it is recorded first, if the background task has not done
    /// so yet.
    pub(crate) fn settle(self, tx: &mut ChangeTx) -> Result<Instance, Error> {
        let Self { instance, sponsor, row_state } = self;
        if let Some(departure) = sponsor.departure.filter(|_| row_state != instance.state) {
            let orphan = StoppedInstance {
                agent_instance_id: instance.agent_instance_id,
                parent_agent_id: instance.parent_agent_id,
                root_instance_id: instance.root_instance_id,
                sponsor_id: instance.sponsor_id.clone(),
                state: row_state,
                custody_ref: instance.custody_ref,
            };
            stopped(tx, RevocationKind::Sponsor, departure.revocation_seq, InstanceState::Orphaned, &orphan)?;
        }
        Ok(instance)
    }
}

impl App {
    /// Stops an instance and everything it started. From its commit on, no ALLOW for any of them is recorded.
    pub async fn transition_instance(
        &self,
        authorized: &Authorized,
        command: TransitionInstance,
        idempotency: Option<Idempotency>,
    ) -> Result<InstanceTransitioned, Error> {
        let (caller, basis) = authorized.operator()?;
        if command.transition == StopInstance::End && basis == AccessBasis::Role {
            self.ensure_concerned(caller, command.agent_instance_id).await?;
        }
        let change = StopBy { caller, basis, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }

    /// Refuses an operator who may end runs only as an enforcement point and has no connection with this one: it may
    /// end runs for whose calls it asked. Otherwise any gate key could end any run.
    async fn ensure_concerned(&self, caller: &OperatorCaller, id: InstanceId) -> Result<(), Error> {
        if caller.roles.has(OperatorRole::Issuer) {
            return Ok(());
        }
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        // A missing instance is refused as missing.
        let Some(stored) = instance::get_all(&mut conn, &[id.0]).await?.pop() else { return Ok(()) };
        let (run, operator) = (stored.instance, caller.operator_id.as_str());
        if run.sponsor_id.as_str() == operator {
            return Ok(());
        }
        // Servers' clocks differ slightly.
        let since = run.create_time - time::Duration::MINUTE;
        if event::asked(&mut conn, id, run.root_instance_id, since, operator, MOST_DECISIONS).await? {
            return Ok(());
        }
        Err(Error::RoleRequired {
            message: format!(
                "a gate ends runs whose calls it asked for, and {operator} asked for none of {id}: an issuer or its sponsor can end it"
            ),
            roles: vec![OperatorRole::Issuer],
        })
    }
}
