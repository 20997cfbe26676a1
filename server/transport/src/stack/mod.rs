//! The pipeline that every call passes, whichever door it came through: one tower service that reads top-down.
//!
//! Below it is gRPC, above it the doors. What a step refuses is a gRPC status; the doors say it in their own protocol. The
//! steps run in one future: a step costs what it does, and no more.

mod authenticate;
mod call;
mod deadline;
mod limits;
mod observe;
mod outcome;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod withdrawal;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{extract::Request, response::Response};
use futures::{FutureExt, future::BoxFuture};
use http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

pub(crate) use authenticate::{Authority, Peer, PeerCertificate};
pub(crate) use call::{RequestContext, X_REQUEST_ID, request_id};
pub(crate) use deadline::answer_sooner;
pub(crate) use limits::{MOST_BYTES, body_error};
pub(crate) use observe::count_refusal;
pub(crate) use outcome::{of_response as outcome, refuse};

use self::{call::Call, limits::Rooms, withdrawal::Shown};
use crate::{
    authz::{LONGEST_WAIT, Lasts},
    status::Refusal,
};

/// A service behind every step: gRPC in, gRPC out.
pub(crate) type Pipeline = BoxCloneSyncService<Request, Response, Infallible>;

/// What is behind the pipeline.
pub(crate) trait Inner:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Inner for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// How much at once, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Largest request, bytes.
    pub(crate) message_bytes: usize,
    /// Calls at a time, each counted until its answer stands.
    pub(crate) requests: usize,
    /// Streams at a time, each counted until it ends; and as many calls that wait for a person.
    pub(crate) streams: usize,
    /// Longest call, beside what it waits for a person; a caller's own timeout may only shorten it.
    pub(crate) timeout: Duration,
}

/// What the steps share, over all pipelines of a server.
pub(crate) struct Stack {
    authority: Arc<dyn Authority>,
    bounds: Bounds,
    rooms: Rooms,
    /// Cancelled when the server stops: streams end, so that connections can.
    stop: CancellationToken,
}

impl Stack {
    /// A stack whose limits count over all its pipelines.
    pub(crate) fn new(authority: Arc<dyn Authority>, bounds: Bounds, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { authority, bounds, rooms: Rooms::new(&bounds), stop })
    }

    /// `inner` behind every step.
    pub(crate) fn wrap(self: &Arc<Self>, inner: impl Inner) -> Pipeline {
        BoxCloneSyncService::new(Steps { stack: self.clone(), inner })
    }

    /// An id for the call, and its method's row; then a span, a counter and a duration, whatever becomes of it.
    async fn pass(&self, mut request: Request, inner: impl Inner) -> Response {
        let call = Call::of(&mut request, &*self.authority);
        let answer = outcome::or_internal(&call, self.admit(&call, request, inner));
        let mut response = observe::observed(&call, &*self.authority, answer).await;
        if let Ok(id) = HeaderValue::from_str(&call.request_id) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        response
    }

    /// Refuses what is unknown, too large, too much at once, or too late.
    async fn admit(&self, call: &Call, request: Request, inner: impl Inner) -> Result<Response, Status> {
        let row = call.known(&request)?;
        let request = limits::sized(call, request, self.bounds.message_bytes)?;
        let place = self.rooms.enter(row).ok_or_else(|| call.refuse(Refusal::overloaded()))?;
        let ceiling = self.bounds.timeout + if row.lasts == Lasts::Wait { LONGEST_WAIT } else { Duration::ZERO };
        let deadline = deadline::of(call, request.headers(), ceiling)?;
        let shown = (row.lasts != Lasts::Request).then(|| Shown::of(call, &self.authority, row, &request));
        let cut = shown.map(|shown| deadline::cut(self.stop.clone(), shown.withdrawn()).boxed());
        let answer = self.authorise(call, request, inner);
        match (row.lasts, cut) {
            (Lasts::Wait, Some(cut)) => deadline::within(call, &deadline, deadline::unless(cut, answer)).await,
            (Lasts::Stream, Some(cut)) => {
                let response = deadline::within(call, &deadline, answer).await?;
                Ok(place.hold(deadline::ending(call, &deadline, cut, response)))
            }
            _ => deadline::within(call, &deadline, answer).await,
        }
    }

    /// Default deny: a request reaches its verb only where the method's row says that this caller may call it.
    async fn authorise(&self, call: &Call, mut request: Request, inner: impl Inner) -> Result<Response, Status> {
        let row = call.known(&request)?;
        let (authority, local) = (&*self.authority, authenticate::is_local(&request));
        let certificate = request.extensions().get();
        let caller = authenticate::caller(authority, row, request.headers(), local, certificate).await;
        let caller = caller.map_err(|error| call.refuse(error))?;
        authenticate::within_rate(authority, caller.as_ref()).map_err(|error| call.refuse(error))?;
        authenticate::permit(authority, row, caller.as_ref()).map_err(|error| call.refuse(error))?;
        if let Some(caller) = caller {
            tracing::Span::current().record("caller", caller.id());
            request.extensions_mut().insert(caller);
        }
        match inner.oneshot(request).await {
            Ok(response) => outcome::blame_the_wire(call, response),
            Err(never) => match never {},
        }
    }
}

/// The tower service of a pipeline.
#[derive(Clone)]
struct Steps<S> {
    stack: Arc<Stack>,
    inner: S,
}

impl<S: Inner> Service<Request> for Steps<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { stack, inner } = self.clone();
        async move { Ok(stack.pass(request, inner).await) }.boxed()
    }
}
