//! GetCustodyChain: one tree from the sponsor through every instance of a chain to the calls, with events and
//! approvals; at most so many events and instances as a reply holds, and whether it was cut (truncated).

use std::collections::{BTreeSet, HashMap};

use countersign_core::{
    approval::Approval,
    ids::{DecisionId, EventId, InstanceId},
    sponsor::Sponsor,
};
use countersign_store::{Connection, approval, event, instance, sponsor};
use time::OffsetDateTime;

use crate::{
    App, DecisionRecord, Error, EventRecord, InstanceRecord,
    decisions::read_decisions::{is_decision, records},
    engine::retry::retried,
};

/// Limit of the events, and of the instances, of one chain in a reply: what fits into the 4 MiB that gRPC clients
/// accept by default.
const MOST: i64 = 1_000;

/// A member of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainSubject {
    /// A decision.
    Decision(DecisionId),
    /// An instance.
    Instance(InstanceId),
    /// An event.
    Event(EventId),
}

/// Everything from the sponsor to the last call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodyChain {
    /// The sponsor. `None` for an event that concerns no sponsor.
    pub sponsor: Option<Sponsor>,
    /// The root first, then its descendants by start time.
    pub instances: Vec<InstanceRecord>,
    /// The decisions, in log order.
    pub decisions: Vec<DecisionRecord>,
    /// Every event, in log order.
    pub events: Vec<EventRecord>,
    /// The approvals that its decisions asked for or were based on, oldest first.
    pub approvals: Vec<Approval>,
    /// Whether the chain was cut.
    pub truncated: bool,
}

impl App {
    /// The chain that a decision, an instance or an event belongs to, as it was at one moment.
    pub async fn custody_chain(&self, subject: ChainSubject) -> Result<CustodyChain, Error> {
        retried(|| self.read_chain(subject)).await
    }

    async fn read_chain(&self, subject: ChainSubject) -> Result<CustodyChain, Error> {
        let mut tx = self.inner.engine.store.for_reads().begin_snapshot().await?;
        let root = match subject {
            ChainSubject::Instance(id) => Ok(Some(root_of(&mut tx, id).await?)),
            ChainSubject::Decision(id) => of_event(&mut tx, id.event_id(), "decision", id.to_string()).await,
            ChainSubject::Event(id) => of_event(&mut tx, id, "event", id.to_string()).await,
        };
        match root? {
            Some(root) => self.chain_of(&mut tx, root).await,
            None => Ok(alone(&mut tx, subject).await?),
        }
    }

    async fn chain_of(&self, conn: &mut Connection, root: InstanceId) -> Result<CustodyChain, Error> {
        let mut instances = instance::chain(conn, root, MOST + 1).await?;
        let mut truncated = cut(&mut instances);
        let first = instances.first().ok_or_else(|| Error::not_found("instance", root))?;
        let sponsor_id = first.instance.sponsor_id.clone();
        let mut events = event::chain(conn, root, sponsor_id.as_str(), MOST + 1).await?;
        truncated |= cut(&mut events);
        let events = EventRecord::compared(conn, events).await?;
        let known: HashMap<_, _> =
            instances.iter().map(|stored| (stored.instance.agent_instance_id, stored.instance.clone())).collect();
        let decisions = events.iter().filter(|event| is_decision(event)).cloned().collect();
        let now = self.inner.engine.clock.now();
        let decisions = records(conn, decisions, known).await?;
        Ok(CustodyChain {
            sponsor: sponsor::get(conn, &sponsor_id).await?,
            approvals: approvals_of(conn, &decisions, now).await?,
            decisions,
            instances: instances.into_iter().map(|stored| InstanceRecord::at(now, stored)).collect(),
            events,
            truncated,
        })
    }
}

/// The root of an event's chain. `None` if the event belongs to no instance.
pub(super) async fn of_event(
    conn: &mut Connection,
    event_id: EventId,
    what: &'static str,
    id: String,
) -> Result<Option<InstanceId>, Error> {
    let found = event::get_all(conn, &[event_id.0]).await?.pop();
    let Some(event) = found.map(EventRecord::try_from).transpose()? else { return Err(Error::not_found(what, id)) };
    if what == "decision" && !is_decision(&event) {
        return Err(Error::not_found(what, id));
    }
    Ok(event.leaf.root_instance_id.as_deref().and_then(|root| root.parse().ok()))
}

fn cut<T>(items: &mut Vec<T>) -> bool {
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    let cut = items.len() > most;
    items.truncate(most);
    cut
}

pub(super) async fn root_of(conn: &mut Connection, id: InstanceId) -> Result<InstanceId, Error> {
    let found = instance::get_all(conn, &[id.0]).await?.pop();
    Ok(found.ok_or_else(|| Error::not_found("instance", id))?.instance.root_instance_id)
}

/// The approvals that these decisions asked for or were based on, oldest first, in their current state.
async fn approvals_of(
    conn: &mut Connection,
    decisions: &[DecisionRecord],
    now: OffsetDateTime,
) -> Result<Vec<Approval>, Error> {
    let ids: BTreeSet<_> = decisions.iter().filter_map(|decision| decision.approval_id).map(|id| id.0).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let mut approvals = approval::find(conn, &ids, &[]).await?;
    for approval in &mut approvals {
        approval.state = approval.state_at(now);
    }
    approvals.sort_by_key(|approval| (approval.create_time, approval.approval_id.0));
    Ok(approvals)
}

/// An event that belongs to no instance: the event and its sponsor.
async fn alone(conn: &mut Connection, subject: ChainSubject) -> Result<CustodyChain, Error> {
    let id = match subject {
        ChainSubject::Decision(id) => id.0,
        ChainSubject::Event(id) => id.0,
        ChainSubject::Instance(id) => id.0,
    };
    let stored = event::get_all(conn, &[id]).await?;
    let events = EventRecord::compared(conn, stored).await?;
    let sponsor_id = events.first().and_then(|event| event.leaf.sponsor_id.as_deref()).and_then(|id| id.parse().ok());
    let sponsor = match sponsor_id {
        Some(sponsor_id) => sponsor::get(conn, &sponsor_id).await?,
        None => None,
    };
    let decisions = events.iter().filter(|event| is_decision(event)).cloned().collect();
    let decisions = records(conn, decisions, HashMap::new()).await?;
    Ok(CustodyChain { sponsor, instances: Vec::new(), decisions, events, approvals: Vec::new(), truncated: false })
}
