//! The open connections: a limit for all, and a smaller share per address, except for trusted proxies. At a limit an
//! idle connection is closed to make room: the oldest of unknown callers, otherwise one of an agent, otherwise one of
//! an operator. So a peer that only opens connections keeps no other peer out.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::network::Network;
use crate::middleware::ConnectionActivity;

/// Limits for the number of connections.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimits {
    pub(super) all: usize,
    /// The limit for one address.
    pub(super) of_peer: usize,
    /// Addresses of proxies, whose connections carry the calls of many persons.
    pub(super) trusted: Vec<Network>,
}

/// The open connections of a port.
pub(super) struct Connections {
    most: ConnectionLimits,
    open: Mutex<Open>,
}

/// One of them.
struct Member {
    peer: IpAddr,
    activity: Arc<ConnectionActivity>,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Member>,
    of: HashMap<IpAddr, usize>,
}

impl Open {
    fn remove(&mut self, id: u64) -> Option<Arc<ConnectionActivity>> {
        let Member { peer, activity } = self.all.remove(&id)?;
        if let Some(of) = self.of.get_mut(&peer) {
            *of -= 1;
            if *of == 0 {
                self.of.remove(&peer);
            }
        }
        Some(activity)
    }

    /// The connection to close for another one; only of `peer` if it is given.
    fn idlest(&self, peer: Option<IpAddr>) -> Option<u64> {
        let candidates = self.all.iter().filter(|(_, member)| peer.is_none_or(|peer| peer == member.peer));
        let idle = candidates.filter_map(|(id, member)| member.activity.idle().map(|idle| (idle, *id)));
        idle.min().map(|(_, id)| id)
    }
}

impl Connections {
    pub(super) fn new(most: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // No code that can panic runs under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a connection from `peer`. `None` if there is none, and none can be made.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<OpenConnection> {
        let mut open = self.open();
        let trusted = self.most.trusted.iter().any(|network| network.contains(peer));
        let of_peer = open.of.get(&peer).copied().unwrap_or(0);
        if !trusted && of_peer >= self.most.of_peer {
            let id = open.idlest(Some(peer))?;
            make_room(&mut open, id);
        } else if open.all.len() >= self.most.all {
            let id = open.idlest(None)?;
            make_room(&mut open, id);
        }
        let (id, activity) = (open.next, ConnectionActivity::new());
        open.next += 1;
        open.all.insert(id, Member { peer, activity: activity.clone() });
        *open.of.entry(peer).or_default() += 1;
        drop(open);
        Some(OpenConnection { of: self.clone(), id, activity })
    }
}

fn make_room(open: &mut Open, id: u64) {
    if let Some(activity) = open.remove(id) {
        metrics::counter!("countersign_connections_replaced_total").increment(1);
        activity.replace();
    }
}

/// A connection that is counted until it is dropped.
pub(super) struct OpenConnection {
    of: Arc<Connections>,
    id: u64,
    pub(super) activity: Arc<ConnectionActivity>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.of.open().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::*;
    use crate::middleware::{CallerKind, GOODBYE, SPARED};

    fn connections(all: usize, of_peer: usize) -> Arc<Connections> {
        Connections::new(ConnectionLimits { all, of_peer, trusted: vec!["192.0.2.9".parse().unwrap()] })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn ended(member: &OpenConnection) -> bool {
        member.activity.is_replaced()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_idle_connection_makes_room() {
        let connections = connections(3, 3);
        let first = connections.enter(address(1)).unwrap();
        let working = first.activity.begin_call(CallerKind::Unknown);
        advance(Duration::from_millis(1)).await;
        let second = connections.enter(address(2)).unwrap();
        advance(Duration::from_millis(1)).await;
        let third = connections.enter(address(3)).unwrap();
        let fourth = connections.enter(address(4)).unwrap();
        assert!([&first, &second, &third].map(ended) == [false, true, false], "the first works");
        let at_work = [&third, &fourth].map(|member| member.activity.begin_call(CallerKind::Unknown));
        assert!(connections.enter(address(5)).is_none(), "all are at work");
        advance(Duration::from_millis(1)).await;
        drop(at_work);
        advance(Duration::from_millis(1)).await;
        drop(working);
        let fifth = connections.enter(address(5)).unwrap();
        assert!(!ended(&first) && ended(&third) != ended(&fourth), "the first has worked last");
        for member in [first, second, third, fourth, fifth] {
            drop(member);
        }
        assert!(connections.open().all.is_empty() && connections.open().of.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_make_room_before_agents_and_these_for_operators() {
        let connections = connections(3, 3);
        let operator = connections.enter(address(1)).unwrap();
        drop(operator.activity.begin_call(CallerKind::Operator));
        let agent = connections.enter(address(1)).unwrap();
        drop(agent.activity.begin_call(CallerKind::Agent));
        drop(agent.activity.begin_call(CallerKind::Unknown));
        advance(SPARED * 10).await;
        for _ in 0..100 {
            let stranger = connections.enter(address(1)).unwrap();
            let another = connections.enter(address(1)).unwrap();
            assert!(ended(&stranger) && !ended(&another));
        }
        let stranger = connections.enter(address(1)).unwrap();
        let working = stranger.activity.begin_call(CallerKind::Unknown);
        let newcomer = connections.enter(address(1)).unwrap();
        assert!(ended(&agent) && !ended(&operator));
        let also = newcomer.activity.begin_call(CallerKind::Agent);
        assert!(!ended(&operator) && connections.enter(address(1)).is_some() && ended(&operator));
        drop((working, also));
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_caller_is_told_before_the_connection_is_cut_off() {
        let connections = connections(1, 1);
        let agent = connections.enter(address(1)).unwrap();
        drop(agent.activity.begin_call(CallerKind::Agent));
        assert!(connections.enter(address(1)).is_none(), "it is spared");
        advance(SPARED).await;
        let stranger = connections.enter(address(1)).unwrap();
        agent.activity.replaced().await;
        let now = Instant::now();
        agent.activity.cut_off().await;
        assert_eq!(now.elapsed(), GOODBYE);
        let _next = connections.enter(address(1)).unwrap();
        stranger.activity.cut_off().await;
        assert_eq!(now.elapsed(), GOODBYE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_share_and_a_trusted_proxy_all() {
        let connections = connections(10, 2);
        let held: Vec<_> = (0..2).map(|_| connections.enter(address(1)).unwrap()).collect();
        let working: Vec<_> = held.iter().map(|member| member.activity.begin_call(CallerKind::Agent)).collect();
        advance(SPARED * 2).await;
        assert!(connections.enter(address(1)).is_none());
        let other = connections.enter(address(2)).unwrap();
        drop(working);
        advance(SPARED).await;
        let third = connections.enter(address(1));
        assert!(third.is_some() && !ended(&other) && held.iter().filter(|member| ended(member)).count() == 1);
        let trusted: Vec<_> = (0..7).map(|_| connections.enter(address(9)).unwrap()).collect();
        assert_eq!(trusted.len(), 7);
    }
}
