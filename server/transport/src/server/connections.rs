//! Which connections there are: as many as there may be, and of one address no more than a share. Where there is no room, one
//! that has done nothing for the longest makes some, so that who only holds connections open keeps nobody out.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::network::Network;

/// How long a connection must have done nothing before it makes room for another.
const SPARED: Duration = Duration::from_secs(1);

/// What a connection does, as far as it matters whether it could be closed; in every request's extensions.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    /// Calls that have a place.
    working: AtomicUsize,
    /// When it last began or ended one: milliseconds after `opened`.
    last: AtomicU64,
    /// Cancelled: another connection takes its place.
    replaced: CancellationToken,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            working: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            replaced: CancellationToken::new(),
        })
    }

    /// Says that a call has its place, until what is returned is dropped.
    pub(crate) fn work(self: &Arc<Self>) -> Working {
        self.working.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }

    fn touch(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Since when it has done nothing; none while it does something.
    fn idle_since(&self) -> Option<Instant> {
        let idle = self.working.load(Ordering::Relaxed) == 0;
        idle.then(|| self.opened + Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }

    /// Returns when the connection is to end, since another one takes its place.
    pub(super) async fn replaced(&self) {
        self.replaced.cancelled().await;
    }
}

/// A call of a connection that has a place.
#[derive(Debug)]
pub(crate) struct Working(Arc<Activity>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.touch();
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many connections there may be.
#[derive(Debug, Clone)]
pub(super) struct Most {
    pub(super) all: usize,
    /// Of one address.
    pub(super) of_peer: usize,
    /// Addresses of proxies, whose connections are many people's.
    pub(super) trusted: Vec<Network>,
}

/// The open connections of a port.
pub(super) struct Connections {
    most: Most,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: HashMap<u64, (IpAddr, Arc<Activity>)>,
    of: HashMap<IpAddr, usize>,
}

impl Open {
    fn remove(&mut self, id: u64) -> Option<Arc<Activity>> {
        let (peer, activity) = self.all.remove(&id)?;
        if let Some(of) = self.of.get_mut(&peer) {
            *of -= 1;
            if *of == 0 {
                self.of.remove(&peer);
            }
        }
        Some(activity)
    }

    /// The connection that has done nothing for the longest, of `peer` where one is given.
    fn idlest(&self, peer: Option<IpAddr>) -> Option<u64> {
        let candidates = self.all.iter().filter(|(_, (of, _))| peer.is_none_or(|peer| peer == *of));
        let idle = candidates.filter_map(|(id, (_, activity))| activity.idle_since().map(|since| (since, *id)));
        idle.min().filter(|(since, _)| since.elapsed() >= SPARED).map(|(_, id)| id)
    }
}

impl Connections {
    pub(super) fn new(most: Most) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing that panics runs under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a connection from `peer`. None: there is none, and nobody can make any.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Member> {
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
        let (id, activity) = (open.next, Activity::new());
        open.next += 1;
        open.all.insert(id, (peer, activity.clone()));
        *open.of.entry(peer).or_default() += 1;
        drop(open);
        Some(Member { of: self.clone(), id, activity })
    }
}

fn make_room(open: &mut Open, id: u64) {
    if let Some(activity) = open.remove(id) {
        metrics::counter!("countersign_connections_replaced_total").increment(1);
        activity.replaced.cancel();
    }
}

/// A connection that is counted until it is dropped.
pub(super) struct Member {
    of: Arc<Connections>,
    id: u64,
    pub(super) activity: Arc<Activity>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.of.open().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn connections(all: usize, of_peer: usize) -> Arc<Connections> {
        Connections::new(Most { all, of_peer, trusted: vec!["192.0.2.9".parse().unwrap()] })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn ended(member: &Member) -> bool {
        member.activity.replaced.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_is_no_room_the_one_that_has_done_nothing_for_the_longest_makes_some() {
        let connections = connections(3, 3);
        let first = connections.enter(address(1)).unwrap();
        advance(Duration::from_millis(100)).await;
        let second = connections.enter(address(2)).unwrap();
        let third = connections.enter(address(3)).unwrap();
        let working = first.activity.work();
        assert!(connections.enter(address(4)).is_none(), "all are young or at work");
        advance(SPARED).await;
        let fourth = connections.enter(address(4)).unwrap();
        assert_eq!([&first, &second, &third].map(ended).iter().filter(|ended| **ended).count(), 1);
        assert!(!ended(&first), "it works");
        drop(working);
        advance(Duration::from_millis(10)).await;
        let fifth = connections.enter(address(5)).unwrap();
        assert!(ended(&second) && ended(&third) && !ended(&first), "it has worked last");
        for member in [first, second, third, fourth, fifth] {
            drop(member);
        }
        assert!(connections.open().all.is_empty() && connections.open().of.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_share_and_a_proxy_that_is_trusted_as_many_as_there_are() {
        let connections = connections(10, 2);
        let held: Vec<_> = (0..2).map(|_| connections.enter(address(1)).unwrap()).collect();
        let working: Vec<_> = held.iter().map(|member| member.activity.work()).collect();
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
