//! Concurrency limits: how many calls may run at a time, and how many may be pending (`PENDING`), per kind of call,
//! with a share for each caller: an address, a chain or an operator. A call above a limit is refused, never queued.
//!
//! No kind of call uses up the permits of another: unauthenticated callers none of authenticated ones, agents none of
//! enforcement points, reads none of decisions, and none of them those of calls that stop something. A call takes its
//! permit once its caller is known and its body has begun. Until then it holds a pending permit, with separate limits,
//! so that headers without a body take no permit.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{body::Body, response::Response};
use countersign_app::Caller;
use countersign_core::{ids::InstanceId, names::OperatorId};

use super::{
    bounds::Bounds,
    connection::{ActiveCall, CallerKind, ConnectionActivity},
};
use crate::{
    authz::{Access, CallKind, Row},
    status::Refusal,
};

/// Calls at a time of unauthenticated callers: in all, and from one address.
const PUBLIC: [usize; 2] = [64, 32];
/// Calls at a time that stop something: in all, and by one caller.
const STOPPING: [usize; 2] = [64, 16];
/// Streams and waits at a time of one chain.
const CHAIN_STREAMS: usize = 8;
/// How many times as many calls may be pending as may run.
const PENDING: usize = 4;

/// The party that a permit counts against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum LimitKey {
    /// An unauthenticated caller at this address.
    Peer(Option<IpAddr>),
    /// An instance of the chain of this root.
    Chain(InstanceId),
    /// An operator.
    Operator(OperatorId),
}

impl LimitKey {
    fn of(caller: Option<&Caller>, peer: Option<IpAddr>) -> Self {
        match caller {
            None => Self::Peer(peer),
            Some(Caller::Operator(operator)) => Self::Operator(operator.operator_id.clone()),
            Some(Caller::Instance(instance)) => Self::Chain(instance.root_instance_id()),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Peer(_) => "address",
            Self::Chain(_) => "chain",
            Self::Operator(_) => "operator",
        }
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(None) => f.write_str("unknown"),
            Self::Peer(Some(address)) => address.fmt(f),
            Self::Chain(root) => root.fmt(f),
            Self::Operator(id) => id.fmt(f),
        }
    }
}

/// Every limit of a server.
pub(super) struct ConcurrencyLimits {
    public: Lane,
    agents: Lane,
    services: Lane,
    reads: Lane,
    stopping: Lane,
    agents_waits: Lane,
    waits: Lane,
    agents_streams: Lane,
    streams: Lane,
    open_streams: Lane,
}

/// The calls of one kind: those that run, and those whose body has not begun.
struct Lane {
    pending: Arc<ConcurrencyLimit>,
    running: Arc<ConcurrencyLimit>,
}

impl Lane {
    fn new(capacity: usize, share: usize) -> Self {
        let limit = |times| Arc::new(ConcurrencyLimit::new(capacity.saturating_mul(times), share));
        Self { pending: limit(PENDING), running: limit(1) }
    }
}

impl ConcurrencyLimits {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let part = |of: usize, one_in: usize| (of / one_in).max(1);
        let (requests, streams) = (bounds.requests, bounds.streams);
        let reads = part(requests, 4);
        Self {
            public: Lane::new(PUBLIC[0], PUBLIC[1]),
            agents: Lane::new(requests, part(requests, 8)),
            services: Lane::new(requests, part(requests, 2)),
            reads: Lane::new(reads, part(reads, 2)),
            stopping: Lane::new(STOPPING[0], STOPPING[1]),
            agents_waits: Lane::new(part(streams, 2), CHAIN_STREAMS.min(streams)),
            waits: Lane::new(streams, part(streams, 2)),
            agents_streams: Lane::new(part(streams, 2), CHAIN_STREAMS.min(streams)),
            streams: Lane::new(streams, part(streams, 2)),
            open_streams: Lane::new(streams.min(PUBLIC[0]), PUBLIC[1]),
        }
    }

    fn lane(&self, row: &Row, key: &LimitKey) -> &Lane {
        let agent = matches!(key, LimitKey::Chain(_));
        match (row.kind, row.access) {
            (CallKind::Stream, Access::Open) => &self.open_streams,
            (CallKind::Stream, _) if agent => &self.agents_streams,
            (CallKind::Stream, _) => &self.streams,
            (CallKind::Wait, _) if agent => &self.agents_waits,
            (CallKind::Wait, _) => &self.waits,
            (CallKind::Request, Access::Open) => &self.public,
            (CallKind::Request, _) if row.stops => &self.stopping,
            (CallKind::Request, _) if row.reads() => &self.reads,
            (CallKind::Request, _) if agent => &self.agents,
            (CallKind::Request, _) => &self.services,
        }
    }

    /// A pending permit, until the body of the call begins.
    pub(super) fn admit(
        &self,
        row: &Row,
        caller: Option<&Caller>,
        peer: Option<IpAddr>,
    ) -> Result<PendingPermit, Box<Refusal>> {
        let key = LimitKey::of(caller, peer);
        let lane = self.lane(row, &key);
        let pending = lane.pending.acquire(key)?;
        Ok(PendingPermit { pending, running: lane.running.clone() })
    }
}

/// A call whose body has not begun.
pub(super) struct PendingPermit {
    pending: Permit,
    running: Arc<ConcurrencyLimit>,
}

impl PendingPermit {
    /// A permit for `caller`'s call, for which its connection counts as working. The pending permit is released.
    pub(super) fn acquire(
        self,
        connection: Option<&Arc<ConnectionActivity>>,
        caller: Option<&Caller>,
    ) -> Result<Permit, Box<Refusal>> {
        let mut permit = self.running.acquire(self.pending.key.clone())?;
        permit.working = connection.map(|connection| connection.begin_call(CallerKind::of(caller)));
        Ok(permit)
    }
}

/// A limit of calls at a time, and a smaller share for each caller.
pub(crate) struct ConcurrencyLimit {
    capacity: usize,
    share: usize,
    in_use: Mutex<InUse>,
}

#[derive(Default)]
struct InUse {
    all: usize,
    of: HashMap<LimitKey, usize>,
}

impl ConcurrencyLimit {
    pub(crate) fn new(capacity: usize, share: usize) -> Self {
        Self { capacity, share, in_use: Mutex::default() }
    }

    /// A permit for a caller at this address who is not authenticated.
    pub(crate) fn acquire_for_address(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Permit> {
        self.acquire(LimitKey::Peer(peer)).ok()
    }

    fn in_use(&self) -> MutexGuard<'_, InUse> {
        // No code that can panic runs under the lock.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit. Refused if all are in use, or if this caller's share is.
    fn acquire(self: &Arc<Self>, key: LimitKey) -> Result<Permit, Box<Refusal>> {
        let mut in_use = self.in_use();
        if in_use.all >= self.capacity {
            return Err(Box::new(Refusal::overloaded()));
        }
        let of = in_use.of.entry(key.clone()).or_default();
        if *of >= self.share {
            return Err(Box::new(Refusal::crowded(key.kind(), &key.to_string(), self.share)));
        }
        *of += 1;
        in_use.all += 1;
        drop(in_use);
        Ok(Permit { limit: self.clone(), key, working: None })
    }
}

/// In use until it is dropped.
pub(crate) struct Permit {
    limit: Arc<ConcurrencyLimit>,
    key: LimitKey,
    /// Kept so that the connection counts as working.
    working: Option<ActiveCall>,
}

impl Permit {
    /// Keeps the permit until the answer's body ends.
    pub(super) fn hold(self, response: Response) -> Response {
        response.map(|body| {
            Body::new(http_body_util::BodyExt::map_frame(body, move |frame| {
                let _held = &self;
                frame
            }))
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut in_use = self.limit.in_use();
        in_use.all -= 1;
        if let Some(of) = in_use.of.get_mut(&self.key) {
            *of -= 1;
            if *of == 0 {
                in_use.of.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(id: &str) -> LimitKey {
        LimitKey::Operator(id.parse().unwrap())
    }

    #[test]
    fn no_caller_takes_every_permit() {
        let most = Bounds { message_bytes: 1, requests: 1024, streams: 1024, timeout: std::time::Duration::MAX };
        let limits = ConcurrencyLimits::new(&most);
        let ConcurrencyLimits { public, agents, services, reads, stopping, .. } = &limits;
        let ConcurrencyLimits { agents_waits, waits, agents_streams, streams, open_streams, .. } = &limits;
        for lane in
            [public, agents, services, reads, stopping, agents_waits, waits, agents_streams, streams, open_streams]
        {
            for limit in [&lane.pending, &lane.running] {
                assert!(limit.share <= limit.capacity / 2, "{} of {}", limit.share, limit.capacity);
            }
        }
    }

    #[test]
    fn limit_has_a_capacity_and_a_share_for_each_caller() {
        let limit = Arc::new(ConcurrencyLimit::new(3, 2));
        let mut held: Vec<_> = (0..2).map(|_| limit.acquire(operator("a")).ok().unwrap()).collect();
        assert_eq!(limit.acquire(operator("a")).err().unwrap().reason(), "RATE_LIMITED");
        held.push(limit.acquire(operator("b")).ok().unwrap());
        assert_eq!(limit.acquire(operator("c")).err().unwrap().reason(), "OVERLOADED");
        held.remove(0);
        assert!(limit.acquire(operator("a")).is_ok());
        held.clear();
        let in_use = limit.in_use();
        assert_eq!((in_use.all, in_use.of.len()), (0, 0), "nothing is kept of who was here");
    }
}
