//! The pipeline that every call passes, whichever door it came through: one tower service that reads top-down.
//!
//! Below it is gRPC, above it the doors. What a step refuses is a gRPC status; the doors say it in their own protocol. The
//! steps run in one future: a step costs what it does, and no more.

mod administration;
mod authenticate;
mod call;
mod concurrency;
mod connection;
mod deadline;
mod grpc_status;
mod limits;
mod observe;
mod reauthorize;
mod strangers;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{extract::Request, response::Response};
use countersign_app::Caller;
use futures::{FutureExt, future::BoxFuture};
use http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

pub(crate) use authenticate::{Authority, Peer, PeerCertificate};
pub(crate) use call::{RequestContext, X_REQUEST_ID, request_id};
pub(crate) use concurrency::Room;
pub(crate) use connection::Activity;
#[cfg(test)]
pub(crate) use connection::{GOODBYE, SPARED, Standing};
pub(crate) use deadline::answer_sooner;
pub(crate) use grpc_status::{of_response as outcome, refuse};
pub(crate) use limits::{MOST_BYTES, body_error};
pub(crate) use observe::count_refusal;

use self::{
    administration::Watched,
    call::Call,
    concurrency::{Place, Rooms},
    reauthorize::Shown,
};
use crate::authz::{Access, LONGEST_WAIT, Lasts, Row};

/// Longest call of a method that takes no credential.
const PUBLIC_TIMEOUT: Duration = Duration::from_secs(1);

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
        // In a box: what the layers above hand on is a pointer, not all that a call may hold.
        let answer = grpc_status::or_internal(&call, self.admit(&call, request, inner).boxed());
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
        let deadline = deadline::of(call, request.headers(), self.longest(row))?;
        let shown = (row.lasts != Lasts::Request).then(|| Shown::of(call, &self.authority, row, &request));
        let cut = shown.map(|shown| deadline::cut(self.stop.clone(), shown.withdrawn()).boxed());
        let answer = self.authorise(call, row, request, inner);
        match (row.lasts, cut) {
            (Lasts::Wait, Some(cut)) => Ok(deadline::within(call, &deadline, deadline::unless(cut, answer)).await?.0),
            (Lasts::Stream, Some(cut)) => {
                let (response, place) = deadline::within(call, &deadline, answer).await?;
                Ok(place.hold(deadline::ending(call, &deadline, cut, response)))
            }
            _ => Ok(deadline::within(call, &deadline, answer).await?.0),
        }
    }

    /// Default deny: a request reaches its verb only where the method's row says that this caller may call it, and once
    /// there is a place for it.
    async fn authorise(
        &self,
        call: &Call,
        row: &Row,
        request: Request,
        inner: impl Inner,
    ) -> Result<(Response, Place), Status> {
        let (authority, local) = (&*self.authority, authenticate::is_local(&request));
        let certificate = request.extensions().get();
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_canonical());
        let activity = request.extensions().get::<Arc<Activity>>().cloned();
        let caller = authenticate::caller(authority, row, request.headers(), local, certificate).await;
        let caller = caller.map_err(|error| {
            strangers::note(&error, request.extensions().get());
            call.refuse(error)
        })?;
        authenticate::within_rate(authority, row, caller.as_ref()).map_err(|error| call.refuse(error))?;
        let watched = Watched::of(row, caller.as_ref(), peer);
        let answer = self.serve(call, row, Asking { caller, peer, activity }, request, inner).await;
        if let Some(watched) = watched {
            watched.note(authority, &answer);
        }
        answer
    }

    /// The verb's answer, where the caller may have one and there is a place for the call.
    async fn serve(
        &self,
        call: &Call,
        row: &Row,
        asking: Asking,
        request: Request,
        inner: impl Inner,
    ) -> Result<(Response, Place), Status> {
        let authority = &*self.authority;
        let Asking { caller, peer, activity } = asking;
        authenticate::permit(authority, row, caller.as_ref()).map_err(|error| call.refuse(error))?;
        let arrived = self.rooms.arrive(row, caller.as_ref(), peer).map_err(|refusal| call.refuse(*refusal))?;
        let mut request = limits::begun(call, request).await?;
        let place = arrived.enter(activity.as_ref(), caller.as_ref()).map_err(|refusal| call.refuse(*refusal))?;
        let turn = authenticate::read_turn(authority, row, caller.as_ref()).await;
        let _until_read = turn.map_err(|error| call.refuse(error))?;
        if let Some(caller) = caller {
            tracing::Span::current().record("caller", caller.id());
            request.extensions_mut().insert(row.authorized(caller));
        }
        match inner.oneshot(request).await {
            Ok(response) => Ok((grpc_status::blame_the_wire(call, response)?, place)),
            Err(never) => match never {},
        }
    }

    /// How long a call of a method may take until its answer stands. Of strangers nothing takes long, so that their bodies may
    /// not either.
    fn longest(&self, row: &Row) -> Duration {
        match (row.access, row.lasts) {
            (Access::Open, _) => PUBLIC_TIMEOUT.min(self.bounds.timeout),
            (_, Lasts::Wait) => self.bounds.timeout + LONGEST_WAIT,
            (_, Lasts::Request | Lasts::Stream) => self.bounds.timeout,
        }
    }
}

/// Who asks, from where, on which connection.
struct Asking {
    caller: Option<Caller>,
    peer: Option<IpAddr>,
    activity: Option<Arc<Activity>>,
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
