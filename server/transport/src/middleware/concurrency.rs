//! How many calls there may be at a time: a room for each kind, and in it a share for each caller. What is too much is
//! refused, never queued.
//!
//! Nobody takes the places of somebody else: strangers none of callers, agents none of gates, reads none of decisions, and
//! nobody those of calls that stop something. A call takes its place once its caller is known and its body has begun; until
//! then it stands in the entrance, which has bounds of its own, so that headers without a body take no place at all.

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
    Bounds,
    connection::{Activity, Standing, Working},
};
use crate::{
    authz::{Access, Lasts, Row},
    status::Refusal,
};

/// Calls at a time of those who were not asked who they are, and of one address.
const PUBLIC: [usize; 2] = [64, 32];
/// Calls at a time that stop something, and of one caller.
const STOPPING: [usize; 2] = [64, 16];
/// Streams and waits at a time of one chain.
const CHAIN_STREAMS: usize = 8;
/// So many times as many calls may stand in the entrance as have a place.
const ENTRANCE: usize = 4;

/// Who takes a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    /// Nobody was asked who they are: who is at this address.
    Peer(Option<IpAddr>),
    /// An instance of the chain of this root.
    Chain(InstanceId),
    /// An operator.
    Operator(OperatorId),
}

impl Whose {
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

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(None) => f.write_str("unknown"),
            Self::Peer(Some(address)) => address.fmt(f),
            Self::Chain(root) => root.fmt(f),
            Self::Operator(id) => id.fmt(f),
        }
    }
}

/// Every room of a server.
pub(super) struct Rooms {
    public: Hall,
    agents: Hall,
    services: Hall,
    reads: Hall,
    stopping: Hall,
    agents_waits: Hall,
    waits: Hall,
    agents_streams: Hall,
    streams: Hall,
    open_streams: Hall,
}

/// A room with its entrance.
struct Hall {
    entrance: Arc<Room>,
    places: Arc<Room>,
}

impl Hall {
    fn new(places: usize, share: usize) -> Self {
        let room = |times| Arc::new(Room::new(places.saturating_mul(times), share));
        Self { entrance: room(ENTRANCE), places: room(1) }
    }
}

impl Rooms {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let part = |of: usize, one_in: usize| (of / one_in).max(1);
        let (requests, streams) = (bounds.requests, bounds.streams);
        let reads = part(requests, 4);
        Self {
            public: Hall::new(PUBLIC[0], PUBLIC[1]),
            agents: Hall::new(requests, part(requests, 8)),
            services: Hall::new(requests, part(requests, 2)),
            reads: Hall::new(reads, part(reads, 2)),
            stopping: Hall::new(STOPPING[0], STOPPING[1]),
            agents_waits: Hall::new(part(streams, 2), CHAIN_STREAMS.min(streams)),
            waits: Hall::new(streams, part(streams, 2)),
            agents_streams: Hall::new(part(streams, 2), CHAIN_STREAMS.min(streams)),
            streams: Hall::new(streams, part(streams, 2)),
            open_streams: Hall::new(streams.min(PUBLIC[0]), PUBLIC[1]),
        }
    }

    fn hall(&self, row: &Row, whose: &Whose) -> &Hall {
        let agent = matches!(whose, Whose::Chain(_));
        match (row.lasts, row.access) {
            (Lasts::Stream, Access::Open) => &self.open_streams,
            (Lasts::Stream, _) if agent => &self.agents_streams,
            (Lasts::Stream, _) => &self.streams,
            (Lasts::Wait, _) if agent => &self.agents_waits,
            (Lasts::Wait, _) => &self.waits,
            (Lasts::Request, Access::Open) => &self.public,
            (Lasts::Request, _) if row.stops => &self.stopping,
            (Lasts::Request, _) if row.reads() => &self.reads,
            (Lasts::Request, _) if agent => &self.agents,
            (Lasts::Request, _) => &self.services,
        }
    }

    /// Lets a call into the entrance, where it waits for its body to begin.
    pub(super) fn arrive(
        &self,
        row: &Row,
        caller: Option<&Caller>,
        peer: Option<IpAddr>,
    ) -> Result<Arrived, Box<Refusal>> {
        let whose = Whose::of(caller, peer);
        let hall = self.hall(row, &whose);
        let standing = hall.entrance.enter(whose)?;
        Ok(Arrived { standing, places: hall.places.clone() })
    }
}

/// A call in the entrance.
pub(super) struct Arrived {
    standing: Place,
    places: Arc<Room>,
}

impl Arrived {
    /// A place for `caller`'s call, for which its connection counts as at work. The one in the entrance is free again.
    pub(super) fn enter(
        self,
        connection: Option<&Arc<Activity>>,
        caller: Option<&Caller>,
    ) -> Result<Place, Box<Refusal>> {
        let mut place = self.places.enter(self.standing.whose.clone())?;
        place.working = connection.map(|connection| connection.work(Standing::of(caller)));
        Ok(place)
    }
}

/// So many places, and of one caller no more than a share of them.
pub(crate) struct Room {
    places: usize,
    share: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    of: HashMap<Whose, usize>,
}

impl Room {
    pub(crate) fn new(places: usize, share: usize) -> Self {
        Self { places, share, taken: Mutex::default() }
    }

    /// A place for a stranger at this address.
    pub(crate) fn stranger(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Place> {
        self.enter(Whose::Peer(peer)).ok()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing that panics runs under the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place; a refusal where all are taken, or the caller's share of them.
    fn enter(self: &Arc<Self>, whose: Whose) -> Result<Place, Box<Refusal>> {
        let mut taken = self.taken();
        if taken.all >= self.places {
            return Err(Box::new(Refusal::overloaded()));
        }
        let of = taken.of.entry(whose.clone()).or_default();
        if *of >= self.share {
            return Err(Box::new(Refusal::crowded(whose.kind(), &whose.to_string(), self.share)));
        }
        *of += 1;
        taken.all += 1;
        drop(taken);
        Ok(Place { room: self.clone(), whose, working: None })
    }
}

/// Taken until it is dropped.
pub(crate) struct Place {
    room: Arc<Room>,
    whose: Whose,
    /// Held, so that the connection counts as at work.
    working: Option<Working>,
}

impl Place {
    /// Keeps the place until the answer's body ends.
    pub(super) fn hold(self, response: Response) -> Response {
        response.map(|body| {
            Body::new(http_body_util::BodyExt::map_frame(body, move |frame| {
                let _held = &self;
                frame
            }))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all -= 1;
        if let Some(of) = taken.of.get_mut(&self.whose) {
            *of -= 1;
            if *of == 0 {
                taken.of.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(id: &str) -> Whose {
        Whose::Operator(id.parse().unwrap())
    }

    #[test]
    fn nobody_takes_every_place_of_a_room() {
        let most = Bounds { message_bytes: 1, requests: 1024, streams: 1024, timeout: std::time::Duration::MAX };
        let rooms = Rooms::new(&most);
        let Rooms { public, agents, services, reads, stopping, .. } = &rooms;
        let Rooms { agents_waits, waits, agents_streams, streams, open_streams, .. } = &rooms;
        for hall in
            [public, agents, services, reads, stopping, agents_waits, waits, agents_streams, streams, open_streams]
        {
            for room in [&hall.entrance, &hall.places] {
                assert!(room.share <= room.places / 2, "{} of {}", room.share, room.places);
            }
        }
    }

    #[test]
    fn a_room_has_its_places_and_each_caller_a_share_of_them() {
        let room = Arc::new(Room::new(3, 2));
        let mut held: Vec<_> = (0..2).map(|_| room.enter(operator("a")).ok().unwrap()).collect();
        assert_eq!(room.enter(operator("a")).err().unwrap().reason(), "RATE_LIMITED");
        held.push(room.enter(operator("b")).ok().unwrap());
        assert_eq!(room.enter(operator("c")).err().unwrap().reason(), "OVERLOADED");
        held.remove(0);
        assert!(room.enter(operator("a")).is_ok());
        held.clear();
        let taken = room.taken();
        assert_eq!((taken.all, taken.of.len()), (0, 0), "nothing is kept of who was here");
    }
}
