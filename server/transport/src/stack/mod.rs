//! The pipeline that every call passes, whichever door it came through.
//!
//! It reads top-down: a request enters at the first layer and reaches a verb below the last. What a layer refuses is a
//! gRPC status; the doors say it in their own protocol.

mod authenticate;
mod authorise;
mod context;
mod deadline;
mod identify;
mod limits;
mod observe;
mod outcome;
mod panic;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod wire;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::Request,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder, util::BoxCloneSyncService};

pub(crate) use authenticate::{Authority, Peer};
pub(crate) use context::{Known, RequestContext, request_id};
pub(crate) use limits::{TooLarge, body_error};
pub(crate) use observe::count_refusal;
pub(crate) use outcome::{of_response as outcome, refuse};

/// A layered service: gRPC in, gRPC out.
pub(crate) type Pipeline = BoxCloneSyncService<Request, Response, Infallible>;

/// How much at once, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Largest request, bytes.
    pub(crate) message_bytes: usize,
    /// Calls at a time, each counted until its answer stands.
    pub(crate) requests: usize,
    /// Streams at a time, each counted until it ends.
    pub(crate) streams: usize,
    /// Longest call; a caller's own timeout may only shorten it.
    pub(crate) timeout: Duration,
}

/// What the layers share.
pub(crate) struct Stack {
    authority: Arc<dyn Authority>,
    bounds: Bounds,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// Cancelled when the server stops: streams end, so that connections can.
    stop: CancellationToken,
}

impl Stack {
    /// A stack whose limits count over all its pipelines.
    pub(crate) fn new(authority: Arc<dyn Authority>, bounds: Bounds, stop: CancellationToken) -> Arc<Self> {
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let (requests, streams) = (permits(bounds.requests), permits(bounds.streams));
        Arc::new(Self { authority, bounds, requests, streams, stop })
    }

    /// `inner` behind every layer.
    pub(crate) fn wrap<S>(self: &Arc<Self>, inner: S) -> Pipeline
    where
        S: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        let layers = ServiceBuilder::new()
            .layer(from_fn_with_state(self.clone(), identify::identify))
            .layer(from_fn(observe::observe))
            .layer(from_fn(panic::catch))
            .layer(from_fn(identify::known))
            .layer(from_fn_with_state(self.clone(), limits::size))
            .layer(from_fn_with_state(self.clone(), limits::load))
            .layer(from_fn_with_state(self.clone(), deadline::bound))
            .layer(from_fn_with_state(self.clone(), authenticate::authenticate))
            .layer(from_fn_with_state(self.clone(), authorise::authorise))
            .layer(from_fn(wire::blame_the_wire));
        BoxCloneSyncService::new(layers.service(inner))
    }
}
